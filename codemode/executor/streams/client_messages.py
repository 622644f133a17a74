"""The messages of a stream's client, checked, with the values that come in chunks."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from codemode.executor.streams.admission import Admission, BusyError
from codemode.executor.streams.event_writer import Client
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import EOF, ChunkBuffer, unbatched

__all__ = ["ClientMessages", "RequestRefusedError"]

_PATIENCE_SECONDS = 3.0  # between two messages of a refused client
_MOST_IN_BATCH = 1_000
_MOST_REPLAY_PARTS = 4_096


class RequestRefusedError(ValueError):
    """A message of the client that breaks the contract or a limit."""


class _MissingPartError(RequestRefusedError):
    """The absence of a part that should have been the next message."""


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
        self._batch: deque[Any] = deque()

    async def read(self) -> Any:
        """Return the next message, also out of a batch, or EOF. Raises RequestRefusedError."""
        while not self._batch:
            message = await self._read_one()
            if message is EOF:
                return EOF
            self._batch.extend(unbatched(message))
        return self._batch.popleft()

    async def _read_one(self) -> Any:
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
        first = await self._read_one()
        try:
            with admission.arrival() as arrived:
                while _is_a("chunk", first):
                    arrived(len(first.chunk.data))
                    self.keep_chunk(first.chunk)
                    first = await self._read_one()
        except (BusyError, RequestRefusedError):
            self._chunks.clear()
            if _is_a("chunk", first):
                await self._let_finish("chunk")
            raise
        return first

    async def read_replay(self, run: pb.Run, admission: Admission) -> None:
        """Complete the replay of a recorded run by the messages that follow.

        Raises BusyError, RequestRefusedError.
        """
        try:
            with admission.arrival() as arrived:
                run.replay = await self._whole_replay(run, arrived)
        except _MissingPartError:
            raise
        except (BusyError, RequestRefusedError):
            if run.replay_parts:
                await self._let_finish("replay_part")
            raise

    async def _whole_replay(self, run: pb.Run, arrived: Callable[[int], None]) -> bytes:
        if run.replay_parts > _MOST_REPLAY_PARTS:
            raise RequestRefusedError(
                f"a replay of {run.replay_parts} further parts; it may have {_MOST_REPLAY_PARTS}"
            )
        data = run.replay
        parts = ChunkBuffer()
        for number in range(1, run.replay_parts + 1):
            parts.add(data)
            message = await self.read()
            if not _is_a("replay_part", message) or message.replay_part.run_id != run.run_id:
                raise _MissingPartError(
                    f"part {number} of the {run.replay_parts} further parts of the replay of run "
                    f"{run.run_id} is missing: they come directly after their run"
                )
            data = message.replay_part.data
            arrived(len(data))
            self._check_replay(parts.size + len(data))
        self._check_replay(parts.size + len(data))
        return parts.whole(data)

    def _check_replay(self, size: int) -> None:
        if size > self.max_value_bytes:
            raise RequestRefusedError(
                f"a replay of {size} bytes is above max_value_bytes ({self.max_value_bytes}): "
                "replay less, or raise the limit"
            )

    async def _let_finish(self, kind: str) -> None:
        """Read on: a client that is still sending would not learn the reason of a refusal."""
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    if not _is_a(kind, await self.read()):
                        return

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


def _is_a(kind: str, message: Any) -> bool:
    return message is not EOF and message.WhichOneof("message") == kind
