"""What cannot work says so at once, and what is easily done wrong does what the guide says."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async

from codemode import ClientConfig, Codemode, ExecutionResult, tool
from django_codemode.telling import atell
from tests.concurrency.watchdog import bounded

WHERE = {"in a request": ThreadSensitiveContext, "on the shared thread": contextlib.AsyncExitStack}


def on_a_sync_thread(view: Callable[[], Any], where: str) -> Any:
    """Call sync code as Django does for a sync view under ASGI, or as it does outside requests."""

    async def main() -> Any:
        async with WHERE[where]():
            return await sync_to_async(view)()

    return bounded(lambda: asyncio.run(main()))


@pytest.mark.parametrize("where", WHERE)
def test_asyncio_run_on_the_thread_for_sync_code_fails_at_once_instead_of_waiting_for_itself(
    codemode: Codemode, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    codemode.registry.register_tool("one", lambda: 1)

    def view() -> ExecutionResult:
        return asyncio.run(codemode.run_async("one()"))

    # What waits for itself does so for ever: longer than it is watched.
    result = on_a_sync_thread(view, where)

    assert result.status == "failed"
    assert [call.outcome for call in result.tool_calls] == ["failed"]
    assert "async_to_sync(codemode.execute_async)" in result.error.message
    assert "Tool one failed in execution" in caplog.text


@pytest.mark.parametrize("where", WHERE)
def test_what_needs_no_sync_code_works_there_and_so_does_async_to_sync(
    codemode: Codemode, where: str
) -> None:
    async def two() -> int:
        await asyncio.sleep(0)
        return 2

    codemode.registry.register_tool("one", lambda: 1)
    codemode.registry.register_tool("two", two)
    codemode.registry.register_tool("three", tool(thread_sensitive=False)(lambda: 3))
    code = "[await two(), three()]"
    assert on_a_sync_thread(lambda: asyncio.run(codemode.run_async(code)), where).value == [2, 3]
    code = "[one(), await two(), three()]"
    by_bridge = async_to_sync(codemode.run_async)
    assert on_a_sync_thread(lambda: by_bridge(code), where).value == [1, 2, 3]
    assert on_a_sync_thread(lambda: codemode.run(code), where).value == [1, 2, 3]


@pytest.mark.parametrize("where", WHERE)
def test_observers_that_could_never_be_told_are_an_error_of_the_caller(
    codemode: Codemode, where: str
) -> None:
    class Observer:
        def execution_started(self, *args: Any) -> None: ...
        def execution_finished(self, *args: Any) -> None: ...

    codemode.registry.add_observer(Observer())
    with pytest.raises(RuntimeError, match="call execute.. there"):
        on_a_sync_thread(lambda: asyncio.run(codemode.run_async("1")), where)


def test_that_holds_for_a_thread_that_has_only_just_been_started(
    codemode: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python starts a pool's thread before it counts it among the pool's."""

    class LateSet(set[Any]):
        def add(self, thread: Any) -> None:
            time.sleep(0.5)
            super().add(thread)

    class LatePool(ThreadPoolExecutor):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._threads = LateSet()

    monkeypatch.setattr("asgiref.sync.ThreadPoolExecutor", LatePool)
    codemode.registry.register_tool("one", lambda: 1)
    result = on_a_sync_thread(lambda: asyncio.run(codemode.run_async("one()")), "in a request")
    assert result.error is not None
    assert "async_to_sync(codemode.execute_async)" in result.error.message


async def test_the_default_executor_of_a_loop_is_left_to_the_project(
    codemode: Codemode,
) -> None:
    """Its threads may wait for the runs of this very loop."""

    class TakenPool(ThreadPoolExecutor):
        def submit(self, *args: Any, **options: Any) -> Any:
            raise AssertionError("all threads of the project are at work, for ever")

    async def size(text: str) -> int:
        return len(text)

    codemode.registry.register_tool("size", size)
    asyncio.get_running_loop().set_default_executor(TakenPool())

    large = "await size('x' * 1_000_000)"
    assert await codemode.execute_async(f"{{'size': {large}}}") == '{"size": 1000000}'
    assert (await codemode.run_async("'x' * 1_000_000")).value == "x" * 1_000_000
    *_, last = [one async for one in atell(codemode.stream("'x' * 1_000_000"))]
    assert await last.write(len, last.data["text"]) == 1_000_000
    async with Codemode.from_client_config(ClientConfig(executor_url=None)) as own:
        assert await own.execute_async("6 * 7") == "42"


def test_a_pool_hands_a_context_on_only_when_it_is_given_one(codemode: Codemode) -> None:
    """With the context of the job that a thread did before, it would be somebody else's."""
    from contextvars import copy_context

    from codemode import get_current_context

    codemode.registry.register_tool("whoami", lambda: dict(get_current_context() or {}))
    with ThreadPoolExecutor(1) as pool, codemode.registry.context(tenant_id="acme"):
        assert pool.submit(codemode.run, "whoami()").result().value == {}
        carried = pool.submit(copy_context().run, codemode.run, "whoami()")
        assert carried.result().value == {"tenant_id": "acme"}
        assert pool.submit(codemode.run, "whoami()").result().value == {}

        def careless() -> None:
            codemode.with_context(tenant_id="zoo")

        pool.submit(careless).result()
        # What a job sets for good, the next job of that thread finds.
        assert pool.submit(codemode.run, "whoami()").result().value == {"tenant_id": "zoo"}
