"""What interrupts the caller, as opposed to what fails in a tool."""

from __future__ import annotations

import asyncio
import functools
import signal
import traceback
from types import CodeType
from typing import Any

__all__ = ["is_interrupt"]


def is_interrupt(error: BaseException) -> bool:
    """Tell whether an exception is there to end what the caller does, executed code included.

    These are KeyboardInterrupt and whatever else is not an Exception, but for
    SystemExit and CancelledError, with which a tool's own code fails; and of any class
    what the handler of a signal has raised, such as Celery's soft time limit. A
    handler that is no longer installed was the tool's own.
    """
    if not isinstance(error, Exception | SystemExit | asyncio.CancelledError):
        return True
    if error.__traceback__ is None:
        return False
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))


def _code_of(handler: Any) -> CodeType | None:
    """Return the code that runs first when a handler is called; None for one that is not Python."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not hasattr(handler, "__code__") and callable(
        handler
    ):  # methods have that of their function
        handler = type(handler).__call__
    return getattr(handler, "__code__", None)
