"""The thread for sync code that a run of a websocket has, and what its watchers are sent."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_codemode._streams.messages import Message
from django_codemode._streams.sockets import Line, own_thread


def connected() -> BaseDatabaseWrapper:
    connection = connections["default"]
    connection.ensure_connection()
    return connection


@pytest.mark.django_db(transaction=True)
async def test_connections_are_closed_even_when_the_task_is_cancelled_meanwhile() -> None:
    held, go_on, leaving = threading.Event(), threading.Event(), asyncio.Event()

    def hold() -> None:
        held.set()
        assert go_on.wait(60)

    async def work() -> None:
        async with own_thread():
            opened.append(await sync_to_async(connected)())
            holding.append(asyncio.create_task(sync_to_async(hold)()))
            await asyncio.to_thread(held.wait, 60)
            leaving.set()

    opened: list[BaseDatabaseWrapper] = []
    holding: list[asyncio.Task[None]] = []
    task = asyncio.create_task(work())
    await leaving.wait()
    task.cancel()
    for _ in range(10):  # until the cancellation has reached everything that it can
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert opened[0].connection is None
    await asyncio.gather(*holding)


@pytest.mark.parametrize("value, kept", [("small", True), ("x" * 300_000, False)])
async def test_watchers_get_a_large_outcome_without_the_bytes_of_its_artifacts(
    value: str, kept: bool
) -> None:
    class Watchers:
        async def send(self, event: tuple[int, str, bool]) -> None:
            watched.append(event[1])

    async def send(text: str) -> None:
        sent.append(text)

    watched: list[str] = []
    sent: list[str] = []
    line = Line("a", send=send, release=lambda name: None)
    broadcast: Any = Watchers()
    line.broadcast = broadcast
    picture = {"name": "a.png", "media_type": "image/png", "size": 300_000, "data": "A" * 400_000}
    data = {"value": value, "artifacts": [picture]}
    await line.send(Message(event="completed", data=data))
    assert json.loads(sent[0])["data"] == data
    told = json.loads(watched[0])["data"]
    if kept:
        assert told == {"value": value, "artifacts": [{**picture, "data": None}]}
    else:
        assert set(told) == {"too_large"}
