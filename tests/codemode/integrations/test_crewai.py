"""Promises of the adapter of CrewAI, which runs tools in threads of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async

from codemode import ClientConfig, Codemode
from tests.codemode.integrations.agents import AGENTS, Call, code
from tests.support.frameworks import OF_CREWAI, needs_frameworks
from tests.support.processes import ExecutorProcess

AGENT = AGENTS["crewai"]

pytestmark = OF_CREWAI


@pytest.fixture
def shop(executor: ExecutorProcess) -> Iterator[Codemode]:
    """Yield a facade with a tool that returns its thread."""
    needs_frameworks("crewai")
    with Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as codemode:
        codemode.registry.register_tool("thread", threading.get_ident)
        yield codemode


def test_sync_tools_do_not_wait_for_the_thread_of_a_sync_view(shop: Codemode) -> None:
    """That thread waits for the crew, as in a sync view under ASGI."""

    def view() -> tuple[int, list[str]]:
        seen = async_to_sync(AGENT.run)(shop, code("thread()"), Call("thread", {}))
        return threading.get_ident(), seen.texts

    async def request() -> tuple[int, list[str]]:
        async with ThreadSensitiveContext():
            return await sync_to_async(view)()

    thread, texts = asyncio.run(request())
    assert all(text.isdigit() for text in texts)
    assert str(thread) not in texts


def test_threads_of_sync_tools_close_what_they_have_opened(shop: Codemode) -> None:
    closed, all_closed = [], threading.Event()

    def close() -> None:
        closed.append(str(threading.get_ident()))
        if len(closed) == 2:
            all_closed.set()

    shop.registry.extensions.thread_finalizers.append(close)
    seen = asyncio.run(AGENT.run(shop, code("thread()"), Call("thread", {})))
    assert all_closed.wait(60)
    assert sorted(closed) == sorted(seen.texts)


def test_a_cancelled_caller_does_not_end_the_run(shop: Codemode) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        while not go_on.is_set():
            await asyncio.sleep(0.01)

    shop.registry.register_tool("wait", wait)
    shop.registry.register_tool("end", ended.set)

    async def cancelled() -> None:
        task = asyncio.create_task(AGENT.run(shop, code("await wait()\nend()")))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ended.is_set()
        go_on.set()

    asyncio.run(cancelled())
    assert ended.wait(60)


def test_answers_are_not_cached(shop: Codemode) -> None:
    from codemode.integrations.crewai import code_tool, plain_tools

    for tool in (code_tool(shop), *plain_tools(shop)):
        assert not tool.cache_function({}, "1")
