"""The sandbox dies with its execution, whatever ends the execution and whatever the code is doing.

Each cell is one cause, one half of the client and one state of the code. Besides the death, each
cell shows three things: async tools have unwound by the time the caller continues, sync tools run
to their end and their result goes nowhere, and the client still works. A separate test measures
that the death comes within 200 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from codemode import Codemode, ExecutionResult, tool
from codemode.core._dispatch.pool_share import MAX_SHARE_THREADS
from codemode.core._dispatch.threads import MAX_POOL_THREADS, tool_pool
from tests.concurrency.endings import CELLS, measure, once
from tests.support.deaths import PROMISED_SECONDS
from tests.support.processes import ExecutorProcess, threads_of_executions, wait_until
from tests.support.watchdog import PATIENCE

ATTEMPTS = 5


# The causes. Each returns its instant once the caller has its outcome.


@pytest.mark.parametrize("ending, state", CELLS)
def test_a_sandbox_ends_with_its_execution(
    executor: ExecutorProcess, ending: str, state: str
) -> None:
    once(executor, ending, state)


@pytest.mark.quiet
@pytest.mark.parametrize("ending, state", CELLS)
def test_a_sandbox_is_dead_within_200_ms_of_its_executions_end(
    executor: ExecutorProcess, ending: str, state: str
) -> None:
    assert measure(executor, ending, state, ATTEMPTS) < PROMISED_SECONDS


@pytest.mark.parametrize("half", ["sync", "async"])
def test_a_tool_that_waits_for_a_thread_never_runs_once_its_caller_has_left(
    codemode: Codemode, half: str
) -> None:
    inside, go = threading.Semaphore(0), threading.Event()
    ran: list[int] = []
    calls = MAX_SHARE_THREADS + 8

    @tool(thread_sensitive=False)
    def wait(number: int) -> None:
        ran.append(number)
        inside.release()
        go.wait(PATIENCE)

    codemode.registry.register_tool("wait", wait)
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        f"with ThreadPoolExecutor({calls}) as threads:\n"
        f"    list(threads.map(wait, range({calls})))"
    )
    wide = {"max_threads": calls + 8, "execution_timeout": 600}

    def all_inside() -> None:
        for _ in range(MAX_SHARE_THREADS):
            assert inside.acquire(timeout=PATIENCE)

    def leave() -> None:
        events = codemode.client.stream(code, config=wide)
        seen = 0
        for event in events:
            seen += event.type == "tool_call_started"
            if seen == calls:
                all_inside()
                events.close()

    async def be_cancelled() -> None:
        all_started = asyncio.Event()

        async def consume() -> None:
            seen = 0
            async for event in codemode.client.stream_async(code, config=wide):
                seen += event.type == "tool_call_started"
                if seen == calls:
                    all_started.set()

        run = asyncio.create_task(consume())
        await asyncio.wait_for(all_started.wait(), PATIENCE)
        await asyncio.to_thread(all_inside)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    try:
        leave() if half == "sync" else asyncio.run(be_cancelled())
    finally:
        go.set()
    come_to_rest()
    assert len(ran) == MAX_SHARE_THREADS


@pytest.mark.parametrize("half", ["sync", "async"])
def test_nobody_waits_twice_for_a_tool_that_goes_on(
    codemode: Codemode, half: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in ("tool_loop", "async_carrier"):
        monkeypatch.setattr(f"codemode.core._link.{module}.UNWIND_SECONDS", 0.1)
    go = threading.Event()

    async def stubborn() -> None:
        while not go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    codemode.registry.register_tool("stubborn", stubborn)

    def waits() -> int:
        return sum("go on although" in record.message for record in caplog.records)

    async def run() -> ExecutionResult:
        try:
            result = await codemode.run_async("await stubborn()", execution_timeout=3)
            assert waits() == 1
            return result
        finally:
            go.set()  # for the end of the loop, which waits for its tasks

    try:
        if half == "async":
            result = asyncio.run(run())
        else:
            result = codemode.run("await stubborn()", execution_timeout=3)
            assert waits() == 1
        assert result.status == "timeout"
    finally:
        go.set()
    assert wait_until(lambda: not threads_of_executions())


def come_to_rest() -> None:
    """Wait until the pool has finished all the work that its threads still find."""
    # A thread that ends a call of an execution submits that execution's next call to the pool,
    # behind these. Hence three rounds.
    for _ in range(3):
        all_at_once = threading.Barrier(MAX_POOL_THREADS)
        pool = tool_pool()
        for idle in [pool.submit(all_at_once.wait, PATIENCE) for _ in range(MAX_POOL_THREADS)]:
            idle.result()
