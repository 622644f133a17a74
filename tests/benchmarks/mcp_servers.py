"""MCP servers to measure, each in a process of its own, and clients of the official SDK.

``python -m tests.benchmarks.mcp_servers KIND [PORT]`` serves by HTTP on loopback or, without a
port, over stdin and stdout.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx2
import psutil
import uvicorn
from mcp import Client, StdioServerParameters, stdio_client, types
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from tests.support.paths import ROOT
from tests.support.processes import free_port

__all__ = ["TRANSPORTS", "Kind", "Peer"]

_EXAMPLE = ROOT / "example_project"
_START_SECONDS = 30.0


class Kind(StrEnum):
    """What serves: the SDK alone, with one tool that returns a constant, or the example project."""

    BARE = "bare"
    PROJECT = "project"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A connected client, and the process id of its server."""

    client: Client
    pid: int


@asynccontextmanager
async def _by_http(kind: Kind) -> AsyncIterator[Peer]:
    with _http_server(kind) as (url, pid):
        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer x"}, timeout=60) as http,
            Client(streamable_http_client(url, http_client=http), cache=None) as client,
        ):
            yield Peer(client=client, pid=pid)


@asynccontextmanager
async def _by_stdio(kind: Kind) -> AsyncIterator[Peer]:
    before = set(psutil.Process().children())
    script = str(_EXAMPLE / "manage.py")
    args = ["-m", __name__, kind] if kind is Kind.BARE else [script, "codemode_mcp"]
    server = StdioServerParameters(command=sys.executable, args=args, env=_environment(), cwd=ROOT)
    async with Client(stdio_client(server), cache=None) as client:
        (process,) = set(psutil.Process().children()) - before
        yield Peer(client=client, pid=process.pid)


TRANSPORTS = {"HTTP": _by_http, "stdio": _by_stdio}


@contextmanager
def _http_server(kind: Kind) -> Iterator[tuple[str, int]]:
    """Serve in another process for as long as the block lasts; yield the URL and the process id."""
    port = free_port()
    command = [sys.executable, "-m", __name__, kind, str(port)]
    with subprocess.Popen(command, env=_environment(), cwd=ROOT) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}/mcp", process.pid
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the MCP server did not start on port {port}")


def _environment() -> dict[str, str]:
    path = os.pathsep.join(map(str, (ROOT, _EXAMPLE)))
    return {**os.environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "config.settings"}


def _project() -> Any:
    from django.core.asgi import get_asgi_application

    http = get_asgi_application()
    from django.contrib.auth.models import User

    from django_codemode.mcp.application import mcp_application

    # Without queries: what a database takes is that of the project.
    user = User(pk=1, username="bench", is_superuser=True)
    return mcp_application(http, path="/mcp/", authentication=lambda request: user)


def _bare() -> Server[Any]:
    tool = types.Tool(name="execute_code", input_schema={"type": "object"})

    async def on_list(*_: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool], ttl_ms=0, cache_scope="private")

    async def on_call(*_: Any) -> types.CallToolResult:
        return types.CallToolResult(content=[types.TextContent(type="text", text="2")])

    return Server("bare", on_list_tools=on_list, on_call_tool=on_call)


async def _serve_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def main() -> None:
    kind = Kind(sys.argv[1])
    if len(sys.argv) < 3:
        asyncio.run(_serve_stdio(_bare()))
        return
    app = _project() if kind is Kind.PROJECT else _bare().streamable_http_app(stateless_http=True)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")


if __name__ == "__main__":
    main()
