"""The delivery of a run's events to its client."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import split, take_batch

__all__ = ["Client", "EventWriter"]

_MOST_KEPT = 128


class Client(Protocol):
    """The part of grpc.aio's servicer context that a stream uses."""

    async def read(self) -> Any: ...
    async def write(self, message: pb.ExecutorMessage) -> None: ...


class EventWriter:
    """A writer of events to one client; events that come together share a message."""

    def __init__(self, client: Client, *, batches: bool) -> None:
        self._client = client
        self._batches = batches
        self._kept: deque[pb.ExecutorMessage] = deque()

    async def send(self, message: pb.ExecutorMessage) -> None:
        """Queue an event for the next ``flush``; send it at once to a client without batches."""
        if not self._batches:
            await self._client.write(message)
            return
        self._kept.append(message)
        if len(self._kept) >= _MOST_KEPT:
            await self.flush()

    async def send_chunks(self, value: bytes) -> bytes:
        """Send all but the last chunk of a large value; return the last."""
        chunks, rest = split(value)
        for chunk in chunks:
            await self.send(pb.ExecutorMessage(chunk=pb.Chunk(data=chunk)))
            await self.flush()
        return rest

    async def flush(self) -> None:
        """Send the queued events."""
        while self._kept:
            taken = take_batch(self._kept)
            await self._client.write(
                taken[0]
                if len(taken) == 1
                else pb.ExecutorMessage(batch=pb.ExecutorBatch(messages=taken))
            )
