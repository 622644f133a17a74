"""A full executor queues for a bounded time, fairly, and reports when it is busy."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from codemode import ClientConfig, Codemode, ExecutorBusyError
from codemode.executor.streams.admission import Admission
from tests.support.callers import tenant_of
from tests.support.gate import Gate
from tests.support.serving import serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    """An executor with one sandbox and room for three in the queue, and a client of it."""

    codemode: Codemode
    admission: Admission

    @contextlib.asynccontextmanager
    async def occupied(self) -> AsyncIterator[None]:
        """Hold the only sandbox."""
        gate = Gate()
        self.codemode.registry.register_tool("gate", gate)
        holder = asyncio.create_task(self.codemode.execute_async("await gate()"))
        await gate.holds(1)
        self.codemode.registry.unregister_tool("gate")
        yield
        gate.open()
        await holder

    async def waits(self, count: int) -> None:
        async with asyncio.timeout(60):
            while self.admission.queued != count:
                await asyncio.sleep(0.001)


@pytest.fixture
async def small() -> AsyncIterator[Small]:
    async with serving(max_concurrency=1, max_queued=3, pool_size=1) as (plain, server):
        config = ClientConfig(executor_url=plain.client.url)
        async with Codemode.from_client_config(config, fairness_key=tenant_of) as codemode:
            assert server.service is not None
            yield Small(codemode=codemode, admission=server.service.admission)
            assert await codemode.execute_async("1") == "1"


@pytest.mark.parametrize("half", ["sync", "async"])
@pytest.mark.parametrize("queue_timeout", [0.2, 0])
async def test_no_sandbox_in_time_is_busy(small: Small, queue_timeout: float, half: str) -> None:
    client, config = small.codemode.client, {"queue_timeout": queue_timeout}
    async with small.occupied():
        began = time.monotonic()
        with pytest.raises(ExecutorBusyError, match="queue_timeout") as caught:
            if half == "async":
                await client.execute_async("1", config=config)
            else:
                await asyncio.to_thread(client.execute, "1", None, config)
        assert time.monotonic() - began >= queue_timeout
        assert caught.value.retry_after > 0
        assert caught.value.result is None


async def test_full_queue_is_busy_at_once(small: Small) -> None:
    async with small.occupied():
        waiting = [asyncio.create_task(small.codemode.execute_async("1")) for _ in range(3)]
        await small.waits(3)
        # The sandbox is not released before this request has ended.
        with pytest.raises(ExecutorBusyError, match="3 executions wait already"):
            await small.codemode.client.execute_async("1", config={"queue_timeout": 600})
    await asyncio.gather(*waiting)


@pytest.mark.parametrize("half", ["sync", "async"])
async def test_time_in_the_queue_is_not_execution_time(small: Small, half: str) -> None:
    codemode = small.codemode
    codemode.registry.register_tool("add", lambda a, b: a + b)

    async def add_async(a: int, b: int) -> int:
        return a + b

    codemode.registry.register_tool("add_async", add_async)
    code = "add(1, 2) + await add_async(3, 4)"

    async def run() -> Any:
        if half == "sync":
            return await asyncio.to_thread(codemode.run, code, execution_timeout=4.0)
        return await codemode.run_async(code, execution_timeout=4.0)

    async with small.occupied():
        task = asyncio.create_task(run())
        await small.waits(1)
        await asyncio.sleep(4.2)
    assert (await task).value == 10, task.result()


async def test_cancelled_executions_leave_the_queue(small: Small) -> None:
    async with small.occupied():
        waiting = [asyncio.create_task(small.codemode.execute_async("1")) for _ in range(3)]
        await small.waits(3)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await small.waits(0)
    assert await small.codemode.execute_async("2") == "2"


async def test_tenants_take_turns(small: Small) -> None:
    order: list[str] = []

    async def request(tenant: str) -> None:
        with small.codemode.registry.context(tenant=tenant):
            await small.codemode.execute_async("1")
        order.append(tenant)

    async with small.occupied():
        tasks = []
        for count, tenant in enumerate(("greedy", "greedy", "modest"), 1):
            tasks.append(asyncio.create_task(request(tenant)))
            await small.waits(count)
    await asyncio.gather(*tasks)
    assert order == ["greedy", "modest", "greedy"]


async def test_nested_execution_on_a_full_executor_is_busy_not_stuck(small: Small) -> None:
    async def inner() -> str:
        await small.codemode.client.execute_async("1", config={"queue_timeout": 0.2})
        return "never"

    small.codemode.registry.register_tool("inner", inner)
    result = await small.codemode.run_async("await inner()")
    assert result.status == "failed"
    assert result.error is not None
    assert "busy" in result.error.message or "queue_timeout" in result.error.message
