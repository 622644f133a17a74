"""The wire contract of client and executor, beyond the generated messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import grpc
from grpc.aio import EOF  # type: ignore[attr-defined]  # the stubs leave it out

from codemode.protos import codemode_pb2_grpc

__all__ = [
    "BATCHES",
    "CHUNK_BYTES",
    "EOF",
    "FEATURES",
    "PROTOCOL_VERSION",
    "RECORDING",
    "SIGNS_OF_LIFE",
    "TOOL_NAMES",
    "ChunkBuffer",
    "features_with",
    "make_stub",
    "split",
    "take_batch",
    "unbatched",
]

PROTOCOL_VERSION = 1
BATCHES = "batches"
TOOL_NAMES = "tool_names"
RECORDING = "recording"
SIGNS_OF_LIFE = "signs_of_life"
FEATURES = (BATCHES, TOOL_NAMES, RECORDING, SIGNS_OF_LIFE)
"""The features beyond the first form of the protocol that an executor announces."""
_WITHOUT_ISOLATION = tuple(name for name in FEATURES if name != SIGNS_OF_LIFE)

CHUNK_BYTES = 128 * 1024
"""The maximum number of bytes of a value that one message carries.

A message on its way is held whole, and counted only on arrival: larger messages
would let many clients at once fill an executor's memory.
"""

_BATCH_MESSAGES = 128


def features_with(isolation: str) -> tuple[str, ...]:
    """Return the features that an executor with this isolation announces.

    Without isolation, code has effects of its own outside of its sandbox. A client must not send
    it again while an executor may have begun it.
    """
    return _WITHOUT_ISOLATION if isolation == "none" else FEATURES


def make_stub(channel: grpc.Channel | grpc.aio.Channel) -> Any:
    """Return the service's stub; its methods are sync or async like the channel."""
    return codemode_pb2_grpc.ExecutorServiceStub(channel)  # type: ignore[no-untyped-call]  # generated


def split(value: bytes) -> tuple[list[bytes], bytes]:
    """Return all but the last chunk of a value, and the last chunk."""
    chunks = []
    start = 0
    while len(value) - start > CHUNK_BYTES:
        chunks.append(value[start : start + CHUNK_BYTES])
        start += CHUNK_BYTES
    return chunks, value[start:] if start else value


def take_batch(messages: deque[Any]) -> list[Any]:
    """Remove and return the leftmost messages that fit one gRPC message, at least one."""
    taken = [messages.popleft()]
    size = taken[0].ByteSize() if messages else 0
    while messages and len(taken) < _BATCH_MESSAGES and size < CHUNK_BYTES:
        taken.append(messages.popleft())
        size += taken[-1].ByteSize()
    return taken


def unbatched(message: Any) -> Iterable[Any]:
    """Return the messages of a batch, or the message itself when it is not a batch."""
    if message.WhichOneof("message") == "batch":
        messages: Iterable[Any] = message.batch.messages
        return messages
    return (message,)


class ChunkBuffer:
    """A buffer for the chunks of a value, in one direction of a stream."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def add(self, data: bytes) -> None:
        """Keep a chunk; the owner checks ``size``."""
        self._chunks.append(data)
        self.size += len(data)

    def whole(self, last: bytes) -> bytes:
        """Return the whole value, which ends with the ``last`` chunk, and forget the chunks."""
        if self._chunks:
            last = b"".join((*self._chunks, last))
            self.clear()
        return last

    def clear(self) -> None:
        """Forget the chunks."""
        self._chunks.clear()
        self.size = 0
