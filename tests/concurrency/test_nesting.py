"""A tool may itself execute code: in its caller's context, without a deadlock, within limits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from codemode import (
    ClientConfig,
    Codemode,
    ExecutorBusyError,
    get_current_context,
    get_current_execution,
    tool,
)
from codemode.config import Limits
from codemode.core._dispatch.pool_share import MAX_SHARE_THREADS
from codemode.core._dispatch.threads import MAX_POOL_THREADS
from tests.support.processes import ExecutorProcess, is_running, wait_until
from tests.support.watchdog import DEADLINES, PATIENCE, bounded


@pytest.fixture(scope="module")
def small() -> Iterator[ExecutorProcess]:
    """Yield an executor that runs two at once."""
    with ExecutorProcess("--max-concurrency", "2", "--pool-size", "2") as process:
        yield process


@pytest.fixture
def narrow(small: ExecutorProcess) -> Iterator[Codemode]:
    limits = Limits(execution_timeout=600, queue_timeout=600)
    config = ClientConfig(executor_url=small.url, limits=limits)
    with Codemode.from_client_config(config) as codemode:
        yield codemode


def descend(codemode: Codemode, depth: int, seen: list[tuple[int, Any, str]]) -> Any:
    execution = get_current_execution()
    assert execution is not None
    seen.append((depth, dict(get_current_context() or {}), execution.execution_id))
    if depth == 0:
        return "bottom"
    return codemode.run("descend(depth=depth)", inputs={"depth": depth - 1}).value


async def adescend(codemode: Codemode, depth: int, seen: list[tuple[int, Any, str]]) -> Any:
    execution = get_current_execution()
    assert execution is not None
    seen.append((depth, dict(get_current_context() or {}), execution.execution_id))
    if depth == 0:
        return "bottom"
    result = await codemode.run_async("await adescend(depth=depth)", inputs={"depth": depth - 1})
    return result.value


@pytest.fixture
def deep(codemode: Codemode) -> Iterator[tuple[Codemode, list[tuple[int, Any, str]]]]:
    seen: list[tuple[int, Any, str]] = []
    codemode.registry.register_tool("descend", lambda depth: descend(codemode, depth, seen))

    async def down(depth: int) -> Any:
        return await adescend(codemode, depth, seen)

    codemode.registry.register_tool("adescend", down)
    return codemode, seen  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["descend", "adescend"])
@pytest.mark.parametrize("half", ["sync", "async"])
def test_five_levels_keep_the_context_and_have_executions_of_their_own(
    deep: tuple[Codemode, list[tuple[int, Any, str]]], half: str, name: str
) -> None:
    codemode, seen = deep
    code = f"{'await ' if name == 'adescend' else ''}{name}(depth=4)"

    def run() -> Any:
        with codemode.registry.context(tenant_id="acme"):
            if half == "sync":
                return codemode.run(code).value
            return asyncio.run(codemode.run_async(code)).value

    assert bounded(run) == "bottom"
    assert [depth for depth, _, _ in seen] == [4, 3, 2, 1, 0]
    assert [context for _, context, _ in seen] == [{"tenant_id": "acme"}] * 5
    assert len({execution for _, _, execution in seen}) == 5


def test_a_nested_execution_changes_no_context_of_its_caller(codemode: Codemode) -> None:
    def nest() -> list[Any]:
        with codemode.registry.context(tenant_id="inner"):
            inside = codemode.run("whoami()").value
        return [inside, whoami()]

    def whoami() -> str:
        context = get_current_context()
        assert context is not None
        return str(context["tenant_id"])

    codemode.registry.register_tool("nest", nest)
    codemode.registry.register_tool("whoami", whoami)
    with codemode.registry.context(tenant_id="outer"):
        value = codemode.run("[whoami(), nest(), whoami()]").value
    assert value == ["outer", ["inner", "outer"], "outer"]


@pytest.mark.parametrize("half", ["sync", "async"])
def test_runs_that_fill_the_executor_and_wait_for_nested_ones_end_as_busy(
    narrow: Codemode, half: str
) -> None:
    """Each waits for the slot that the other holds, for ten minutes if nothing detects it."""
    met = {"count": 0}

    async def nest() -> str:
        met["count"] += 1
        while met["count"] < 2:  # both hold a sandbox by now
            await asyncio.sleep(0.005)
        try:
            return await narrow.execute_async("'room'")
        except ExecutorBusyError as error:
            return f"busy, again in {error.retry_after:g} s"

    narrow.registry.register_tool("nest", nest)

    async def both() -> list[str]:
        if half == "async":
            runs = (narrow.execute_async("await nest()") for _ in range(2))
        else:
            runs = (asyncio.to_thread(narrow.execute, "await nest()") for _ in range(2))
        return await asyncio.gather(*runs)

    said = bounded(lambda: asyncio.run(both()))
    # The refused run frees its slot for the other.
    assert "room" in said, said
    assert any(text.startswith("busy, again in") for text in said), said
    # The refusal was due only to the missing slot, which is free again.
    assert narrow.execute("'room'") == "room"


async def test_cancelling_a_run_ends_the_executions_of_its_tools(codemode: Codemode) -> None:
    pids: list[int] = []

    async def nest() -> str:
        return await codemode.execute_async("import os, time\nhere(os.getpid())\ntime.sleep(600)")

    def here(pid: int) -> None:
        pids.append(pid)

    codemode.registry.register_tool("nest", nest)
    codemode.registry.register_tool("here", here)
    run = asyncio.create_task(codemode.run_async("import os\nhere(os.getpid())\nawait nest()"))
    while len(pids) < 2:
        await asyncio.sleep(0.005)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await asyncio.to_thread(wait_until, lambda: not any(map(is_running, pids)))


def test_a_tool_can_give_its_own_execution_the_time_that_is_left(codemode: Codemode) -> None:
    inner: list[str] = []

    def nest() -> None:
        execution = get_current_execution()
        assert execution is not None
        if left := execution.deadline:
            code = "import time\ntime.sleep(600)"
            inner.append(codemode.run(code, execution_timeout=left).status)

    codemode.registry.register_tool("nest", nest)
    for deadline in DEADLINES:
        assert codemode.run("nest()", execution_timeout=deadline).status == "timeout"
        if inner:
            break
    assert inner == ["timeout"]


@pytest.mark.parametrize("half", ["sync", "async"])
def test_pooled_tools_that_fill_the_pool_and_execute_code_do_not_starve_its_tools(
    codemode: Codemode, half: str
) -> None:
    executions = MAX_POOL_THREADS // MAX_SHARE_THREADS
    all_at_work = threading.Barrier(MAX_POOL_THREADS)

    @tool(thread_sensitive=False)
    def leaf() -> int:
        execution = get_current_execution()
        assert execution is not None
        return execution.depth

    @tool(thread_sensitive=False)
    def outer(number: int) -> Any:
        all_at_work.wait(PATIENCE)
        return codemode.run("leaf()", execution_timeout=PATIENCE / 2).value

    codemode.registry.register_tool("leaf", leaf)
    codemode.registry.register_tool("outer", outer)
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        f"with ThreadPoolExecutor({MAX_SHARE_THREADS}) as threads:\n"
        f"    result = list(threads.map(outer, range({MAX_SHARE_THREADS})))"
    )

    async def tasks() -> list[Any]:
        results = await asyncio.gather(*(codemode.run_async(code) for _ in range(executions)))
        return [result.value for result in results]

    def threads() -> list[Any]:
        with ThreadPoolExecutor(executions) as callers:
            return list(callers.map(lambda _: codemode.run(code).value, range(executions)))

    values = bounded(threads if half == "sync" else lambda: asyncio.run(tasks()))
    assert values == [[1] * MAX_SHARE_THREADS] * executions
