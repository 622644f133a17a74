"""Websockets of tests: in this process by the communicator, or over a real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from channels.testing import WebsocketCommunicator
from websockets.asyncio.client import ClientConnection, connect

__all__ = ["Socket", "in_process", "over_the_wire"]

_SECONDS = 60.0


class Socket:
    """A websocket that speaks JSON."""

    def __init__(self, wire: WebsocketCommunicator | ClientConnection) -> None:
        self.wire = wire

    async def send(self, **message: Any) -> None:
        text = json.dumps(message)
        if isinstance(self.wire, WebsocketCommunicator):
            await self.wire.send_to(text_data=text)
        else:
            await self.wire.send(text)

    async def receive(self) -> dict[str, Any]:
        text: Any
        if isinstance(self.wire, WebsocketCommunicator):
            text = await self.wire.receive_from(_SECONDS)
        else:
            text = await self.wire.recv()
        message: dict[str, Any] = json.loads(text)
        return message

    async def until(self, *types: str) -> list[dict[str, Any]]:
        """Receive messages up to the first of one of these types."""
        received = [await self.receive()]
        while received[-1]["type"] not in types:
            received.append(await self.receive())
        return received

    async def run(self, code: str, name: str = "r", **more: Any) -> list[dict[str, Any]]:
        """Run code and receive all messages about it."""
        await self.send(type="run", id=name, code=code, **more)
        return await self.until("completed", "error", "refused")


@asynccontextmanager
async def in_process(
    app: Any, *, headers: dict[str, str] | None = None, **scope: Any
) -> AsyncIterator[Socket]:
    """Connect to a consumer in this process, as the user in ``scope["user"]``."""
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    communicator = WebsocketCommunicator(app, "/ws/", raw)
    communicator.scope.update(scope)  # type: ignore[typeddict-item]  # a scope has more keys
    connected, _ = await communicator.connect(_SECONDS)
    assert connected
    try:
        yield Socket(communicator)
    finally:
        await communicator.disconnect(timeout=_SECONDS)


@asynccontextmanager
async def over_the_wire(
    address: str, headers: dict[str, str], **more: Any
) -> AsyncIterator[Socket]:
    """Connect to a real server."""
    async with connect(
        f"ws://{address}/ws/",
        additional_headers=headers,
        open_timeout=_SECONDS,
        max_size=None,
        **more,
    ) as connection:
        yield Socket(connection)
