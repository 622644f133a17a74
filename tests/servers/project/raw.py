"""Plain ASGI applications, without Django's request handling."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from django_codemode import get_codemode
from django_codemode.payload import result_as_json
from tests.servers.project.identity import identity
from tests.servers.project.views import CHUNKS


async def stream(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(CHUNKS):
        first = identity()
        await asyncio.sleep(0)
        line = json.dumps([first, identity()]) + "\n"
        await send({"type": "http.response.body", "body": line.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def socket(scope: Any, receive: Any, send: Any) -> None:
    """Execute the code of each message."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        asked = json.loads(message["text"])
        result = await get_codemode().run_async(asked["code"], inputs=asked["inputs"])
        text = {"before": scope["before"], "seen": [identity()], "result": result_as_json(result)}
        await send({"type": "websocket.send", "text": json.dumps(text)})
