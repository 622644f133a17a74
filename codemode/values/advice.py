"""Advice on what to write instead of a value that cannot travel."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from os import PathLike
from types import FunctionType, GeneratorType, ModuleType
from typing import Any, Final

__all__ = ["advice"]

_FIELDS_SHOWN: Final = 4
_OF_LIBRARIES: Final = {
    ("pandas", "DataFrameGroupBy"): "aggregate it, as by .sum()",
    ("pandas", "Interval"): "use str(...)",
    ("pandas", "Period"): "use str(...)",
    ("pandas", "SeriesGroupBy"): "aggregate it, as by .sum()",
    ("polars", "LazyFrame"): "use .collect()",
}


def advice(value: Any) -> str:
    """Return what a value is, that it cannot travel, and what to write instead.

    Nothing of the value is evaluated: no property, no query, no iteration.
    """
    kind = type(value)
    article = "an" if kind.__name__[:1].lower() in "aeio" else "a"
    what = f"{article} {kind.__name__} object cannot travel"
    if issubclass(kind, type):
        return f"the class {value.__name__} cannot travel; send an instance's data as a dict"
    if issubclass(kind, ModuleType):
        return f"the module {value.__name__!r} cannot travel; send the values that you need of it"
    if issubclass(kind, Awaitable):
        name = getattr(value, "__name__", "")
        return f"{article} {kind.__name__} was never awaited; write `await {name or '...'}(...)`"
    if issubclass(kind, AsyncIterator):
        return f"{what}; use [item async for item in ...]"
    if issubclass(kind, GeneratorType | Iterator):
        return f"{what}; use list(...)"
    if issubclass(kind, FunctionType) or kind.__name__ in _CALLABLES:
        name = getattr(value, "__name__", kind.__name__)
        return f"the function {name} cannot travel; call it and send what it returns"
    return f"{what}; {_of_django(value) or _of_shape(kind)}"


_CALLABLES: Final = frozenset({"method", "builtin_function_or_method", "partial"})


def _of_shape(kind: type) -> str:
    named = str(kind.__module__).partition(".")[0], kind.__name__
    if named in _OF_LIBRARIES:
        return _OF_LIBRARIES[named]
    if issubclass(kind, Mapping):
        return "use dict(...)"
    if issubclass(kind, BaseException | PathLike):
        return "use str(...)"
    if issubclass(kind, AbstractSet) or hasattr(kind, "__iter__"):
        return "use list(...)"
    return "send a dict, a list or a str made of what you need of it"


def _of_django(value: Any) -> str | None:
    functional = sys.modules.get("django.utils.functional")
    if functional is not None and issubclass(type(value), functional.LazyObject):
        return "it is evaluated on first use: send the fields that you need, such as {...}.pk"
    models = sys.modules.get("django.db.models")
    if models is None:
        return None
    kind = type(value)
    if issubclass(kind, models.Model):
        name = kind.__name__
        return f"use {name}.objects.filter(pk=...).values({_fields(kind)}).get()"
    if issubclass(kind, models.QuerySet):
        if value._fields is not None:  # it is a .values() or .values_list() already
            return "use list(...)"
        return f"add .values({_fields(value.model)}) to it, with the fields that you need"
    if issubclass(kind, models.Manager):
        return f"use .values({_fields(value.model)}) on it, with the fields that you need"
    return None


def _fields(model: Any) -> str:
    # Code that copies the advice must not send a password hash.
    names = [field.attname for field in model._meta.concrete_fields if field.name != "password"]
    return ", ".join(f'"{name}"' for name in names[:_FIELDS_SHOWN])
