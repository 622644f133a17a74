"""A slow party slows down its own execution only, and nothing piles up meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, closing, suppress
from typing import Any

import psutil
import pytest
from asgiref.sync import ThreadSensitiveContext

from codemode import ClientConfig, Codemode, tool
from codemode.core._dispatch.pool_share import MAX_SHARE_THREADS
from codemode.core._dispatch.threads import MAX_POOL_THREADS
from codemode.core.events import Event, ExecutionCompleted, OutputReceived
from tests.support.marks import deep_except
from tests.support.processes import ExecutorProcess, wait_until

MIB = 1024 * 1024
LINES = 50
HALVES = pytest.mark.parametrize("half", ["sync", "async"])

# Whole lines of 1 MiB; the code itself never waits.
FLOOD = f"for n in range({LINES}): print('x' * {MIB - 1})\nresult = 'end'"
WIDE = {"max_output_bytes": 64 * MIB, "execution_timeout": 110}


@pytest.fixture
def own() -> Iterator[tuple[Codemode, ExecutorProcess]]:
    """Yield a facade with an executor whose memory no other test has enlarged."""
    with (
        ExecutorProcess() as process,
        Codemode.from_client_config(ClientConfig(executor_url=process.url)) as codemode,
    ):
        yield codemode, process


def comes_to_rest(process: ExecutorProcess) -> bool:
    """Wait until the executor and its sandboxes are idle."""

    def used() -> float:
        executor = psutil.Process(process.pid)
        total = 0.0
        for one in (executor, *executor.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:2])
        return total

    def rests() -> bool:
        before = used()
        time.sleep(0.5)
        return used() - before < 0.03

    return wait_until(rests, 60)


def resident(process: ExecutorProcess) -> list[int]:
    return [psutil.Process(pid).memory_info().rss for pid in (process.pid, os.getpid())]


@pytest.mark.parametrize(
    "more",
    ["", "import asyncio\ntask = asyncio.ensure_future(held())\nawait asyncio.sleep(0.2)\n"],
    ids=["", "tool-in-flight"],
)
@pytest.mark.parametrize("half", deep_except(["sync", "async"], "async"))
def test_a_reader_that_stops_holds_its_sandbox_and_fills_no_memory(
    own: tuple[Codemode, ExecutorProcess], half: str, more: str
) -> None:
    codemode, process = own

    async def held() -> None:
        await asyncio.sleep(600)

    codemode.registry.register_tool("held", held)
    code = more + FLOOD
    assert codemode.execute("1") == "1"

    def meanwhile(before: list[int]) -> None:
        assert comes_to_rest(process)
        grown = [now - then for now, then in zip(resident(process), before, strict=True)]
        # Of the 50 MiB the executor keeps some frames, and the client some messages.
        assert all(bytes < 25 * MIB for bytes in grown), grown
        for number in range(10):
            assert codemode.execute(f"{number}") == f"{number}"

    def sync_half() -> list[Event]:
        before = resident(process)
        read: list[Event] = []
        with closing(codemode.client.stream(code, config=WIDE)) as events:
            for event in events:
                if isinstance(event, OutputReceived) and not printed(read):
                    meanwhile(before)
                read.append(event)
        return read

    async def async_half() -> list[Event]:
        before = resident(process)
        read: list[Event] = []
        async with aclosing(codemode.client.stream_async(code, config=WIDE)) as events:
            async for event in events:
                if isinstance(event, OutputReceived) and not printed(read):
                    await asyncio.to_thread(meanwhile, before)
                read.append(event)
        return read

    seen = sync_half() if half == "sync" else asyncio.run(async_half())
    last = seen[-1]
    assert isinstance(last, ExecutionCompleted)
    assert last.result.value == "end"
    assert printed(seen) == LINES * MIB


def printed(events: list[Event]) -> int:
    return sum(len(event.text) for event in events if isinstance(event, OutputReceived))


@HALVES
def test_slow_tools_of_one_execution_leave_threads_of_the_pool_to_others(
    codemode: Codemode, half: str
) -> None:
    go, inside = threading.Event(), threading.Semaphore(0)
    lock, at_once, most = threading.Lock(), 0, 0

    @tool(thread_sensitive=False)
    def slow() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        inside.release()
        go.wait(60)
        with lock:
            at_once -= 1

    codemode.registry.register_tool("slow", slow)
    codemode.registry.register_tool("quick", tool(thread_sensitive=False)(lambda: "done"))
    calls = MAX_POOL_THREADS + 8
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        f"with ThreadPoolExecutor({calls}) as threads:\n"
        f"    list(threads.map(lambda _: slow(), range({calls})))\n'all'"
    )
    wide = {"max_threads": calls + 8, "execution_timeout": 110}
    results: list[Any] = []
    greedy = threading.Thread(
        target=lambda: results.append(run(codemode, half, code, wide).value), daemon=True
    )
    greedy.start()
    try:
        for _ in range(MAX_SHARE_THREADS):
            assert inside.acquire(timeout=60)
        assert run(codemode, half, "quick()", None).value == "done"
    finally:
        go.set()
        greedy.join(60)
    assert results == ["all"]
    assert most == MAX_SHARE_THREADS


def run(codemode: Codemode, half: str, code: str, config: Any) -> Any:
    if half == "sync":
        return codemode.client.execute(code, config=config)
    return asyncio.run(codemode.client.execute_async(code, config=config))


async def test_a_slow_tool_of_one_request_slows_no_other_request(codemode: Codemode) -> None:
    go, inside = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow() -> str:
        loop.call_soon_threadsafe(inside.set)
        go.wait(60)
        return "slow"

    async def request(code: str) -> Any:
        async with ThreadSensitiveContext():  # as Django's handler does
            return (await codemode.run_async(code)).value

    codemode.registry.register_tool("slow", slow)
    codemode.registry.register_tool("quick", lambda: "quick")
    held = asyncio.create_task(request("slow()"))
    try:
        await asyncio.wait_for(inside.wait(), 60)
        quick = asyncio.gather(*(request("quick()") for _ in range(10)))
        assert await asyncio.wait_for(quick, 60) == ["quick"] * 10
        assert not held.done()
    finally:
        go.set()
    assert await held == "slow"


@HALVES
def test_arguments_of_unanswered_calls_are_bounded_together(codemode: Codemode, half: str) -> None:
    lock, begun, held, most = threading.Lock(), 0, 0, 0
    go = threading.Semaphore(0)

    async def keep(data: bytes) -> int:
        nonlocal begun, held, most
        with lock:
            begun += 1
            held += len(data)
            most = max(most, held)
        while not go.acquire(blocking=False):
            await asyncio.sleep(0.01)
        with lock:
            held -= len(data)
        return len(data)

    codemode.registry.register_tool("keep", keep)
    size, calls = 3 * MIB, 12
    code = (
        f"import asyncio\ndata = b'x' * {size}\n"
        f"sum(await asyncio.gather(*(keep(data) for _ in range({calls}))))"
    )
    config = {"max_value_bytes": 4 * MIB}  # 16 MiB together
    results: list[Any] = []
    thread = threading.Thread(
        target=lambda: results.append(run(codemode, half, code, config)), daemon=True
    )
    thread.start()
    try:
        for rounds in (1, 2):
            assert wait_until(lambda: begun == 5 * rounds and held == 5 * size, 60)  # noqa: B023
            time.sleep(0.2)  # during which a sixth would begin if it could
            go.release(5)
    finally:
        go.release(calls)
        thread.join(60)
    assert [result.value for result in results] == [calls * size]
    assert most == 5 * size
