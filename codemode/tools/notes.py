"""The notes on parameters and fields that stand beside their types."""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic.fields import FieldInfo

__all__ = ["note_in"]


def note_in(hint: Any) -> str:
    """Return the note in a type hint on one line, or an empty string.

    A note is a text in ``Annotated[int, "text"]``, the description of a
    pydantic ``Field``, or a ``Doc``. One on a member of a union counts too.
    """
    return _note_in(hint, frozenset())


def _note_in(hint: Any, aliases: frozenset[typing.TypeAliasType]) -> str:
    """Do so within ``aliases``, one of which may be a member of itself."""
    if isinstance(hint, typing.TypeAliasType):
        return "" if hint in aliases else _note_in(hint.__value__, aliases | {hint})
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        for one in arguments[1:]:
            if note := _note(one):
                return " ".join(note.split())
        return _note_in(arguments[0], aliases)
    if origin in (typing.Union, types.UnionType, typing.Required, typing.NotRequired):
        return next(filter(None, (_note_in(one, aliases) for one in arguments)), "")
    return ""


def _note(one: Any) -> str:
    if isinstance(one, FieldInfo):
        return one.description or ""
    # Both typing_extensions and annotated_doc have a Doc.
    note = one if isinstance(one, str) else getattr(one, "documentation", None)
    return note if isinstance(note, str) else ""
