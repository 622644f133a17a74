"""The bodies of requests and answers: within bounds of size and time.

A body is read once its caller has been admitted. The callers of a server are
many, and one that sends or reads slowly may keep nothing that others need.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from django_codemode.asgi import Message, Receive, Send
from django_codemode.refusals import RefusalError

__all__ = ["MAX_BODY_SECONDS", "MAX_UNREAD_SECONDS", "Body", "may_answer_early", "while_read"]

logger = logging.getLogger("django_codemode")

MAX_BODY_SECONDS = 60.0
MAX_UNREAD_SECONDS = 60.0
"""In which a client must take a part of an answer."""

_PART_BYTES = 64 * 1024


class Body:
    """The body of one request, up to ``most`` bytes; ``declared`` is the Content-Length."""

    def __init__(self, receive: Receive, declared: str | None, *, most: int) -> None:
        self._receive = receive
        self._most = most
        self._read = bytearray()
        # A length of more digits is too large in any case.
        self._too_large = (
            declared is not None and declared.isdecimal() and int(declared[:20]) > most
        )
        self._more = True
        self.has_left = False
        """Whether the client has disconnected before the end."""

    async def read(self, seconds: float) -> bool:
        """Read on, to the end or for ``seconds``; return whether the end has come.

        Raises RefusalError for too many bytes, without reading the rest.
        """
        try:
            async with asyncio.timeout(seconds):
                while self._more and not self._too_large:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        self.has_left = True
                        return True
                    self._read += message.get("body", b"")
                    self._too_large = len(self._read) > self._most
                    self._more = message.get("more_body", False)
        except TimeoutError:
            return False
        if self._too_large:
            text = f"the body has more than {self._most:,} bytes"
            raise RefusalError("body_too_large", text, status=413)
        return True

    async def read_slowly(self) -> None:
        """Read to the end. Raises RefusalError after ``MAX_BODY_SECONDS``."""
        if not await self.read(MAX_BODY_SECONDS):
            text = f"the body has not arrived within {MAX_BODY_SECONDS:g} s"
            raise RefusalError("body_too_slow", text, status=408)

    def again(self) -> Receive:
        """Return a ``receive`` that gives the whole body, and then what comes after it."""
        whole = [{"type": "http.request", "body": bytes(self._read), "more_body": False}]

        async def receive() -> Message:
            return whole.pop() if whole else await self._receive()

        return receive


@asynccontextmanager
async def while_read(send: Send) -> AsyncIterator[Send]:
    """Yield a ``send`` for an answer, and end the block if the client stops reading.

    A large answer is sent in parts, so that of an answer to nobody no more than
    one part is kept. The server then ends the connection, because the answer is
    not complete.
    """
    try:
        async with asyncio.timeout(None) as patience:

            async def sending(message: Message) -> None:
                for part in _parts(message):
                    patience.reschedule(asyncio.get_running_loop().time() + MAX_UNREAD_SECONDS)
                    await send(part)
                patience.reschedule(None)

            yield sending
    except TimeoutError:
        if not patience.expired():
            raise
        logger.warning("A client of MCP has read nothing for %g s", MAX_UNREAD_SECONDS)


def _parts(message: Message) -> Iterator[Message]:
    body = message.get("body", b"")
    if message["type"] != "http.response.body" or len(body) <= _PART_BYTES:
        yield message
        return
    more = message.get("more_body", False)
    for start in range(0, len(body), _PART_BYTES):
        end = start + _PART_BYTES
        yield {**message, "body": body[start:end], "more_body": more or end < len(body)}


def may_answer_early(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Return both for an application that need not read the body.

    With the end of the answer, what is left of the body is dropped. Some servers
    hand a body over in a queue of few parts: Hypercorn waits for room in it, and
    meanwhile ends neither the answer nor the connection, even of a client that
    has left.
    """
    ended = False

    async def receiving() -> Message:
        nonlocal ended
        message = await receive()
        ended = ended or message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drop() -> None:
        while not ended:
            await receiving()

    async def sending(message: Message) -> None:
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if ended or not is_last:
            await send(message)
            return
        rest = asyncio.create_task(drop())
        try:
            await send(message)
        finally:
            rest.cancel()
            await asyncio.wait((rest,))

    return receiving, sending
