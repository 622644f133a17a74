"""The parts of a websocket consumer that do not depend on Channels."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import AsyncToSync, ThreadSensitiveContext, sync_to_async

from django_codemode._streams.broadcast import MAX_EVENT_BYTES, Broadcast
from django_codemode._streams.messages import Message
from django_codemode.database import close_connections
from django_codemode.refusals import RefusalError

__all__ = ["Line", "name_in", "own_thread", "what_to_watch"]

_MAX_ID = 64
_MAX_NUMBER = 2**53
_EXECUTION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Line:
    """The ordered messages of one run or watch of a socket."""

    def __init__(
        self, name: str, *, send: Callable[[str], Awaitable[None]], release: Callable[[str], object]
    ) -> None:
        self.name = name
        self.number = 0
        self.broadcast: Broadcast | None = None
        self._send = send
        self._release = release

    async def send(self, message: Message) -> None:
        """Send the next event to the client and to the watchers."""
        self.number += 1
        if message.is_last:
            self.release()
        event = {"type": message.event, "number": self.number, "data": message.data}
        text = await message.write(json.dumps, event)
        if self.broadcast is not None:
            watched = text
            if len(text) > MAX_EVENT_BYTES:
                watched = await message.write(_smaller, event, len(text))
            await self.broadcast.send((self.number, watched, message.is_last))
        await self.pass_on(text)

    def release(self) -> None:
        """Let the client use the id again: its last message follows."""
        self._release(self.name)

    async def pass_on(self, text: str) -> None:
        """Send the client an event that is already JSON."""
        await self._send(f'{{"id": {json.dumps(self.name)}, {text[1:]}')


def _smaller(event: dict[str, Any], size: int) -> str:
    """Return the JSON of a large event without the bytes of artifacts, or else with its size."""
    artifacts = event["data"].get("artifacts", ())
    left = size - sum(len(one["data"]) for one in artifacts)
    if left > MAX_EVENT_BYTES:
        return json.dumps({**event, "data": {"too_large": size}})
    named = [{**one, "data": None} for one in artifacts]
    return json.dumps({**event, "data": {**event["data"], "artifacts": named}})


@asynccontextmanager
async def own_thread() -> AsyncIterator[None]:
    """Give sync code a thread that is not shared, and finally close its connections.

    Does nothing if async_to_sync runs the loop, as in a TestCase: there sync code
    belongs in the waiting thread, whose connection sees the rows of the test.
    """
    if asyncio.get_running_loop() in AsyncToSync.loop_thread_executors:
        yield
        return
    async with ThreadSensitiveContext():
        try:
            yield
        finally:
            await _to_its_end(sync_to_async(close_connections)())


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await work that no cancellation may interrupt; raise a cancellation afterwards."""
    task = asyncio.create_task(work)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    await task
    if cancelled is not None:
        raise cancelled


def name_in(message: dict[str, Any]) -> str:
    """Remove the client's id from a message and return it. Raises RefusalError."""
    name = message.pop("id", None)
    if isinstance(name, str) and 0 < len(name) <= _MAX_ID:
        return name
    raise RefusalError(
        "invalid_id", f"the id is {name!r:.100}; expected a string of 1 to {_MAX_ID} characters"
    )


def what_to_watch(message: dict[str, Any]) -> tuple[str, int]:
    """Return which execution to watch, and after which event number. Raises RefusalError."""
    execution_id, after = message.pop("execution_id", None), message.pop("after", 0)
    if not (isinstance(execution_id, str) and _EXECUTION_ID.fullmatch(execution_id)):
        raise RefusalError(
            "invalid_execution_id",
            f"'execution_id' is {execution_id!r:.100}; expected the execution_id from the "
            "'started' event",
        )
    # Bounded, because a channel layer carries integers of at most 64 bits.
    if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after <= _MAX_NUMBER:
        raise RefusalError(
            "invalid_after", f"'after' is {after!r:.100}; expected the number of an event, or 0"
        )
    if message:
        raise RefusalError("unknown_key", f"a watch has no key {min(message)[:100]!r}")
    return execution_id, after
