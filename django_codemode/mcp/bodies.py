"""The body of a request: read within a bound, and only once its caller has been admitted."""

from __future__ import annotations

import asyncio

from django_codemode.asgi import Message, Receive, Send
from django_codemode.refusals import RefusalError

__all__ = ["may_answer_early", "read_whole"]


async def read_whole(receive: Receive, declared: str | None, *, most: int) -> Receive | None:
    """Read a body; return a ``receive`` that gives it again, None if the client has left.

    ``declared`` is the Content-Length. Raises RefusalError for more than ``most``
    bytes, without reading them.
    """
    body = bytearray()
    # A length of more digits is too large in any case.
    too_large = declared is not None and declared.isdecimal() and int(declared[:20]) > most
    more = not too_large
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        too_large = len(body) > most
        more = message.get("more_body", False) and not too_large
    if too_large:
        raise RefusalError("body_too_large", f"the body has more than {most:,} bytes", status=413)
    whole = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return again


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
