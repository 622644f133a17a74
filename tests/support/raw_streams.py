"""A hand-made client of the executor's stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from codemode.protos import codemode_pb2 as pb

__all__ = ["RawStream", "opening"]


class RawStream:
    """A hand-made client: it sends the given messages and collects the answers."""

    def __init__(self, channel: grpc.aio.Channel, *, extra: bytes = b"") -> None:
        method = "/codemode.v1.ExecutorService/Execute"
        serialize: Callable[[Any], bytes] = lambda message: message.SerializeToString() + extra  # noqa: E731
        multi: Any = channel.stream_stream(
            method,
            request_serializer=serialize,
            response_deserializer=pb.ExecutorMessage.FromString,
        )
        self.call = multi(timeout=100)

    async def send(self, **message: Any) -> None:
        await self.call.write(pb.ClientMessage(**message))

    async def read(self) -> Any:
        return await self.call.read()

    async def rest(self) -> list[pb.ExecutorMessage]:
        messages = []
        while isinstance(message := await self.call.read(), pb.ExecutorMessage):
            messages.append(message)
        return messages

    async def refusal(self) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.rest()
        return caught.value.code(), caught.value.details() or ""


def opening(code: str = "1 + 1", *, run: bool = True, **fields: Any) -> pb.Open:
    message = pb.Open(protocol_version=1, client_version="test", **fields)
    if run:
        message.run.CopyFrom(pb.Run(run_id=1, code=code))
    return message
