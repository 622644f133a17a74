"""The sign of life that a stream's client gets while its run waits."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from codemode.executor.streams.event_writer import Client

__all__ = ["SignOfLife", "StreamClient"]

# A client takes an executor for lost from which nothing has come within a second.
_SECONDS = 0.25


class StreamClient(Client, Protocol):
    """The part of grpc.aio's servicer context that a whole stream uses."""

    async def send_initial_metadata(self, metadata: Any) -> None: ...


class SignOfLife:
    """The headers of a stream's answer, sent early where its run does not start at once.

    Otherwise gRPC sends them with the first event, which may have to wait for a free sandbox.
    """

    def __init__(self, client: StreamClient) -> None:
        self._client = client
        self._sending: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_SECONDS, self._give)

    def _give(self) -> None:
        self._sending = asyncio.create_task(self._client.send_initial_metadata(()))

    async def stop(self) -> None:
        """Return when gRPC may send something else: it sends the headers with that if need be.

        Idempotent.
        """
        self._timer.cancel()
        if self._sending is not None:
            sending, self._sending = self._sending, None
            await asyncio.wait((sending,))
            if not sending.cancelled():
                sending.exception()  # of a client that has left, which the next read or write shows
