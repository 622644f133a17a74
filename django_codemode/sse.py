"""Server-sent events: an execution streamed to an HTTP client as it happens."""

from __future__ import annotations

import asyncio
import json
import logging
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing, contextmanager
from itertools import chain
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from codemode.core.codemode import EventStream
from codemode.core.context import RuntimeContext, get_current_context, use_context
from django_codemode._streams.messages import Describe, Message, amessages_of, messages_of
from django_codemode.payload import event_as_json

__all__ = ["HEARTBEAT_SECONDS", "MAX_UNREAD_SECONDS", "stream_response"]

logger = logging.getLogger("django_codemode")

HEARTBEAT_SECONDS = 15.0
MAX_UNREAD_SECONDS = 60.0
"""In which a client must take a part of the answer, under ASGI."""

_HEARTBEAT_SECONDS_OF_WSGI = 2.0
_READ_AHEAD = 16
_HEARTBEAT = b": still running\n\n"


def stream_response(
    request: HttpRequest,
    events: EventStream,
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
    describe: Describe = event_as_json,
) -> StreamingHttpResponse:
    """Return a response that sends the events of ``Codemode.stream()`` as server-sent events.

    The code begins to run when the body is sent, in the context that is current
    in this call. The body has a comment for every ``heartbeat`` seconds without
    an event. Under ASGI the body is asynchronous, and the sandbox ends as soon
    as the client disconnects, or has read nothing for 60 seconds. Under WSGI
    the body is synchronous, and the sandbox ends when the server notices that
    it cannot write. For that, a comment is sent at least every 2 seconds,
    except while a sync tool runs.
    """
    context = get_current_context()
    body: AsyncIterator[bytes] | Iterator[bytes]
    if isinstance(request, ASGIRequest):
        reader = _Reader()
        body = _aframes(events, context, heartbeat, describe, reader)
    else:
        reader = None
        body = _frames(events, context, min(heartbeat, _HEARTBEAT_SECONDS_OF_WSGI), describe)
    response = StreamingHttpResponse(
        body,
        content_type="text/event-stream; charset=utf-8",
        headers={
            "Cache-Control": "no-cache, no-transform",
            "X-Accel-Buffering": "no",
            # Else GZipMiddleware compresses, and Django 5.2 then holds events back until the end.
            "Content-Encoding": "identity",
        },
    )
    if reader is not None:
        reader.response = weakref.ref(response)
    return response


class _Reader:
    """The client of a stream under ASGI, whose request ends if it reads nothing."""

    def __init__(self) -> None:
        self.response: weakref.ref[StreamingHttpResponse] | None = None
        self._leaving: asyncio.Task[None] | None = None

    @contextmanager
    def taking(self, run: asyncio.Task[None]) -> Iterator[None]:
        """Wait in this block for the client to take a part, and not for ever."""
        request = asyncio.current_task()
        assert request is not None
        patience = asyncio.get_running_loop().call_later(
            MAX_UNREAD_SECONDS, self._leave, request, run
        )
        try:
            yield
        finally:
            patience.cancel()

    def _leave(self, request: asyncio.Task[Any], run: asyncio.Task[None]) -> None:
        logger.warning("A client of a stream has read nothing for %g s", MAX_UNREAD_SECONDS)
        self._leaving = asyncio.create_task(self._end(request, run))

    async def _end(self, request: asyncio.Task[Any], run: asyncio.Task[None]) -> None:
        run.cancel()
        await asyncio.wait((run,))
        if self.response is not None and (response := self.response()) is not None:
            # Django does not close the response of a request that is cancelled, and it must be
            # closed on the request's own thread, which has its connections.
            await sync_to_async(response.close)()
        request.cancel()


def _frames(
    events: EventStream, context: RuntimeContext | None, heartbeat: float, describe: Describe
) -> Iterator[bytes]:
    number = 0
    with closing(messages_of(events, describe, pause_seconds=heartbeat)) as messages:
        # The context is set for the first step only, at which the run captures it:
        # between steps the server's own code runs in this thread.
        with use_context(context):
            first = next(messages)
        for message in chain([first], messages):
            if message is None:
                yield _HEARTBEAT
            else:
                number += 1
                yield _frame(number, message)


async def _aframes(
    events: EventStream,
    context: RuntimeContext | None,
    heartbeat: float,
    describe: Describe,
    reader: _Reader,
) -> AsyncIterator[bytes]:
    # Bounded: a client that reads slowly slows down its sandbox and fills no memory.
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(_READ_AHEAD)
    # A task carries the run, so that a wait can time out without ending the run.
    run = asyncio.create_task(_carry(events, context, queue, describe))
    try:
        while True:
            try:
                async with asyncio.timeout(heartbeat):
                    frame = await queue.get()
            except TimeoutError:
                if run.done():
                    run.result()
                frame = _HEARTBEAT
            if frame is None:
                return
            # The server asks for the next frame once the client has taken this one.
            with reader.taking(run):
                yield frame
    finally:
        run.cancel()
        await asyncio.wait((run,))


async def _carry(
    events: EventStream,
    context: RuntimeContext | None,
    queue: asyncio.Queue[bytes | None],
    describe: Describe,
) -> None:
    number = 0
    with use_context(context):
        async with aclosing(amessages_of(events, describe)) as messages:
            async for message in messages:
                number += 1
                await queue.put(await message.write(_frame, number, message))
    await queue.put(None)


def _frame(number: int, message: Message) -> bytes:
    return f"id: {number}\nevent: {message.event}\ndata: {json.dumps(message.data)}\n\n".encode()
