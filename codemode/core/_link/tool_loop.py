"""The loop on which the sync half runs an execution's async tools.

The sync code in these tools (the ORM, above all) returns to the caller's thread
by asgiref's ThreadSensitiveContext, so that every tool sees the caller's
connection and transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, InvalidStateError
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from asgiref.sync import ThreadSensitiveContext

from codemode.core._dispatch.cancelling import cancel_once
from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core._dispatch.interrupts import is_interrupt
from codemode.core._dispatch.threads import UNWIND_SECONDS, adopt_locals
from codemode.core._grpc.apart import call_apart
from codemode.core._link.link import Finished
from codemode.core.hooks import ToolCall

__all__ = ["ToolLoop", "Work"]

logger = logging.getLogger("codemode.core")

_STOP_SECONDS = 5.0

_T = TypeVar("_T")


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
            if is_interrupt(error):
                raise
        else:
            self.future.set_result(result)

    def refuse(self) -> None:
        with contextlib.suppress(InvalidStateError):  # refused already, or cancelled
            self.future.set_exception(
                RuntimeError(
                    "the execution that called this tool has ended, and its caller's thread runs "
                    "no sync code for it any more"
                )
            )


class _CallerThread(Executor):
    """An Executor in the caller's thread, which serves the inbox until it leaves."""

    def __init__(self, inbox: SimpleQueue[Any]) -> None:
        self._inbox = inbox
        self._left = False

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        work = Work(lambda: fn(*args, **kwargs))
        self._inbox.put(work)
        if self._left:
            work.refuse()
        return work.future

    def leave(self) -> None:
        self._left = True
        with contextlib.suppress(Empty):
            while True:
                if isinstance(item := self._inbox.get_nowait(), Work):
                    item.refuse()


class ToolLoop:
    """The event loop of one execution's async tools, in a separate thread."""

    def __init__(self, inbox: SimpleQueue[Any]) -> None:
        self._inbox = inbox
        self._caller = _CallerThread(inbox)
        # Shared by both threads: each operation on them is atomic.
        self._unended: set[ToolCall] = set()
        self._stragglers: set[ToolCall] = set()  # the unended calls that nobody waits for
        self._starting: deque[tuple[ToolCall, Dispatcher]] = deque()
        self._tasks: dict[ToolCall, asyncio.Task[None]] = {}
        self._stopping = False
        self._carrier = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run,
            name="codemode-tools",
            daemon=True,
        )
        try:
            call_apart(self._thread.start)
        except BaseException:
            self.abandon()
            raise

    def start(self, call: ToolCall, dispatcher: Dispatcher) -> None:
        """Run a tool; call this from the thread that carries the execution."""
        self._carrier = threading.get_ident()
        self._unended.add(call)
        self._starting.append((call, dispatcher))
        if len(self._starting) == 1:
            # Many calls come at once; waking the loop for each would cost more than the start.
            self._loop.call_soon_threadsafe(self._start_all)

    def cancel(self, call: ToolCall) -> None:
        self._loop.call_soon_threadsafe(self._cancel, call)

    def cancel_all(self) -> None:
        """Cancel every tool and serve the caller's thread until all have ended.

        Waits at most ``UNWIND_SECONDS``, and only once for each tool, because a
        tool may block the loop or swallow its cancellation. A thread that is not
        the caller's does not wait: the garbage collector may close a stream in
        any thread, even in a tool.
        """
        calls = self._unended - self._stragglers
        if not calls:
            return
        ended = asyncio.run_coroutine_threadsafe(self._cancel_tasks(calls), self._loop)
        if threading.get_ident() != self._carrier:
            self._stragglers |= calls
            return
        self._serve_until(ended)
        if left := calls & self._unended:
            self._stragglers |= left
            logger.warning("%d async tools go on although they were cancelled", len(left))

    def stop(self) -> None:
        """Cancel every tool and end the loop; tools that go on end it when they end."""
        self.cancel_all()
        self._caller.leave()
        self._loop.call_soon_threadsafe(self._stop)
        if not self._stragglers:
            self._thread.join(_STOP_SECONDS)

    def _serve_until(self, ended: Future[None]) -> None:
        mark = object()
        ended.add_done_callback(lambda _: self._inbox.put(mark))
        until = time.monotonic() + UNWIND_SECONDS
        kept = []
        # The tools may need this thread to unwind.
        while True:
            try:
                item = self._inbox.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                ended.cancel()  # its callback then puts the mark
                continue
            if item is mark:
                break
            if isinstance(item, Work):
                item.run()
            else:
                kept.append(item)
        for item in kept:
            self._inbox.put(item)

    def abandon(self) -> None:
        """Do the same as ``stop()`` without waiting, for a caller that could not call it."""
        self._caller.leave()
        with contextlib.suppress(RuntimeError):  # it has stopped
            self._loop.call_soon_threadsafe(self._cancel_and_stop)

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
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._inbox.put(error)
        else:
            self._inbox.put(Finished(call, outcome))

    def _forget(self, call: ToolCall) -> None:
        del self._tasks[call]
        self._unended.discard(call)
        self._stragglers.discard(call)
        if self._stopping:
            self._stop()

    def _cancel(self, call: ToolCall) -> None:
        if (task := self._tasks.get(call)) is not None:
            cancel_once(task)

    async def _cancel_tasks(self, calls: set[ToolCall]) -> None:
        tasks = [task for call, task in self._tasks.items() if call in calls]
        for task in tasks:
            cancel_once(task)
        if tasks:
            await asyncio.wait(tasks)

    def _cancel_and_stop(self) -> None:
        for task in self._tasks.values():
            cancel_once(task)
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        if not self._tasks:
            self._loop.stop()
