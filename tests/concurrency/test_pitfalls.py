"""Impossible uses raise an error at once, and common mistakes behave as the guide says."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async

from codemode import ClientConfig, Codemode, ExecutionResult, tool
from django_codemode._streams.messages import amessages_of
from tests.support.watchdog import bounded

WHERE = {
    "in a request": ThreadSensitiveContext,
    "on the shared thread": contextlib.AsyncExitStack,
    "below async_to_sync": contextlib.AsyncExitStack,
}


def on_a_sync_thread(view: Callable[[], Any], where: str) -> Any:
    """Call sync code as Django does for a sync view under ASGI, or as it does outside requests."""

    async def main() -> Any:
        async with WHERE[where]():
            return await sync_to_async(view)()

    if where == "below async_to_sync":
        return bounded(lambda: async_to_sync(main)())
    return bounded(lambda: asyncio.run(main()))


class Everybody:
    """An observer, a hook and a permission checker that records the thread of each call."""

    def __init__(self) -> None:
        self.threads: dict[str, int] = {}

    def note(self, who: str) -> None:
        with pytest.raises(RuntimeError):  # the check that Django makes before it allows sync code
            asyncio.get_running_loop()
        self.threads[who] = threading.get_ident()

    def execution_started(self, *args: Any) -> None:
        self.note("begin")

    def execution_finished(self, *args: Any) -> None:
        self.note("end")

    def before_call(self, call: Any) -> None:
        self.note(f"before {call.name}")

    def after_call(self, call: Any, outcome: Any) -> None:
        self.note(f"after {call.name}")

    def allows(self, *args: Any) -> bool:
        self.note("permission")
        return True


@pytest.mark.parametrize("where", WHERE)
def test_asyncio_run_on_the_thread_for_sync_code_runs_it_there_instead_of_waiting_for_itself(
    codemode: Codemode, where: str
) -> None:
    everybody = Everybody()

    async def awhere() -> int:
        async def back() -> int:
            await asyncio.sleep(0)
            return await sync_to_async(threading.get_ident)()

        one = await sync_to_async(threading.get_ident)()
        assert one == await sync_to_async(async_to_sync(back))()
        assert one == await asyncio.to_thread(asyncio.run, sync_to_async(threading.get_ident)())
        assert asyncio.current_task() is not None
        return one

    registry = codemode.registry
    registry.register_tool("where", tool(permission="app.it")(lambda: threading.get_ident()))
    registry.register_tool("awhere", awhere)
    registry.register_tool("three", tool(thread_sensitive=False)(lambda: 3))
    registry.permission_checker = everybody
    registry.context_loader = lambda context: lambda: everybody.note("context")
    registry.add_observer(everybody)
    registry.add_hook(everybody)

    def view() -> tuple[int, ExecutionResult]:
        with registry.context(user="of the request"):
            result = asyncio.run(codemode.run_async("[where(), await awhere(), three()]"))
        return threading.get_ident(), result

    # A deadlock here lasts longer than the watchdog waits.
    thread, result = on_a_sync_thread(view, where)

    assert result.error is None
    assert result.value == [thread, thread, 3]
    names = ("where", "awhere", "three")
    assert everybody.threads == {
        **dict.fromkeys(("context", "permission", "begin", "end"), thread),
        **{f"{when} {name}": thread for when in ("before", "after") for name in names},
    }


@pytest.mark.parametrize("where", WHERE)
def test_other_ways_to_execute_code_work_on_the_thread_for_sync_code(
    codemode: Codemode, where: str
) -> None:
    async def two() -> int:
        await asyncio.sleep(0)
        return 2

    codemode.registry.register_tool("one", lambda: 1)
    codemode.registry.register_tool("two", two)
    codemode.registry.register_tool("three", tool(thread_sensitive=False)(lambda: 3))
    code = "[one(), await two(), three()]"
    by_bridge = async_to_sync(codemode.run_async)
    assert on_a_sync_thread(lambda: by_bridge(code), where).value == [1, 2, 3]
    assert on_a_sync_thread(lambda: codemode.run(code), where).value == [1, 2, 3]


@pytest.mark.parametrize("inner", ["run", "run_async"])
def test_tools_execute_code_on_the_thread_for_sync_code(codemode: Codemode, inner: str) -> None:
    def nested() -> Any:
        if inner == "run":
            return codemode.run("[one(), await two()]").value
        return async_to_sync(codemode.run_async)("[one(), await two()]").value

    async def two() -> int:
        return await sync_to_async(lambda: 2)()

    codemode.registry.register_tool("one", lambda: 1)
    codemode.registry.register_tool("two", two)
    codemode.registry.register_tool("nested", nested)

    def view() -> ExecutionResult:
        return asyncio.run(codemode.run_async("nested()"))

    assert on_a_sync_thread(view, "in a request").value == [1, 2]


def test_asyncio_run_works_on_a_thread_that_has_only_just_been_started(
    codemode: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python starts a pool's thread before it adds the thread to the pool's set."""

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
    assert result.value == 1


async def test_the_default_executor_of_a_loop_is_left_to_the_project(
    codemode: Codemode,
) -> None:
    """The project's threads may wait for the runs of this very loop."""

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
    *_, last = [one async for one in amessages_of(codemode.stream("'x' * 1_000_000"))]
    assert await last.write(len, last.data["text"]) == 20_000
    async with Codemode.from_client_config(ClientConfig(executor_url=None)) as own:
        assert await own.execute_async("6 * 7") == "42"


def test_a_pool_passes_a_context_on_only_when_it_is_given_one(codemode: Codemode) -> None:
    """With the context of the thread's former job, a run would be somebody else's."""
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
        # A context that a job leaves set stays for the next job of its thread.
        assert pool.submit(codemode.run, "whoami()").result().value == {"tenant_id": "zoo"}
