"""The messages of a connection to an MCP server, watched for its end and for what is sent."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import anyio

__all__ = ["Attempt", "attempt_of_task", "watched"]


@dataclass(slots=True)
class Attempt:
    """One try to send a request. While it is not ``sent``, the server has done nothing for it."""

    sent: bool = False


attempt_of_task: ContextVar[Attempt | None] = ContextVar("codemode_mcp_attempt", default=None)
"""The SDK sends a request in a copy of the context of the task that makes it."""


@asynccontextmanager
async def watched(
    transport: AbstractAsyncContextManager[Any], ended: anyio.Event
) -> AsyncIterator[tuple[Any, Any]]:
    """Yield the streams of a transport, and set ``ended`` when the server ends the connection."""
    async with transport as (read, write):
        yield _Reader(read, ended), _Writer(write)


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Any:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        done: bool | None = await self._stream.__aexit__(*error)
        return done


class _Reader(_Stream):
    """The messages of the server, to their end."""

    def __init__(self, stream: Any, ended: anyio.Event) -> None:
        super().__init__(stream)
        self._ended = ended

    @property
    def last_context(self) -> contextvars.Context | None:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        try:
            return await self._stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._ended.set()
            raise

    def __aiter__(self) -> _Reader:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


class _Writer(_Stream):
    """The messages to the server; the attempt of a task knows whether one was handed over."""

    async def send(self, item: Any) -> None:
        attempt = attempt_of_task.get()
        if attempt is not None:
            attempt.sent = True
        try:
            await self._stream.send(item)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            if attempt is not None:
                attempt.sent = False
            raise
