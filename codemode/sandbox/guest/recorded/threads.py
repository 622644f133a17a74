"""Threads of a recorded run, each on a line of its own.

A thread is labelled where it is started, and work for a pool where it is
submitted: which thread of the pool takes it is chance.
"""

from __future__ import annotations

import _thread
import asyncio
import asyncio.futures
import concurrent.futures
import concurrent.futures.thread
import functools
import threading
from collections.abc import Callable
from typing import Any

from codemode.sandbox.guest.recorded.lines import Line, current_path, enter_line
from codemode.sandbox.guest.recorded.loop import RecordedLoop, follow
from codemode.sandbox.guest.recorded.record import Record

__all__ = ["install"]

_start = threading.Thread.start
_start_new = _thread.start_new_thread
_Pool = concurrent.futures.ThreadPoolExecutor
_submit = _Pool.submit
_worker: Any = getattr(concurrent.futures.thread, "_worker", None)
_wrap_future = asyncio.wrap_future


def install(record: Record) -> None:
    """Give the threads that the code starts from now on lines of their own."""

    def on_line(line: Line, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            former = enter_line(line)
            try:
                record.start_line(line)
                return function(*args, **kwargs)
            finally:
                enter_line(former)
                record.end_line()

        return call

    def start(thread: Any) -> None:
        # The threads of a pool have no line: their work has.
        if getattr(thread, "_target", None) is _worker or thread._started.is_set():
            _start(thread)
            return
        line = record.begin_line(current_path().thread())
        thread.run = on_line(line, thread.run)
        try:
            _start(thread)
        except BaseException:
            record.end_line()
            raise

    def start_new(function: Callable[..., Any], args: Any, *more: Any) -> int:
        line = record.begin_line(current_path().thread())
        try:
            return _start_new(on_line(line, function), args, *more)
        except BaseException:
            record.end_line()
            raise

    def submit(pool: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        name = current_path().thread()
        line = record.begin_line(name)
        work: Any
        try:
            if record.is_used_up:
                work = _submit(pool, on_line(line, function), *args, **kwargs)
                work.add_done_callback(lambda done: record.end_line() if done.cancelled() else None)
            else:
                work = _replayed(record, pool, line, functools.partial(function, *args, **kwargs))
        except BaseException:
            record.end_line()
            raise
        work.recorded_name = name
        return work

    def wrap_future(future: Any, *, loop: asyncio.AbstractEventLoop | None = None) -> Any:
        if asyncio.isfuture(future):
            return future
        loop = loop or asyncio.get_event_loop()
        if isinstance(loop, RecordedLoop):
            return follow(future, loop)
        return _wrap_future(future, loop=loop)

    setattr(threading.Thread, "start", start)  # noqa: B010  # a method, for the type checker
    setattr(_thread, "start_new_thread", start_new)  # noqa: B010  # likewise
    setattr(_Pool, "submit", submit)  # noqa: B010  # likewise
    for module in (asyncio, asyncio.futures):
        setattr(module, "wrap_future", wrap_future)  # noqa: B010  # likewise


def _replayed(record: Record, pool: Any, line: Line, function: Callable[[], Any]) -> Any:
    """Submit work of a replay, which begins if it began in the record, and not by chance."""
    work: concurrent.futures.Future[Any] = concurrent.futures.Future()
    began = bool(line.upcoming)
    if began:
        work.set_running_or_notify_cancel()  # it can be cancelled no longer

    def perform() -> None:
        former = enter_line(line)
        try:
            record.start_line(line, work.cancelled)
            if not began and not work.set_running_or_notify_cancel():
                return
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001  # as the pool does
                work.set_exception(error)
            else:
                work.set_result(result)
        finally:
            enter_line(former)
            record.end_line()

    work.add_done_callback(lambda _: record.changed())
    _submit(pool, perform)
    return work
