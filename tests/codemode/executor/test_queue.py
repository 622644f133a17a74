"""A full executor queues for a bounded time, fairly, and says when it is busy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from codemode import (
    ClientConfig,
    Codemode,
    ExecutorBusyError,
    RuntimeContext,
)
from tests.codemode.processes import ExecutorProcess

SLEEP = "import time\ntime.sleep({})"


@pytest.fixture(scope="module")
def small_executor() -> Iterator[ExecutorProcess]:
    options = ("--max-concurrency", "1", "--max-queued", "3", "--pool-size", "1")
    with ExecutorProcess(*options) as process:
        yield process


def tenant_of(context: RuntimeContext | None) -> str:
    return str(context.get("tenant")) if context else ""


@pytest.fixture
async def small(small_executor: ExecutorProcess) -> AsyncIterator[Codemode]:
    config = ClientConfig(executor_url=small_executor.url)
    async with Codemode.from_client_config(config, fairness_key=tenant_of) as facade:
        yield facade
        assert await facade.execute_async("1") == "1"


async def occupy(codemode: Codemode, seconds: float) -> asyncio.Task[str]:
    task = asyncio.create_task(codemode.execute_async(SLEEP.format(seconds)))
    await asyncio.sleep(0.1)
    return task


@pytest.mark.parametrize("queue_timeout", [0.2, 0])
async def test_no_sandbox_in_time_is_busy(small: Codemode, queue_timeout: float) -> None:
    first = await occupy(small, 0.8)
    began = time.monotonic()
    with pytest.raises(ExecutorBusyError, match="queue_timeout") as caught:
        await small.client.execute_async("1", config={"queue_timeout": queue_timeout})
    assert queue_timeout <= time.monotonic() - began < queue_timeout + 0.3
    assert caught.value.retry_after > 0
    assert caught.value.result is None
    await first


async def test_busy_in_the_sync_half(small: Codemode) -> None:
    first = await occupy(small, 0.6)
    with pytest.raises(ExecutorBusyError) as caught:
        await asyncio.to_thread(small.client.execute, "1", None, {"queue_timeout": 0.1})
    assert caught.value.retry_after > 0
    await first


async def test_full_queue_is_busy_at_once(small: Codemode) -> None:
    first = await occupy(small, 0.6)
    waiting = [asyncio.create_task(small.execute_async("1")) for _ in range(3)]
    await asyncio.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(ExecutorBusyError, match="3 executions wait already"):
        await small.execute_async("1")
    assert time.monotonic() - began < 0.3
    await asyncio.gather(first, *waiting)


async def test_time_in_the_queue_is_not_execution_time(small: Codemode) -> None:
    small.registry.register_tool("add", lambda a, b: a + b)

    async def add_async(a: int, b: int) -> int:
        return a + b

    small.registry.register_tool("add_async", add_async)
    first = await occupy(small, 0.8)
    code = "add(1, 2) + await add_async(3, 4)"
    result = await small.run_async(code, execution_timeout=0.4)
    assert result.value == 10, result
    await first


async def test_time_in_the_queue_is_not_execution_time_in_the_sync_half(small: Codemode) -> None:
    small.registry.register_tool("add", lambda a, b: a + b)
    first = await occupy(small, 0.8)
    result = await asyncio.to_thread(small.run, "add(1, 2)", execution_timeout=0.4)
    assert result.value == 3, result
    await first


async def test_cancelled_in_the_queue_leaves_it(small: Codemode) -> None:
    first = await occupy(small, 0.5)
    waiting = [asyncio.create_task(small.execute_async("1")) for _ in range(3)]
    await asyncio.sleep(0.1)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await small.execute_async("2") == "2"
    await first


async def test_tenants_take_turns(small: Codemode) -> None:
    order: list[str] = []

    async def request(tenant: str) -> None:
        with small.registry.context(tenant=tenant):
            await small.execute_async("1")
        order.append(tenant)

    first = await occupy(small, 0.4)
    tasks = [asyncio.create_task(request("greedy")) for _ in range(2)]
    await asyncio.sleep(0.05)
    tasks.append(asyncio.create_task(request("modest")))
    await asyncio.gather(first, *tasks)
    assert order == ["greedy", "modest", "greedy"]


async def test_nested_execution_on_a_full_executor_is_busy_not_stuck(small: Codemode) -> None:
    async def inner() -> str:
        await small.client.execute_async("1", config={"queue_timeout": 0.2})
        return "never"

    small.registry.register_tool("inner", inner)
    result = await small.run_async("await inner()")
    assert result.status == "failed"
    assert result.error is not None
    assert "busy" in result.error.message or "queue_timeout" in result.error.message
