"""The difference between an interrupt of the caller and a failure in a tool."""

from __future__ import annotations

import asyncio
import functools
import signal
import traceback
from types import CodeType
from typing import Any

__all__ = ["is_interrupt"]


def is_interrupt(error: BaseException) -> bool:
    """Return whether an exception is meant to end the caller's work, with the executed code.

    Interrupts are KeyboardInterrupt and every other exception that is not an
    Exception, except SystemExit and CancelledError, with which a tool's own
    code fails. An exception of any class is an interrupt if the handler of a
    signal raised it, such as Celery's soft time limit. A handler that is no
    longer installed was the tool's own.
    """
    if not isinstance(error, Exception | SystemExit | asyncio.CancelledError):
        return True
    if error.__traceback__ is None:
        return False
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))


def _code_of(handler: Any) -> CodeType | None:
    """Return the code that a call of a handler runs first; None if it is not Python code."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    # A method has the ``__code__`` of its function.
    if not hasattr(handler, "__code__") and callable(handler):
        handler = type(handler).__call__
    return getattr(handler, "__code__", None)
