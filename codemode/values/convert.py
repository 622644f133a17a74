"""The conversion of values that become simpler on the wire."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from codemode.values.advice import advice
from codemode.values.libraries import conversion_of
from codemode.values.refusal import RefusalError, too_many
from codemode.values.wire_format import KEY_TYPES, MAX_ITEMS

__all__ = ["convert", "convert_key", "register_converter"]

type Matcher = type | Callable[[Any], bool]
type Converter = Callable[[Any], Any]

_converters: tuple[tuple[Matcher, Converter], ...] = ()
_registration = threading.Lock()


def register_converter(type_or_predicate: Matcher, function: Converter) -> None:
    """Register a type for ``encode``: ``function(value)`` returns what travels for it.

    Pass a type, which covers its subclasses, or a predicate. A later
    registration takes precedence over an earlier one, and replaces it when it
    is for the same type or predicate. Types that travel exactly never reach a
    converter. Safe from any thread at any time. An exception that ``function``
    raises reaches the caller of ``encode``; a ValueEncodingError gets the path.
    """
    global _converters
    with _registration:
        kept = (pair for pair in _converters if pair[0] is not type_or_predicate)
        _converters = ((type_or_predicate, function), *kept)


_BASES: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    # With the methods of the base: a subclass may have overridden them.
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (complex, complex.__complex__),
    (list, lambda value: list.__getitem__(value, slice(None))),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (dict, lambda value: dict(dict.items(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
    (bytearray, lambda value: bytes(memoryview(value))),
    (memoryview, memoryview.tobytes),
    (Decimal, Decimal),
    (Fraction, lambda value: Fraction(value.numerator, value.denominator)),
    (
        datetime,
        lambda value: datetime(
            value.year,
            value.month,
            value.day,
            value.hour,
            value.minute,
            value.second,
            value.microsecond,
            value.tzinfo,
            fold=value.fold,
        ),
    ),
    (date, lambda value: date(value.year, value.month, value.day)),
    (
        time,
        lambda value: time(
            value.hour,
            value.minute,
            value.second,
            value.microsecond,
            value.tzinfo,
            fold=value.fold,
        ),
    ),
    (timedelta, lambda value: timedelta(value.days, value.seconds, value.microseconds)),
    (UUID, lambda value: UUID(int=value.int)),
    (range, lambda value: _listed(value)),
)


def convert(value: Any) -> tuple[Any, int]:
    """Return what travels for a value, and by how many levels that is deeper.

    A registered conversion counts as one level, and so does that of an Enum or
    of a library's type, so that two conversions that produce each other's type
    end. Raises RefusalError.
    """
    # Only types are checked, never instances: isinstance() would evaluate a lazy
    # object of Django, perhaps on a thread that is not allowed to.
    kind = type(value)
    for matcher, function in _converters:
        if issubclass(kind, matcher) if isinstance(matcher, type) else matcher(value):
            return function(value), 1
    if issubclass(kind, Enum):
        return value.value, 1
    from_library = conversion_of(kind)
    if from_library is not None:
        return from_library(value), 1
    for base, simplify in _BASES:
        if issubclass(kind, base):
            return simplify(value), 0
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None:
        return _dataclass(value), 0
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and issubclass(kind, pydantic.BaseModel):
        try:
            return value.model_dump(), 0
        except ValueError as error:
            raise RefusalError(f"{kind.__name__}.model_dump() failed: {error}") from error
    pathlib = sys.modules.get("pathlib")
    if pathlib is not None and issubclass(kind, pathlib.PurePath):
        return str(value), 0
    functional = sys.modules.get("django.utils.functional")
    if functional is not None and issubclass(kind, functional.Promise):
        return str(value), 0
    raise RefusalError(advice(value))


def convert_key(key: Any, role: str) -> Any:
    """Return what travels for a dict's key or a set's member. Raises RefusalError."""
    kind = type(key)
    converted, _ = convert(key)
    if type(converted) in KEY_TYPES:
        return converted
    if type(converted) is kind or not issubclass(kind, Enum):
        raise RefusalError(
            f"a {kind.__name__} object cannot be a {role}; use a str, a number or a tuple of them"
        )
    return convert_key(converted, role)


def _listed(value: range) -> list[int]:
    try:
        count = len(value)
    except OverflowError:
        count = MAX_ITEMS + 1
    if count > MAX_ITEMS:
        raise too_many()
    return list(value)


def _dataclass(value: Any) -> dict[str, Any]:
    # Not imported, as it is slow to load: a class with fields has already loaded it.
    fields = sys.modules["dataclasses"].fields(value)
    return {field.name: getattr(value, field.name) for field in fields}
