"""Promises of the MCP server under each ASGI server, mounted by the routers of Channels."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

if "CODEMODE_TEST_FRAMEWORKS_REQUIRED" not in os.environ:
    pytest.importorskip("mcp")

from tests.django_codemode.mcp.clients import ERAS, client_of, text_of
from tests.servers.server import SERVERS, RunningServer
from tests.support.processes import ExecutorProcess, descendants, is_running, wait_until

APP = "tests.servers.project.asgi_mcp:application"
AT_ONCE = 25


@pytest.fixture(scope="module")
def executor() -> Iterator[ExecutorProcess]:
    # Sandboxes report their process ids, which are unknown inside a PID namespace.
    with ExecutorProcess("--tier", "unsafe") as executor:
        yield executor


@pytest.fixture(scope="module", params=["uvicorn", "daphne", "hypercorn"])
def running(request: pytest.FixtureRequest, executor: ExecutorProcess) -> Iterator[RunningServer]:
    (server,) = (one for one in SERVERS if one.name == request.param)
    # No run may end by its timeout while a test waits for another end.
    patient = {"CODEMODE_LIMITS__EXECUTION_TIMEOUT": "600"}
    with RunningServer(
        server.serving(APP), executor_url=executor.url, environment=patient
    ) as running:
        yield running
        running.terminate()
        assert running.complaints() == [], running.log


def url_of(running: RunningServer, path: str = "/mcp/") -> str:
    return f"http://127.0.0.1:{running.port}{path}"


def connections(running: RunningServer) -> int:
    """Return how many connections the processes of a server hold, besides those it listens on."""
    return sum(
        one.status != psutil.CONN_LISTEN
        for pid in (running.pid, *descendants(running.pid))
        for one in psutil.Process(pid).net_connections("tcp")
    )


@pytest.mark.parametrize("path", ["/mcp/", "/routed/mcp/"])
@pytest.mark.parametrize("era", ERAS)
def test_a_client_lists_runs_and_cancels(running: RunningServer, era: str, path: str) -> None:
    async def use() -> None:
        headers = {"X-Tenant": "acme", "X-Request-ID": "r1"}
        async with client_of(url_of(running, path), "ann", era, **headers) as client:
            listed = (await client.list_tools()).tools
            assert "def whoami()" in (listed[0].description or "")

            code = {"code": "whoami() + await awhoami()"}
            result = await client.call_tool("execute_code", code)
            assert result.structured_content["value"] == ["acme r1"] * 4

            before = len(running.notes("run"))
            code = {"code": "import os, time; here(os.getpid()); time.sleep(600)"}
            call = asyncio.create_task(client.call_tool("execute_code", code))
            while len(running.notes("run")) == before:
                await asyncio.sleep(0.01)
            sandbox = running.notes("run")[-1]["sandbox"]
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(wait_until, lambda: not is_running(sandbox))

            assert text_of(await client.call_tool("execute_code", {"code": "1"})) == "1"

    asyncio.run(use())


@pytest.mark.parametrize("era", ERAS)
def test_two_users_at_once_are_never_mixed(running: RunningServer, era: str) -> None:
    async def as_user(name: str) -> None:
        headers = {"X-Tenant": f"of-{name}", "X-Request-ID": name}
        async with client_of(url_of(running), name, era, **headers) as client:
            code = {"code": "whoami() + await awhoami()"}
            calls = (client.call_tool("execute_code", code) for _ in range(AT_ONCE))
            for result in await asyncio.gather(*calls):
                assert result.structured_content["value"] == [f"of-{name} {name}"] * 4

    async def both() -> None:
        await asyncio.gather(as_user("ann"), as_user("bob"))

    asyncio.run(both())


@pytest.mark.parametrize(("token", "status"), [("nobody", 401), ("ann", 413)])
def test_a_refused_caller_that_goes_on_sending_keeps_nothing_busy(
    running: RunningServer, token: str, status: int
) -> None:
    if running.server.name == "daphne":
        pytest.skip("Daphne calls the application when it has read the whole body")
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as raw:
        raw.sendall(_head(token, length=10**9))
        with suppress(ConnectionError):  # it need not take more than it wants
            for _ in range(32):
                raw.sendall(bytes(64 * 1024))
        answer = raw.recv(65536)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert wait_until(lambda: connections(running) == 0)


def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_an_error(
    running: RunningServer,
) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as raw:
        raw.sendall(_head("ann", length=1_000, more=("Expect: 100-continue",)))
        # uvicorn says so when the application reads the body, the others before.
        assert raw.recv(65536).startswith(b"HTTP/1.1 100 ")
        raw.sendall(b'{"jsonrpc"')
    assert wait_until(lambda: connections(running) == 0)
    assert running.complaints() == []


def _head(token: str, *, length: int, more: tuple[str, ...] = ()) -> bytes:
    lines = (
        "POST /mcp/ HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        "Accept: application/json, text/event-stream",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *more,
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
