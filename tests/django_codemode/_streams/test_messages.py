"""Large messages are serialised where nobody waits for them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from django_codemode._streams.messages import Message

LARGE = [
    {"text": "x" * 20_000},
    {"arguments": {"numbers": [0] * 20_000}},
    {"arguments": {str(number): number for number in range(20_000)}},
    {"arguments": {"rows": [[number] for number in range(10_000)]}},
    {"x" * 20_000: 1},
]
SMALL = [{}, {"text": "x" * 10_000}, {"error": None}, {"rows": [{"id": 1}] * 100}]


@pytest.mark.parametrize("event", ["output", "tool_call_started", "completed"])
@pytest.mark.parametrize("data", [*LARGE, *SMALL], ids=range(len(LARGE) + len(SMALL)))
async def test_large_messages_are_serialised_outside_the_loop(event: str, data: Any) -> None:
    thread = await Message(event=event, data=data).write(threading.get_ident)

    assert (thread != threading.get_ident()) == (data in LARGE)
