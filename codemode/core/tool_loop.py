"""The loop on which the sync half runs an execution's async tools.

What they do synchronously (the ORM, above all) comes back to the caller's
thread by asgiref's ThreadSensitiveContext, so that every tool sees the caller's
connection and transaction.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from asgiref.sync import ThreadSensitiveContext

from codemode.core.dispatch import UNWIND_SECONDS, Dispatcher, ToolCall, ToolOutcome, cancel_once
from codemode.core.threads import adopt_locals

__all__ = ["Finished", "ToolLoop", "Work"]

logger = logging.getLogger(__name__)

_STOP_SECONDS = 5.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Finished:
    """A tool that ran beside the caller's thread has ended."""

    call: ToolCall
    outcome: ToolOutcome


class Work:
    """A function that must run in the caller's thread."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.future: Future[Any] = Future()
        self._function = function

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._function()
        except BaseException as error:
            self.future.set_exception(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        else:
            self.future.set_result(result)


class _CallerThread(Executor):
    """Run what is submitted in the caller's thread, which serves the inbox."""

    def __init__(self, inbox: SimpleQueue[Any]) -> None:
        self._inbox = inbox

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        work = Work(lambda: fn(*args, **kwargs))
        self._inbox.put(work)
        return work.future


class ToolLoop:
    """The event loop of one execution's async tools, in a thread of its own."""

    def __init__(self, inbox: SimpleQueue[Any]) -> None:
        self._inbox = inbox
        self._caller = _CallerThread(inbox)
        self._unended: set[ToolCall] = set()  # of both threads: each step on it is atomic
        self._starting: deque[tuple[ToolCall, Dispatcher]] = deque()
        self._tasks: dict[ToolCall, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run,
            name="codemode-tools",
            daemon=True,
        )
        self._thread.start()

    def start(self, call: ToolCall, dispatcher: Dispatcher) -> None:
        self._unended.add(call)
        self._starting.append((call, dispatcher))
        if len(self._starting) == 1:
            # Calls come many at once, and waking the loop for each costs more than starting it.
            self._loop.call_soon_threadsafe(self._start_all)

    def cancel(self, call: ToolCall) -> None:
        self._loop.call_soon_threadsafe(self._cancel, call)

    def cancel_all(self) -> None:
        """Cancel every tool and serve the caller's thread until they have ended."""
        if not self._unended:
            return
        ended = asyncio.run_coroutine_threadsafe(self._cancel_tasks(), self._loop)
        ended.add_done_callback(lambda _: self._inbox.put(_ENDED))
        # The tools may need this thread to unwind: serve it meanwhile.
        kept = []
        while (item := self._inbox.get()) is not _ENDED:
            if isinstance(item, Work):
                item.run()
            else:
                kept.append(item)
        for item in kept:
            self._inbox.put(item)
        ended.result()

    def stop(self) -> None:
        self.cancel_all()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            asyncio.set_event_loop(None)
            self._loop.close()

    def _start_all(self) -> None:
        while self._starting:
            self._start(*self._starting.popleft())

    def _start(self, call: ToolCall, dispatcher: Dispatcher) -> None:
        task = self._loop.create_task(self._call(call, dispatcher), context=call.context)
        self._tasks[call] = task
        task.add_done_callback(lambda _: self._forget(call))

    async def _call(self, call: ToolCall, dispatcher: Dispatcher) -> None:
        adopt_locals()
        try:
            async with ThreadSensitiveContext(executor=self._caller):
                outcome = await dispatcher.call_in_async_half(call)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            self._inbox.put(error)
        else:
            self._inbox.put(Finished(call, outcome))

    def _forget(self, call: ToolCall) -> None:
        del self._tasks[call]
        self._unended.discard(call)

    def _cancel(self, call: ToolCall) -> None:
        if (task := self._tasks.get(call)) is not None:
            cancel_once(task)

    async def _cancel_tasks(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            cancel_once(task)
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=UNWIND_SECONDS)
            if pending:
                logger.warning("%d async tools go on although they were cancelled", len(pending))


_ENDED = object()
