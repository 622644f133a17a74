"""The events of one execution, for ``for`` and for ``async for``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from types import TracebackType
from typing import Self

from codemode.core.events import Event

__all__ = ["EventStream"]


class EventStream:
    """Be the events of one execution, started by the first step of ``for`` or ``async for``."""

    def __init__(
        self,
        events: Callable[[], Generator[Event, None, None]],
        events_async: Callable[[], AsyncGenerator[Event, None]],
    ) -> None:
        self._events = events
        self._events_async = events_async
        self._sync: Generator[Event, None, None] | None = None
        self._async: AsyncGenerator[Event, None] | None = None

    def __iter__(self) -> Iterator[Event]:
        self._start_once()
        self._sync = self._events()
        return self._sync

    def __aiter__(self) -> AsyncIterator[Event]:
        self._start_once()
        self._async = self._events_async()
        return self._async

    def close(self) -> None:
        """End the execution, if it has not ended. Idempotent."""
        if self._sync is not None:
            self._sync.close()

    async def aclose(self) -> None:
        """End the execution from a task, if it has not ended. Idempotent."""
        if self._async is not None:
            await self._async.aclose()

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
