"""The one line that shows people and models how to call a tool."""

from __future__ import annotations

import enum
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

__all__ = ["members_of", "render_default", "render_hint", "render_signature"]

_MAX_DEFAULT = 40


def render_signature(
    name: str, parameters: Iterable[inspect.Parameter], hints: dict[str, Any]
) -> str:
    """Return ``name(parameters) -> type``, with the resolved types of ``hints``."""
    parts: list[str] = []
    starred = False
    for parameter in parameters:
        text = parameter.name
        if parameter.kind is parameter.VAR_KEYWORD:
            text = f"**{text}"
        elif parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        hinted = parameter.name in hints
        if hinted:
            text += f": {render_hint(hints[parameter.name])}"
        if parameter.default is not parameter.empty:
            text += (" = " if hinted else "=") + render_default(parameter.default)
        parts.append(text)
    returns = f" -> {render_hint(hints['return'])}" if "return" in hints else ""
    return f"{name}({', '.join(parts)}){returns}"


def render_hint(hint: Any) -> str:
    """Return a type hint as a person would write it, without modules."""
    if hint is None or hint is types.NoneType:
        return "None"
    if hint is Ellipsis:
        return "..."
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin is typing.Annotated:
        return render_hint(arguments[0])
    if origin is typing.Union or origin is types.UnionType:
        return " | ".join(dict.fromkeys(map(render_hint, members_of(hint))))
    if origin is typing.Literal:
        return f"Literal[{', '.join(_render_literal(argument) for argument in arguments)}]"
    if origin in (typing.Required, typing.NotRequired, typing.Final, typing.ClassVar):
        return render_hint(arguments[0])
    if origin is not None and arguments:
        return f"{_name_of(origin)}[{', '.join(_render_argument(one) for one in arguments)}]"
    return _name_of(hint)


def members_of(hint: Any) -> list[Any]:
    """Return the members of a union, of those that it nests in ``Annotated`` as well."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        inner = members_of(typing.get_args(hint)[0])
        return inner if len(inner) > 1 else [hint]
    if origin is typing.Union or origin is types.UnionType:
        return [member for one in typing.get_args(hint) for member in members_of(one)]
    return [hint]


def _render_argument(argument: Any) -> str:
    if isinstance(argument, list):
        return f"[{', '.join(render_hint(one) for one in argument)}]"
    return render_hint(argument)


def _render_literal(value: Any) -> str:
    return repr(value.value if isinstance(value, enum.Enum) else value)


def _name_of(hint: Any) -> str:
    if hint is Callable or hint is typing.get_origin(Callable[..., Any]):
        return "Callable"
    name = getattr(hint, "__name__", None)
    return name if isinstance(name, str) else str(hint).removeprefix("typing.")


def render_default(value: Any) -> str:
    """Return a default as code, or ``...`` when its repr would be long or not a literal."""
    if isinstance(value, enum.Enum):
        value = value.value
    simple = value is None or type(value) in (bool, int, float, str, bytes, Decimal)
    if type(value) is float:
        simple = math.isfinite(value)  # inf and nan are names that nothing defines
    empty = type(value) in (list, tuple, dict) and not value
    text = repr(value) if simple or empty else "..."
    return text if len(text) <= _MAX_DEFAULT else "..."
