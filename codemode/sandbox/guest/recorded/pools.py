"""Work for pools of threads in a recorded run, each piece on a line of its own.

It is labelled where it is submitted: which thread of the pool takes it is
chance. Which piece ends first is chance too, and a step where the code looks.
"""

from __future__ import annotations

import asyncio
import asyncio.futures
import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from codemode.sandbox.guest.recorded.lines import Line, current_line, current_path, enter_line
from codemode.sandbox.guest.recorded.loop import RecordedLoop, follow
from codemode.sandbox.guest.recorded.record import Record
from codemode.sandbox.guest.recorded.threads import on_line, rename_thread

__all__ = ["install"]

_Pool = concurrent.futures.ThreadPoolExecutor
_submit = _Pool.submit
_shutdown = _Pool.shutdown
_add_done_callback = Future.add_done_callback
_wait = concurrent.futures.wait
_as_completed = concurrent.futures.as_completed
_wrap_future = asyncio.wrap_future
_hash: Callable[[object], int] = object.__hash__
_monotonic = time.monotonic
_start = threading.Thread.start
_get_ident = threading.get_ident

_NO_MORE = "-"
"""The argument of the step after which no more had ended."""

_AT_ONCE = 100  # names in a step


def install(record: Record) -> None:
    """Give work that the code submits from now on lines of its own."""

    def submit(pool: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        name = current_path().thread()
        line = record.begin_line(name)
        thread = _thread_name(pool)
        work: Any
        try:
            if record.is_used_up:
                work = _submit(pool, on_line(record, line, function, thread), *args, **kwargs)
                _add_done_callback(
                    work, lambda done: record.waiting.end_line() if done.cancelled() else None
                )
            else:
                work = _replayed(
                    record, pool, line, functools.partial(function, *args, **kwargs), thread
                )
        except BaseException:
            record.waiting.end_line()
            raise
        work.recorded_name = name
        work.recorded_number = current_line().number()
        return work

    def shutdown(pool: Any, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            # A thread of the pool may have taken some, and waits for the record to be used up.
            for work in vars(pool).get("recorded_works", ()):
                work.cancel()
        _shutdown(pool, wait, cancel_futures=cancel_futures)

    def add_done_callback(work: Any, function: Callable[[Any], object]) -> None:
        """Call back on a line of its own: which thread calls is chance."""
        if getattr(work, "recorded_name", None) is None:
            _add_done_callback(work, function)
            return
        line = record.begin_line(current_path().thread())
        record.waiting.end_line()
        here = _get_ident()

        def call(done: Any) -> None:
            # A thread of the pool has come to the end of its own line.
            apart = _get_ident() != here
            if apart:
                record.waiting.begin_line()
            former = enter_line(line)
            try:
                function(done)
            finally:
                enter_line(former)
                if apart:
                    record.waiting.end_line()

        _add_done_callback(work, call)

    def wrap_future(future: Any, *, loop: asyncio.AbstractEventLoop | None = None) -> Any:
        if asyncio.isfuture(future):
            return future
        loop = loop or asyncio.get_event_loop()
        if isinstance(loop, RecordedLoop):
            return follow(future, loop)
        return _wrap_future(future, loop=loop)

    def as_completed(fs: Iterable[Any], timeout: float | None = None) -> Iterator[Any]:
        works = _named(fs)
        if works is None:
            yield from _as_completed(fs, timeout)
            return
        left, total = works, len(works)
        end = None if timeout is None else _monotonic() + timeout
        while left:
            ended = _ended(record, left, None if end is None else end - _monotonic(), most=1)
            if not ended:
                raise TimeoutError(f"{len(left)} (of {total}) futures unfinished")
            yield left.pop(*ended)

    def wait(
        fs: Iterable[Any], timeout: float | None = None, return_when: str = "ALL_COMPLETED"
    ) -> Any:
        works = _named(fs)
        if works is None or (timeout is None and return_when == "ALL_COMPLETED"):
            return _wait(fs, timeout, return_when)
        ended = _ended(record, works, timeout, return_when=return_when)
        done = {works.pop(name) for name in ended}
        return concurrent.futures._base.DoneAndNotDoneFutures(done, set(works.values()))

    setattr(_Pool, "submit", submit)  # noqa: B010  # a method, for the type checker
    setattr(_Pool, "shutdown", shutdown)  # noqa: B010  # likewise
    setattr(Future, "__hash__", _hash_of)  # noqa: B010  # likewise
    setattr(Future, "add_done_callback", add_done_callback)  # noqa: B010  # likewise
    for module in (asyncio, asyncio.futures):
        setattr(module, "wrap_future", wrap_future)  # noqa: B010  # a function, likewise
    for module in (concurrent.futures, concurrent.futures._base):
        setattr(module, "as_completed", as_completed)  # noqa: B010  # likewise
        setattr(module, "wait", wait)  # noqa: B010  # likewise


def _hash_of(work: Any) -> int:
    """Return the number of work, so that sets of it have an order that replays."""
    number: int | None = work.__dict__.get("recorded_number")
    return _hash(work) if number is None else number


def _named(works: Iterable[Any]) -> dict[str, Any] | None:
    """Return work by its name; None where some of it has none."""
    named = {getattr(work, "recorded_name", ""): work for work in works}
    return None if "" in named else named


def _ended(
    record: Record,
    works: dict[str, Any],
    timeout: float | None,
    *,
    most: int | None = None,
    return_when: str = "FIRST_COMPLETED",
) -> list[str]:
    """Wait for work to end; return the names of what has, in the record or now."""
    line = current_line()
    if line.upcoming and line.upcoming[0].kind == "f":
        return _ended_before(record, works, most)
    done, _ = _wait(works.values(), timeout, return_when)
    ended = [name for name, work in works.items() if work in done][:most]
    for start in range(0, len(ended), _AT_ONCE):
        record.step(line, "f", ",".join(ended[start : start + _AT_ONCE]))
    if len(ended) != most:
        record.step(line, "f", _NO_MORE)
    return ended


def _ended_before(record: Record, works: dict[str, Any], most: int | None) -> list[str]:
    """Wait for the work that had ended in the record; return its names."""
    line = current_line()
    ended: list[str] = []
    while len(ended) != most and line.upcoming:
        argument = line.upcoming[0].argument
        record.step(line, "f", argument)
        if argument == _NO_MORE:
            break
        ended += argument.split(",")
    if not works.keys() >= set(ended):
        record.diverge("missing")
    record.wait(
        lambda: all(works[name].done() for name in ended), lambda: record.diverge("missing")
    )
    return ended


def _thread_name(pool: Any) -> str:
    """Return the name of the thread for the next work that the current line submits to a pool.

    One of those that the threads of the pool have, but not by which of them is the first to come.
    """
    numbers: dict[str, int] = vars(pool).setdefault("recorded_numbers", {})
    label = current_line().label
    number = numbers[label] = numbers.get(label, -1) + 1
    return f"{pool._thread_name_prefix or pool}_{number % pool._max_workers}"


def _replayed(
    record: Record, pool: Any, line: Line, function: Callable[[], Any], thread: str
) -> Future[Any]:
    """Submit work of a replay, which begins if it began in the record, and not by chance."""
    work: Future[Any] = Future()
    began = bool(line.upcoming)
    if began:
        work.set_running_or_notify_cancel()  # it can be cancelled no longer

    def perform() -> None:
        former = enter_line(line)
        rename_thread(thread)
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
            record.waiting.end_line()

    def dropped(queued: Future[Any]) -> None:
        """Take note that the pool was shut down before a thread of it took the work."""
        if not queued.cancelled():
            return
        if began:
            _start(threading.Thread(target=perform, daemon=True))
        else:
            work.cancel()
            record.waiting.end_line()

    _add_done_callback(work, lambda _: record.waiting.note())
    vars(pool).setdefault("recorded_works", []).append(work)
    _add_done_callback(_submit(pool, perform), dropped)
    return work
