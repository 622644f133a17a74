from __future__ import annotations

import asyncio
import threading
from typing import Any

from asgiref.local import Local
from asgiref.sync import ThreadSensitiveContext, sync_to_async

from codemode.core.context import RuntimeContext, get_current_context, get_current_execution
from codemode.core.hooks import ToolOutcome
from codemode.tools import tool
from tests.codemode.core._dispatch.dispatch_host import (
    Host,
    add,
    spoil,
    spoil_async,
    value_of,
    variable,
)


def test_a_sync_tool_runs_in_the_calling_thread_with_checked_arguments() -> None:
    host = Host(add=add, where=lambda: threading.get_ident())

    assert value_of(host.sync("add", {"a": "1"})) == 3
    assert value_of(host.sync("where")) == threading.get_ident()
    record = host.current.records()[0]
    assert (record.call_id, record.name, record.arguments) == (1, "add", {"a": "1"})
    assert record.outcome == "completed"
    assert record.duration_ms is not None
    assert record.error is None


async def test_in_the_async_half_sync_tools_share_one_thread_and_async_ones_the_loops() -> None:
    async def here() -> int:
        return threading.get_ident()

    host = Host(where=lambda: threading.get_ident(), here=here, add=add)
    threads = [value_of(await host.task("where")) for _ in range(3)]

    assert len(set(threads)) == 1
    assert threads[0] == await sync_to_async(threading.get_ident)()
    assert value_of(await host.task("here")) == threading.get_ident()
    assert value_of(await host.task("add", {"a": 1})) == 3


async def test_async_tools_of_a_gather_run_at_once() -> None:
    all_at_once = asyncio.Barrier(10)

    async def meet() -> None:
        async with asyncio.timeout(60):
            await all_at_once.wait()

    host = Host(meet=meet)
    await asyncio.gather(*(host.task("meet") for _ in range(10)))

    assert host.outcomes == ["completed"] * 10


async def test_tools_that_are_not_thread_sensitive_run_at_once_in_the_pool() -> None:
    barrier = threading.Barrier(4)

    @tool(thread_sensitive=False)
    def meet() -> int:
        barrier.wait(60)
        return threading.get_ident()

    host = Host(meet=meet)
    threads = {value_of(one) for one in await asyncio.gather(*(host.task("meet") for _ in "four"))}
    assert len(threads) == 4

    futures = [host.current.run_in_pool(host.begin("meet")) for _ in "four"]
    assert len({value_of(one.result(60)) for one in futures}) == 4
    assert threading.get_ident() not in threads


def test_what_a_sync_tool_sets_nobody_else_sees() -> None:
    token = variable.set("mine")
    try:
        host = Host(spoil=spoil)
        for run in (host.sync, host.sync, host.pool, host.pool):
            assert value_of(run("spoil")) == "mine"
        assert variable.get() == "mine"
    finally:
        variable.reset(token)


async def test_what_a_tool_of_the_async_half_sets_nobody_else_sees() -> None:
    variable.set("mine")
    host = Host(
        spoil=spoil, spoil_async=spoil_async, in_pool=tool(thread_sensitive=False)(lambda: spoil())
    )
    names = ["spoil", "spoil_async", "in_pool"] * 2
    seen = await asyncio.gather(*(host.task(name) for name in names))

    assert [value_of(one) for one in seen] == ["mine"] * 6
    assert variable.get() == "mine"


async def test_tools_see_the_context_of_the_runs_start() -> None:
    variable.set("at the start")
    host = Host(spoil=spoil, spoil_async=spoil_async)
    host.dispatcher()
    variable.set("later")

    assert value_of(await host.task("spoil")) == "at the start"
    assert value_of(await host.task("spoil_async")) == "at the start"


def test_tools_know_their_context_and_execution() -> None:
    def look() -> list[Any]:
        execution, context = get_current_execution(), get_current_context()
        assert execution is not None
        assert context is not None
        assert 0 < execution.deadline <= 600
        return [execution.execution_id, execution.tool, execution.call_id, context["tenant"]]

    class Look:
        def run_with_context(self, context: RuntimeContext, key: str) -> Any:
            return context.get(key)

    host = Host(look=look, get=Look)
    host.dispatcher(runtime_context=RuntimeContext({"tenant": "acme"}))

    assert value_of(host.sync("look")) == ["run-1", "look", 1, "acme"]
    assert value_of(host.pool("look")) == ["run-1", "look", 2, "acme"]
    assert value_of(host.sync("get", {"key": "tenant"})) == "acme"
    assert get_current_execution() is None
    assert get_current_context() is None


def test_run_with_context_gets_an_empty_context_where_there_is_none() -> None:
    class Look:
        def run_with_context(self, context: RuntimeContext) -> bool:
            return context == RuntimeContext() and get_current_context() is None

    assert value_of(Host(look=Look).sync("look")) is True


local = Local()


def test_locals_of_asgiref_reach_pool_threads_and_other_loops() -> None:
    def language() -> str:
        return str(getattr(local, "language", None))

    async def language_async() -> list[str]:
        return [language(), await sync_to_async(language)(), str(threading.get_ident())]

    local.language = "nb"
    try:
        host = Host(language=language, language_async=language_async)
        assert value_of(host.pool("language")) == "nb"

        async def main() -> ToolOutcome:
            call = host.begin("language_async")

            async def wrapped() -> ToolOutcome:
                async with ThreadSensitiveContext():
                    return await host.current.call_in_async_half(call)

            return await asyncio.create_task(wrapped(), context=call.context)

        outcomes: list[ToolOutcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(asyncio.run(main())))
        thread.start()
        thread.join(60)
        assert value_of(outcomes[0]) == ["nb", "nb", str(thread.ident)]
    finally:
        del local.language
