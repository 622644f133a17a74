from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from codemode.core.dispatch import cancel_once
from codemode.core.pool_share import MAX_SHARE_THREADS
from tests.codemode.core.dispatch_host import Hook, Host, failure_of, value_of


async def test_a_cancelled_async_tool_is_cancelled_on_record_and_for_hooks() -> None:
    unwound: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            unwound.append("yes")

    log: list[Any] = []
    host = Host(hang=hang)
    host.registry.add_hook(Hook("one", log))
    task = host.task("hang")
    while not log:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    assert host.outcomes == ["running"]
    assert host.current.records()[0].duration_ms is None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert unwound == ["yes"]
    assert host.outcomes == ["cancelled"]
    assert log[-1] == ("after", "one", "cancelled")


async def test_a_tool_whose_own_task_was_cancelled_failed_but_was_not_cancelled() -> None:
    async def inner_cancelled() -> None:
        inner = asyncio.ensure_future(asyncio.sleep(30))
        inner.cancel()
        await inner

    host = Host(inner_cancelled=inner_cancelled)
    assert failure_of(await host.task("inner_cancelled"))[1] == "CancelledError"
    assert host.outcomes == ["failed"]


async def test_a_cancelled_sync_tool_goes_on_and_is_on_record_as_what_it_is() -> None:
    go, ended = threading.Event(), threading.Event()

    def wait() -> None:
        go.wait(10)
        ended.set()

    host = Host(wait=wait)
    task = host.task("wait")
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert host.outcomes == ["running"]
    go.set()
    await sync_to_async(ended.wait)(10)

    assert host.outcomes == ["completed"]


async def test_a_second_cancel_does_not_break_off_how_a_tool_unwinds() -> None:
    unwound: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.02)
            unwound.append("yes")

    host = Host(hang=hang)
    task = host.task("hang")
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0.001)
    host.current.cancel_all()
    cancel_once(task)
    with pytest.raises(asyncio.CancelledError):
        await task

    assert unwound == ["yes"]


async def test_cancel_all_cancels_what_runs_and_refuses_the_rest() -> None:
    go = threading.Event()
    inside = threading.Event()

    async def hang() -> None:
        await asyncio.sleep(30)

    def block() -> None:
        inside.set()
        go.wait(10)

    host = Host(hang=hang, block=block)
    running = host.task("hang")
    await asyncio.sleep(0)
    blocked = host.current.run_in_pool(host.begin("block"))
    inside.wait(10)
    never_started = host.begin("hang")
    late = host.task("hang")
    host.current.cancel_all()
    after = host.begin("hang")
    with pytest.raises(asyncio.CancelledError):
        await running

    assert failure_of(await late)[0] == "cancelled"
    assert after.failure is not None
    assert after.failure.kind == "cancelled"
    assert never_started.record.outcome == "cancelled"
    assert host.outcomes == ["cancelled", "running", "cancelled", "cancelled", "cancelled"]
    go.set()
    assert value_of(blocked.result(10)) is None
    assert host.outcomes[1] == "completed"


def test_a_call_that_waits_for_the_pool_can_be_cancelled() -> None:
    go = threading.Event()
    host = Host(wait=lambda: go.wait(10))
    host.dispatcher()
    futures = [host.current.run_in_pool(host.begin("wait")) for _ in range(MAX_SHARE_THREADS + 1)]
    try:
        assert futures[-1].cancel()
        assert host.outcomes[-1] == "cancelled"
    finally:
        go.set()
    assert all(value_of(one.result(10)) for one in futures[:-1])
