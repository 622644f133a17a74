"""Server-sent events, as their client reads them."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["Events", "parse", "parts_of"]

Events = list[tuple[int, str, dict[str, Any]]]


def parse(text: str) -> Events:
    """Parse a whole body as a client of server-sent events does."""
    events: Events = []
    assert text.endswith("\n\n")
    for block in text.removesuffix("\n\n").split("\n\n"):
        if block.startswith(":"):
            continue
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        assert list(fields) == ["id", "event", "data"]
        events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


async def parts_of(response: Any) -> list[bytes]:
    return [part async for part in response]
