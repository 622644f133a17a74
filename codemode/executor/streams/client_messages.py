"""The messages of a stream's client, checked, with the values that come in chunks."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from google.protobuf.message import DecodeError

from codemode.executor.streams.admission import Admission, BusyError
from codemode.executor.streams.event_writer import Client
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import EOF, ChunkBuffer

__all__ = ["ClientMessages", "RequestRefusedError"]

_PATIENCE_SECONDS = 3.0  # between two messages of a refused client
_MOST_IN_BATCH = 1_000


class RequestRefusedError(ValueError):
    """A message of the client that breaks the contract or a limit."""


class ClientMessages:
    """The messages of one client.

    Chunks are kept until the message that ends their value. A value has at most
    ``ceiling`` bytes, and at most ``max_value_bytes`` once the stream has set them.
    """

    def __init__(self, client: Client, ceiling: int) -> None:
        self.max_value_bytes = ceiling
        self._client = client
        self._ceiling = ceiling
        self._chunks = ChunkBuffer()

    async def read(self) -> Any:
        """Return the next message, or EOF. Raises RequestRefusedError."""
        try:
            message = await self._client.read()
        except DecodeError:
            raise RequestRefusedError(
                "the client sent bytes that are not a message of the wire contract"
            ) from None
        if message is not EOF and len(message.batch.messages) > _MOST_IN_BATCH:
            raise RequestRefusedError(
                f"a batch has {len(message.batch.messages)} messages; it may have {_MOST_IN_BATCH}"
            )
        return message

    async def read_first(self, admission: Admission) -> Any:
        """Return the first message that is not a chunk. Raises BusyError, RequestRefusedError."""
        first = await self.read()
        try:
            with admission.arrival() as arrived:
                while _is_chunk(first):
                    arrived(len(first.chunk.data))
                    self.keep_chunk(first.chunk)
                    first = await self.read()
        except (BusyError, RequestRefusedError):
            # Read on: a client that is still sending would not learn the reason.
            self._chunks.clear()
            with contextlib.suppress(TimeoutError):
                while _is_chunk(first):
                    async with asyncio.timeout(_PATIENCE_SECONDS):
                        first = await self.read()
            raise
        return first

    def keep_chunk(self, chunk: pb.Chunk) -> None:
        """Keep a part of a value. Raises RequestRefusedError."""
        self._chunks.add(chunk.data)
        # Before `open` the limit is not known yet; the ceiling always applies.
        if self._chunks.size > self._ceiling:
            raise RequestRefusedError(f"a value is larger than {self._ceiling} bytes")

    def whole(self, last: bytes) -> bytes:
        """Return a value with the chunks that came before it. Raises RequestRefusedError."""
        last = self._chunks.whole(last)
        if len(last) > self.max_value_bytes:
            raise RequestRefusedError(
                f"a value of {len(last)} bytes is above max_value_bytes ({self.max_value_bytes})"
            )
        return last


def _is_chunk(message: Any) -> bool:
    return message is not EOF and message.WhichOneof("message") == "chunk"
