"""The patterns that the guide on concurrency promises work: each complete, with a real executor."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from codemode import Codemode, ExecutorClient, ExecutorClientError, tool
from codemode.config import ClientConfig
from codemode.core import ComponentRegistry
from codemode.core._grpc.forking import ForkSafeStub
from codemode.core._link import inside_loop
from codemode.core.registry import RuntimeContext, get_current_context
from tests.support.processes import ExecutorProcess, free_port, wait_until

API_KEY = "a-key-for-the-tests"


@pytest.fixture(scope="module")
def keyed_executor() -> Iterator[ExecutorProcess]:
    """Yield an executor that listens on a port and requires a key."""
    with ExecutorProcess(
        listen=f"127.0.0.1:{free_port()}", environment={"CODEMODE_EXECUTOR_API_KEY": API_KEY}
    ) as process:
        yield process


@pytest.fixture
def config(keyed_executor: ExecutorProcess) -> ClientConfig:
    return ClientConfig(executor_url=f"http://{keyed_executor.url}", executor_api_key=API_KEY)


class WeatherTool:
    """A tool object, as an application would write it."""

    def run(self, city: str) -> str:
        """Tell the weather of a city."""
        context = get_current_context()
        tenant = None if context is None else context.get("tenant_id")
        return f"{city} is sunny for {tenant}"


class DatabaseTool:
    """An asynchronous tool object that takes its context."""

    async def run_with_context(self, context: RuntimeContext, table: str) -> dict[str, Any]:
        """Count the rows of a table."""
        await asyncio.sleep(0)
        return {"table": table, "tenant_id": context.get("tenant_id")}


def whoami() -> str | None:
    context = get_current_context()
    return None if context is None else context.get("client_id")


# Context isolation


async def test_each_of_several_requests_keeps_its_client_id(config: ClientConfig) -> None:
    async def handle_request(client_id: str, codemode: Codemode) -> str:
        codemode.with_context(client_id=client_id)
        await asyncio.sleep(0.02)
        context = codemode.registry.get_context()
        assert context is not None
        assert context.get("client_id") == client_id
        return await codemode.execute_async("result = {'done': True, 'for': whoami()}")

    async with Codemode.from_client_config(config) as codemode:
        codemode.registry.register_tool("whoami", whoami)
        names = ["client_a", "client_b", "client_c"]
        results = await asyncio.gather(*(handle_request(name, codemode) for name in names))
    assert results == [f'{{"done": true, "for": "{name}"}}' for name in names]


async def test_tasks_that_overlap_set_get_and_clear_their_own_context() -> None:
    registry = ComponentRegistry()
    seen: dict[str, object] = {}

    async def task(client_id: str, delay: float) -> None:
        registry.set_context(RuntimeContext(variables={"client_id": client_id}))
        await asyncio.sleep(delay)
        retrieved = registry.get_context()
        seen[client_id] = retrieved and retrieved.get("client_id")
        registry.clear_context()
        assert registry.get_context() is None

    await asyncio.gather(task("a", 0.02), task("b", 0.01), task("c", 0.03))
    assert seen == {"a": "a", "b": "b", "c": "c"}


async def test_a_context_does_not_change_while_others_work() -> None:
    async def debug_task(task_id: str, registry: ComponentRegistry) -> None:
        registry.set_context(RuntimeContext(variables={"task_id": task_id}))
        before = registry.get_context()
        await asyncio.sleep(0.01)
        assert before is registry.get_context() is get_current_context()
        assert str(get_current_context()) == "<RuntimeContext: task_id>"

    registry = ComponentRegistry()
    await asyncio.gather(*(debug_task(str(number), registry) for number in range(20)))


async def test_a_request_clears_its_context_when_done(config: ClientConfig) -> None:
    async def handle_request(codemode: Codemode, code: str) -> str:
        try:
            codemode.with_context(client_id="acme", request_id=str(uuid.uuid4()))
            return await codemode.execute_async(code)
        finally:
            codemode.registry.clear_context()

    async with Codemode.from_client_config(config) as codemode:
        assert await handle_request(codemode, "result = 'done'") == "done"
        with pytest.raises(Exception, match="division by zero"):
            await handle_request(codemode, "1 / 0")
        assert codemode.registry.get_context() is None


# A web application of many tenants


def application(config: ClientConfig) -> FastAPI:
    """Return an application with one client, a middleware that sets the tenant, and its tools."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        codemode = app.state.codemode = Codemode.from_client_config(config)
        codemode.registry.register_tool("weather", WeatherTool())
        codemode.registry.register_tool("database", DatabaseTool())
        yield
        codemode.close()

    app = FastAPI(lifespan=lifespan)

    @app.middleware("http")
    async def tenant_middleware(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        app.state.codemode.with_context(
            tenant_id=request.headers.get("X-Tenant-ID", "default"), request_id=str(uuid.uuid4())
        )
        return await call_next(request)

    @app.post("/execute")
    async def execute(code: str) -> dict[str, Any]:
        return {"result": await app.state.codemode.execute_async(code)}

    @app.post("/execute-in-a-thread")
    def execute_in_a_thread(code: str) -> dict[str, Any]:
        return {"result": app.state.codemode.execute(code)}

    @app.post("/register-tool")
    async def register_tool(name: str) -> dict[str, Any]:
        app.state.codemode.registry.register_tool(name, lambda: f"I am {name}")
        return {"tools": len(app.state.codemode.registry.tools)}

    return app


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert wait_until(lambda: server.started, 60)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive()


async def test_tenants_of_a_fastapi_application_never_meet(config: ClientConfig) -> None:
    app = application(config)
    code = "[weather(city='Oslo'), await database(table='orders')]"
    with served(app) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:

            async def ask(number: int) -> None:
                tenant = f"tenant-{number % 4}"
                path = ("/execute", "/execute-in-a-thread")[number % 2]
                answer = await client.post(
                    path, params={"code": code}, headers={"X-Tenant-ID": tenant}
                )
                assert answer.json() == {
                    "result": f'["Oslo is sunny for {tenant}", '
                    f'{{"table": "orders", "tenant_id": "{tenant}"}}]'
                }

            await asyncio.gather(*(ask(number) for number in range(40)))
    # The application's lifespan has closed the client.
    with pytest.raises(ExecutorClientError, match="Client has been closed"):
        await app.state.codemode.execute_async("1")


async def test_a_fastapi_application_may_register_tools_in_requests(config: ClientConfig) -> None:
    app = application(config)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client,
    ):

        async def add_and_use(number: int) -> None:
            name = f"tool_{number}"
            assert (await client.post("/register-tool", params={"name": name})).is_success
            answer = await client.post("/execute", params={"code": f"{name}()"})
            assert answer.json() == {"result": f"I am {name}"}

        await asyncio.gather(*(add_and_use(number) for number in range(20)))
        answer = await client.post("/execute", params={"code": "len(tools)"})
        assert answer.json() == {"result": "22"}


# The client


async def test_executions_of_one_client_at_once(config: ClientConfig) -> None:
    assert config.executor_url is not None
    client = ExecutorClient(executor_url=config.executor_url, api_key=API_KEY)
    try:
        results = await asyncio.gather(
            *(
                client.execute_async(code=f"result = {number}", available_tools=[], config={})
                for number in (1, 2, 3)
            )
        )
    finally:
        await client.close_async()
    assert [result.value for result in results] == [1, 2, 3]


async def test_a_closed_client_says_so_however_often_it_is_closed(config: ClientConfig) -> None:
    client = ExecutorClient(executor_url=config.executor_url, api_key=API_KEY)
    await client.close_async()
    await client.close_async()
    with pytest.raises(ExecutorClientError) as caught:
        await client.execute_async("result = 1")
    assert str(caught.value) == "Client has been closed"


async def test_sync_execute_in_a_coroutine_keeps_the_context(
    config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside_loop, "_warned_about_loop", False)
    async with Codemode.from_client_config(config) as codemode:
        codemode.registry.register_tool("weather", WeatherTool())
        codemode.registry.register_tool("database", DatabaseTool())
        codemode.with_context(tenant_id="acme")
        with pytest.warns(RuntimeWarning, match="await execute_async"):
            assert codemode.execute("weather(city='Oslo')") == "Oslo is sunny for acme"
        # The warning comes only once.
        assert '"acme"' in codemode.execute("await database(table='orders')")


async def test_a_channel_for_threads_and_one_for_each_loop(config: ClientConfig) -> None:
    async with Codemode.from_client_config(config) as codemode:
        channels = codemode.client._connection._channels
        assert channels is not None
        assert (channels._sync, channels._by_loop) == (None, {})
        await codemode.execute_async("1")
        (mine,) = channels._by_loop.values()
        await asyncio.to_thread(asyncio.run, codemode.execute_async("1"))
        await asyncio.to_thread(codemode.execute, "1")
        await codemode.execute_async("1")
        assert isinstance(channels._sync, ForkSafeStub)
        assert list(channels._by_loop.values()) == [mine]


def test_tools_are_registered_once_at_startup_and_used_by_many(config: ClientConfig) -> None:
    def setup_codemode() -> Codemode:
        codemode = Codemode.from_client_config(config)
        codemode.registry.register_tool("weather", WeatherTool())
        codemode.registry.register_tool("database", tool(DatabaseTool))
        return codemode

    with setup_codemode() as codemode:
        for number in range(5):
            with codemode.registry.context(tenant_id=f"t{number}"):
                text = codemode.execute("weather(city='Rome')")
            assert text == f"Rome is sunny for t{number}"


def test_debug_logging_is_one_line_of_setup(
    config: ClientConfig, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("codemode")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        with Codemode.from_client_config(config).with_context(client_id="acme") as codemode:
            codemode.execute("result = 1")
            codemode.registry.clear_context()
    finally:
        logger.setLevel(level)
    assert "begins: context client_id; 0 tools" in caplog.text
    assert "acme" not in caplog.text
