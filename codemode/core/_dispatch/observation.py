"""The notification of observers: of the begin of an execution and, exactly once, of its end."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

from codemode.core._dispatch import logs
from codemode.core._dispatch.interrupts import is_interrupt
from codemode.core._dispatch.threads import UNWIND_SECONDS, on_sync_thread
from codemode.core.hooks import Execution, ExecutionObserver
from codemode.core.plain_functions import call_plain
from codemode.core.result import ExecutionFailure, ExecutionResult

__all__ = ["Observation", "RunSoFar"]

logger = logging.getLogger("codemode.executions")


class RunSoFar(Protocol):
    """The record of a run that an observation reports at its end."""

    @property
    def final(self) -> ExecutionResult | None:
        """Return the whole outcome, None before the end."""

    @property
    def left_a_tool(self) -> bool:
        """Return whether a sync tool of the run still holds the thread for sync code."""

    def cancelled(self, why: str) -> ExecutionResult:
        """Return the outcome of the run as it stands, cancelled."""


class Observation:
    """A ``with`` or ``async with`` block around one execution, which notifies its observers."""

    def __init__(self, observers: Sequence[ExecutionObserver], execution: Execution) -> None:
        self._observers = observers
        self._notified: list[ExecutionObserver] = []
        self._execution = execution
        self._began = 0.0
        self._pid = os.getpid()
        self.transcript: RunSoFar | None = None

    def __enter__(self) -> Self:
        self._began = logs.execution_began(self._execution)
        try:
            self._start()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pid == os.getpid():  # in a forked child, its parent notifies
            self._finish(*self._outcome(error))

    async def __aenter__(self) -> Self:
        self._began = logs.execution_began(self._execution)
        if self._observers:
            notification = _Notification(self._start)
            try:
                await notification
            except BaseException as error:
                if notification.withdraw():
                    self._outcome(error)
                else:
                    await self.__aexit__(type(error), error, None)
                raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pid != os.getpid():
            return
        outcome = self._outcome(error)
        if self._observers:
            # A tool that was left behind may hold the thread for any length of time.
            patience = 0.0 if self._left_a_tool() else UNWIND_SECONDS
            hurried = _given_up(error) is not None
            notification = _Notification(self._finish, *outcome)
            await notification.wait(patience=patience, hurried=hurried)

    def _start(self) -> None:
        for observer in self._observers:
            self._notified.append(observer)
            try:
                call_plain(observer.execution_started, self._execution)
            except Exception as error:
                if is_interrupt(error):
                    raise
                logger.exception("An observer failed; execution %s goes on", self._id)

    def _finish(self, result: ExecutionResult | None, error: BaseException | None) -> None:
        interrupt: BaseException | None = None
        while self._notified:
            observer = self._notified.pop()
            try:
                call_plain(observer.execution_finished, self._execution, result, error)
            except BaseException as problem:
                if is_interrupt(problem):
                    interrupt = problem  # raised once the others know of the end
                else:
                    logger.exception("An observer failed; the result of %s stands", self._id)
        if interrupt is not None:
            raise interrupt

    def _outcome(
        self, error: BaseException | None
    ) -> tuple[ExecutionResult | None, BaseException | None]:
        transcript = self.transcript
        result: ExecutionResult | None = getattr(error, "result", None)
        if transcript is not None and transcript.final is not None:
            result, error = transcript.final, None  # closing an ended stream is not a failure
        elif (why := _given_up(error)) is not None:
            result, error = self._cancelled(why), None
        logs.execution_ended(self._execution, self._began, result, error)
        return result, error

    def _left_a_tool(self) -> bool:
        return self.transcript is not None and self.transcript.left_a_tool

    def _cancelled(self, why: str) -> ExecutionResult:
        if self.transcript is not None:
            return self.transcript.cancelled(why)
        return ExecutionResult(  # its code has not been sent
            status="cancelled",
            execution_id=self._id,
            error=ExecutionFailure(type="Cancelled", message=why),
            duration_ms=(time.monotonic() - self._began) * 1000,
        )

    @property
    def _id(self) -> str:
        return self._execution.execution_id


def _given_up(error: BaseException | None) -> str | None:
    """Return why the caller gave up the execution, or None if the caller did not."""
    if isinstance(error, GeneratorExit):
        return "the stream was closed before its end"
    if isinstance(error, asyncio.CancelledError):
        return "the task that executed it was cancelled"
    return "the caller was interrupted" if error is not None and is_interrupt(error) else None


class _Notification:
    """A notification of the observers, on its way to the thread for sync code.

    It arrives even when the task that waits for it is cancelled, unless it is withdrawn.
    """

    def __init__(self, function: Callable[..., None], *args: Any) -> None:
        self._function = partial(function, *args)
        self._taken = threading.Lock()  # for good: by the arrival or by a withdrawal
        self._task = asyncio.ensure_future(self._deliver())

    async def wait(self, *, patience: float, hurried: bool) -> None:
        """Wait at most ``patience`` seconds, and for observers at work longer unless ``hurried``.

        Cancellation sets ``hurried``. A notification that has not arrived by then arrives later.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        cancelled: asyncio.CancelledError | None = None
        while not self._task.done():
            left = until - loop.time()
            if left <= 0 and (hurried or not self._taken.locked()):
                _late_tasks.add(self._task)
                self._task.add_done_callback(_arrived_late)
                break
            try:
                await asyncio.wait((self._task,), timeout=left if left > 0 else None)
            except asyncio.CancelledError as error:
                cancelled, hurried = error, True
        if cancelled is not None:
            raise cancelled
        if self._task.done():
            self._task.result()

    def withdraw(self) -> bool:
        """Withdraw the notification; return False when it has arrived already."""
        return self._taken.acquire(blocking=False)

    def __await__(self) -> Generator[Any, None, None]:
        return asyncio.shield(self._task).__await__()

    async def _deliver(self) -> None:
        while not self._taken.locked():
            try:
                await on_sync_thread(self._arrive)
            except asyncio.CancelledError:
                pass  # cancelled by the end of the loop, which waits for its tasks

    def _arrive(self) -> None:
        if self._taken.acquire(blocking=False):
            self._function()


_late_tasks: set[asyncio.Task[None]] = set()  # referenced, so that no task is collected half-way


def _arrived_late(task: asyncio.Task[None]) -> None:
    _late_tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("Observers could not be notified of an execution's end", exc_info=error)
