"""Threads of a recorded run, each on a line of its own."""

from __future__ import annotations

import _thread
import concurrent.futures.thread
import functools
import threading
from collections.abc import Callable
from typing import Any

from codemode.sandbox.guest.recorded.lines import Line, current_path, enter_line
from codemode.sandbox.guest.recorded.record import Record

__all__ = ["install", "on_line", "rename_thread"]

_start = threading.Thread.start
_start_new = _thread.start_new_thread
_worker: Any = getattr(concurrent.futures.thread, "_worker", None)


def install(record: Record) -> None:
    """Give the threads that the code starts from now on lines of their own.

    A thread is labelled where it is started.
    """

    def start(thread: Any) -> None:
        # The threads of a pool have no line: their work has.
        if getattr(thread, "_target", None) is _worker or thread._started.is_set():
            _start(thread)
            return
        line = record.begin_line(current_path().thread())
        thread.run = on_line(record, line, thread.run)
        try:
            _start(thread)
        except BaseException:
            record.waiting.end_line()
            raise

    def start_new(function: Callable[..., Any], args: Any, *more: Any) -> int:
        line = record.begin_line(current_path().thread())
        try:
            return _start_new(on_line(record, line, function), args, *more)
        except BaseException:
            record.waiting.end_line()
            raise

    setattr(threading.Thread, "start", start)  # noqa: B010  # a method, for the type checker
    for name in ("start_new_thread", "start_new"):
        setattr(_thread, name, start_new)


def on_line(
    record: Record, line: Line, function: Callable[..., Any], name: str = ""
) -> Callable[..., Any]:
    """Return a function that runs on this line, in a thread that has this name by then."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # Until the thread ends or takes other work: what the work has raised is still printed, and
        # its callbacks run.
        enter_line(line)
        if name:
            rename_thread(name)
        try:
            record.start_line(line)
            return function(*args, **kwargs)
        finally:
            record.waiting.end_line()

    return call


def rename_thread(name: str) -> None:
    """Give the current thread another name, for Python alone."""
    thread: Any = threading.current_thread()
    thread._name = name
