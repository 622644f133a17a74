"""The clocks that the code of a recorded run sees.

They stand while it computes, but for a microsecond at each look, and move at
steps of the record; so a replay sees what the first run saw. Clocks below
Python are out of reach: those of SQLite and of numpy, and the times of files.
"""

from __future__ import annotations

import ctypes
import datetime
import functools
import gc
import logging
import operator
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from codemode.sandbox.guest.recorded.loop import CLOCK_BASE
from codemode.sandbox.guest.recorded.record import Record

__all__ = ["install"]

_sleep = time.sleep
_get_referents = gc.get_referents

# In the words of this Python.
with warnings.catch_warnings(record=True) as _OF_UTCNOW:
    warnings.simplefilter("always")
    datetime.datetime.utcnow()  # noqa: DTZ003  # for its warning

_MICRO = 1_000_000
_MOST_SECONDS = threading.TIMEOUT_MAX


def install(record: Record) -> None:
    """Replace the clocks of ``time`` and ``datetime`` in this process."""

    def since_start() -> int:
        return record.look().now

    def wall() -> int:
        line = record.look()
        return line.wall + line.now

    def sleep(seconds: Any, /) -> None:
        line = record.look()
        # What is no time to sleep raises in each replay, and the same.
        usual = isinstance(seconds, (int, float)) and 0 <= seconds < _MOST_SECONDS
        if not (line.upcoming and usual):
            _sleep(seconds)
        record.step(line, "z", until=line.now + int(seconds * _MICRO))

    clocks = {
        time.CLOCK_REALTIME: wall,
        time.CLOCK_MONOTONIC: lambda: CLOCK_BASE * _MICRO + since_start(),
        time.CLOCK_PROCESS_CPUTIME_ID: since_start,
        time.CLOCK_THREAD_CPUTIME_ID: since_start,
    }

    def clock_of(number: int) -> Callable[[], int]:
        # The others, such as CLOCK_BOOTTIME, are monotonic.
        return clocks.get(operator.index(number), clocks[time.CLOCK_MONOTONIC])

    names = {
        "time": time.CLOCK_REALTIME,
        "monotonic": time.CLOCK_MONOTONIC,
        "perf_counter": time.CLOCK_MONOTONIC,
        "process_time": time.CLOCK_PROCESS_CPUTIME_ID,
        "thread_time": time.CLOCK_THREAD_CPUTIME_ID,
    }
    for name, number in names.items():
        _replace(name, functools.partial(_seconds, clock_of(number)))
        _replace(f"{name}_ns", functools.partial(_nanoseconds, clock_of(number)))
    _replace("clock_gettime", lambda number, /: clock_of(number)() / _MICRO)
    _replace("clock_gettime_ns", lambda number, /: clock_of(number)() * 1_000)
    _replace("sleep", sleep)
    for name in ("gmtime", "localtime", "ctime"):
        _replace(name, _at(getattr(time, name), wall))
    _replace("asctime", _of_now(time.asctime, 0))
    _replace("strftime", _of_now(time.strftime, 1))
    _freeze_datetime(wall)
    # Of Python 3.12 in seconds, of 3.13 in nanoseconds.
    started: Any = vars(logging)["_startTime"]
    vars(logging)["_startTime"] = time.time() if isinstance(started, float) else time.time_ns()


def _replace(name: str, function: Any) -> None:
    functools.update_wrapper(function, getattr(time, name))
    setattr(time, name, function)


def _seconds(clock: Callable[[], int]) -> float:
    return clock() / _MICRO


def _nanoseconds(clock: Callable[[], int]) -> int:
    return clock() * 1_000


def _at(original: Callable[..., Any], wall: Callable[[], int]) -> Callable[..., Any]:
    """Return a function of a time in seconds, which is the present where it is left out."""

    def function(seconds: float | None = None, /) -> Any:
        return original(wall() / _MICRO if seconds is None else seconds)

    return function


def _of_now(original: Callable[..., Any], index: int) -> Callable[..., Any]:
    """Return a function whose argument at ``index`` is the present where it is left out."""

    def function(*args: Any) -> Any:
        return original(*args, *((time.localtime(),) if len(args) == index else ()))

    return function


def _freeze_datetime(wall: Callable[[], int]) -> None:
    """Exchange the methods of ``datetime`` that read the clock in C.

    In the type's own dict: the type stays the one that others have imported and compare with.
    ``today()`` of both types asks ``time.time()``.
    """

    def now(cls: Any, tz: datetime.tzinfo | None = None) -> Any:
        """Return the current date and time, local to tz."""
        seconds, microseconds = divmod(wall(), _MICRO)
        return cls.fromtimestamp(seconds, tz).replace(microsecond=microseconds)

    def utcnow(cls: Any) -> Any:
        """Return a new datetime representing UTC day and time."""
        for warning in _OF_UTCNOW:
            warnings.warn(warning.message, warning.category, stacklevel=2)
        return now(cls, datetime.UTC).replace(tzinfo=None)

    (methods,) = _get_referents(datetime.datetime.__dict__)
    methods["now"] = classmethod(now)
    methods["utcnow"] = classmethod(utcnow)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))
