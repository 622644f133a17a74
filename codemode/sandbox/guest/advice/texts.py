"""What Python said of an exception, read without running any of the code."""

from __future__ import annotations

__all__ = ["argument", "is_exactly", "said"]

_CHARACTERS = 1_000

_args_of = BaseException.__dict__["args"].__get__


def is_exactly(value: object, *kinds: type) -> bool:
    """Return whether a value is of one of these types, and not of a subclass.

    ``in``, ``==`` and ``isinstance`` may call methods of the value's metaclass or type.
    """
    kind = type(value)
    return any(kind is one for one in kinds)


def argument(error: BaseException) -> object:
    """Return the first argument of an exception, or None."""
    args = _args_of(error)
    return args[0] if type(args) is tuple and args else None


def said(error: BaseException) -> str:
    """Return the message that an exception was made with, at most 1,000 characters of it."""
    text = argument(error)
    return text[:_CHARACTERS] if type(text) is str else ""
