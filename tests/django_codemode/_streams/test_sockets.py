"""The thread for sync code that a run of a websocket has."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_codemode._streams.sockets import own_thread


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
