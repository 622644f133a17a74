"""The events of one execution, for ``for`` and for ``async for``."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from types import TracebackType
from typing import Any, Protocol, Self

from codemode.core.events import Event, ExecutionCompleted
from codemode.core.result import ExecutionResult

__all__ = ["PAUSE", "Cancellation", "EventStream", "last_result", "last_result_async"]

PAUSE: Any = object()
"""The item in place of an event where none came in time and the reader asked for pauses."""

_WHY = "the stream was cancelled"


class Abortable(Protocol):
    """A stream to a sandbox."""

    def abort(self, why: str) -> None: ...


class Cancellation:
    """The cancellation of one execution, from anywhere and at any of its stages.

    It has no lock, because a signal handler might find it taken: each side
    first notes its own part and then looks for the other's.
    """

    def __init__(self) -> None:
        self.why = ""
        self._link: Abortable | None = None

    def cancel(self) -> None:
        """Cancel the execution, even before it begins. Idempotent, safe from any thread."""
        self.why = _WHY
        if (link := self._link) is not None:
            link.abort(_WHY)

    def watch(self, link: Abortable | None) -> None:
        """Note the stream that carries the execution; None when there is none any more."""
        self._link = link
        if self.why and link is not None:
            link.abort(_WHY)


class EventStream:
    """The events of one execution, which the first step of ``for`` or ``async for`` starts."""

    def __init__(
        self,
        events: Callable[..., Generator[Event, None, None]],
        events_async: Callable[..., AsyncGenerator[Event, None]],
    ) -> None:
        self._events = events
        self._events_async = events_async
        self._sync: Generator[Event, None, None] | None = None
        self._async: AsyncGenerator[Event, None] | None = None
        self._cancellation = Cancellation()

    def __iter__(self) -> Iterator[Event]:
        self._start_once()
        self._sync = self._events(cancellation=self._cancellation)
        return self._sync

    def __aiter__(self) -> AsyncIterator[Event]:
        self._start_once()
        self._async = self._events_async(cancellation=self._cancellation)
        return self._async

    def with_pauses(self, seconds: float) -> Iterator[Event | None]:
        """Iterate as by ``for``, with a None after ``seconds`` in which no event came.

        The reading thread can use it for something else, such as to check
        whether its own client still waits. There is no None while a sync tool
        runs in that thread.
        """
        self._start_once()
        self._sync = self._events(cancellation=self._cancellation, pause_seconds=seconds)
        return (None if event is PAUSE else event for event in self._sync)

    def cancel(self) -> None:
        """Cancel the execution, from any thread, task or signal handler; do not wait.

        The reader gets a last event, whose result is ``cancelled``. Does nothing
        once the execution has ended. Before the first step of the stream, it
        keeps the code from being sent.
        """
        self._cancellation.cancel()

    def close(self) -> None:
        """End the execution, if it has not ended. Idempotent.

        An execution whose next event another thread waits for, or whose events
        a task has read, is cancelled instead.
        """
        if self._sync is None:
            self.cancel()
            return
        try:
            self._sync.close()
        except ValueError as error:
            if "already executing" not in str(error):
                raise
            self.cancel()

    async def aclose(self) -> None:
        """End the execution from a task; otherwise as ``close``."""
        if self._async is None:
            self.cancel()
            return
        try:
            await self._async.aclose()
        except RuntimeError as error:
            if "already running" not in str(error):
                raise
            self.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _start_once(self) -> None:
        if self._sync is not None or self._async is not None:
            raise RuntimeError(
                "this stream was iterated already; each stream() is one execution: call it again"
            )


def last_result(events: Iterable[Event]) -> ExecutionResult:
    """Consume a run's events and return its result."""
    result = None
    for event in events:
        if isinstance(event, ExecutionCompleted):
            result = event.result
    assert result is not None, "a stream ends with its result or raises"
    return result


async def last_result_async(events: AsyncIterable[Event]) -> ExecutionResult:
    """Consume a run's events in a task; otherwise as ``last_result``."""
    result = None
    async for event in events:
        if isinstance(event, ExecutionCompleted):
            result = event.result
    assert result is not None, "a stream ends with its result or raises"
    return result
