from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from codemode.core._dispatch.cancelling import cancel_once
from codemode.core._dispatch.pool_share import MAX_SHARE_THREADS
from tests.codemode.core._dispatch.dispatch_host import Hook, Host, failure_of, value_of


async def test_a_cancelled_async_tool_is_cancelled_in_the_record_and_for_hooks() -> None:
    unwound: list[str] = []
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            unwound.append("yes")

    log: list[Any] = []
    host = Host(hang=hang)
    host.registry.add_hook(Hook("one", log))
    task = host.task("hang")
    await begun.wait()
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
        inner = asyncio.ensure_future(asyncio.sleep(600))
        inner.cancel()
        await inner

    host = Host(inner_cancelled=inner_cancelled)
    assert failure_of(await host.task("inner_cancelled"))[1] == "CancelledError"
    assert host.outcomes == ["failed"]


async def test_a_cancelled_sync_tool_continues_and_its_record_shows_its_real_state() -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go.wait(60)
        ended.set()

    host = Host(wait=wait)
    task = host.task("wait")
    assert await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert host.outcomes == ["running"]
    go.set()
    assert await sync_to_async(ended.wait)(60)

    assert host.outcomes == ["completed"]


async def test_a_second_cancel_does_not_interrupt_the_unwinding_of_a_tool() -> None:
    unwound: list[str] = []
    begun, unwinding, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            unwinding.set()
            await go.wait()
            unwound.append("yes")

    host = Host(hang=hang)
    task = host.task("hang")
    await begun.wait()
    task.cancel()
    await unwinding.wait()
    host.current.cancel_all()
    cancel_once(task)
    for _ in range(10):
        await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert unwound == ["yes"]


async def test_cancel_all_cancels_running_calls_and_refuses_the_rest() -> None:
    go, inside = threading.Event(), threading.Event()
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.sleep(600)

    def block() -> None:
        inside.set()
        go.wait(60)

    host = Host(hang=hang, block=block)
    running = host.task("hang")
    await begun.wait()
    blocked = host.current.run_in_pool(host.begin("block"))
    assert inside.wait(60)
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
    assert value_of(blocked.result(60)) is None
    assert host.outcomes[1] == "completed"


def test_a_call_that_waits_for_the_pool_can_be_cancelled() -> None:
    go = threading.Event()
    host = Host(wait=lambda: go.wait(60))
    host.dispatcher()
    futures = [host.current.run_in_pool(host.begin("wait")) for _ in range(MAX_SHARE_THREADS + 1)]
    try:
        assert futures[-1].cancel()
        assert host.outcomes[-1] == "cancelled"
    finally:
        go.set()
    assert all(value_of(one.result(60)) for one in futures[:-1])
