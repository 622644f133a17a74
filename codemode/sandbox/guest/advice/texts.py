"""What Python said of an exception, read without running any of the code."""

from __future__ import annotations

__all__ = ["argument", "said"]

_CHARACTERS = 1_000

_args_of = BaseException.__dict__["args"].__get__


def argument(error: BaseException) -> object:
    """Return the first argument of an exception, or None."""
    args = _args_of(error)
    return args[0] if type(args) is tuple and args else None


def said(error: BaseException) -> str:
    """Return the message that an exception was made with, at most 1,000 characters of it."""
    text = argument(error)
    return text[:_CHARACTERS] if type(text) is str else ""
