"""MCP servers made with the official SDK, for tests: a command, and one on loopback.

``python mcp_servers.py FOLDER`` speaks over stdin and stdout, and leaves notes of what happens in
the folder. ``python mcp_servers.py FOLDER PORT`` serves streamable HTTP on loopback, with sessions
where ``2025`` follows.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from mcp import StdioServerParameters, types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

__all__ = [
    "PNG",
    "Notes",
    "command",
    "in_a_process",
    "of_2025",
    "on_loopback",
    "result",
    "server",
    "tool",
    "usual_tools",
]

PNG = b"\x89PNG\r\n\x1a\n\x00\xff"

Tools = Mapping[str, tuple[types.Tool, Callable[..., Any]]]


class Notes:
    """Notes of what a server has done, in a folder, so that they outlive it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, note: str) -> None:
        with (self.folder / "notes").open("a") as file:
            file.write(f"{note}\n")

    def all(self) -> list[str]:
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []


def tool(name: str, properties: Mapping[str, Any] | None = None, **options: Any) -> types.Tool:
    """Return a tool as a server lists it; all of its properties are required."""
    schema = {
        "type": "object",
        "properties": dict(properties or {}),
        "required": list(properties or {}),
    }
    return types.Tool(name=name, **{"input_schema": schema, **options})


def usual_tools(notes: Notes) -> list[tuple[types.Tool, Callable[..., Any]]]:
    """Return tools, each with its function of the request and the arguments."""
    number = {"type": "integer"}
    wrapped = {"type": "object", "properties": {"result": number}, "required": ["result"]}
    issue = {
        "type": "object",
        "properties": {"id": number, "due-date": {"type": "string"}},
        "required": ["id", "due-date"],
    }
    due = {"type": "string", "format": "date", "description": "The last day."}

    def add(_: Any, a: int, b: int) -> Any:
        notes.add(f"add {a} {b}")
        return result(f"{a + b}", {"result": a + b})

    def create_issue(_: Any, **arguments: Any) -> Any:
        return result("made", {"id": 7, "due-date": arguments["due-date"]})

    def picture(_: Any) -> Any:
        data = base64.b64encode(PNG).decode()
        image = types.ImageContent(type="image", data=data, mime_type="image/png")
        return types.CallToolResult(content=[types.TextContent(type="text", text="A dot."), image])

    def fail(_: Any) -> Any:
        return result("no such issue", is_error=True)

    async def wait(_: Any) -> Any:
        notes.add("wait begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            notes.add("wait cancelled")
            raise

    def who(ctx: Any) -> Any:
        return result(ctx.request.headers.get("authorization", "nobody") if ctx.request else "")

    def crash(_: Any) -> Any:
        notes.add("crash")
        os._exit(1)

    return [
        (
            tool(
                "add",
                {"a": number, "b": number},
                description="Add two numbers.",
                output_schema=wrapped,
                annotations=types.ToolAnnotations(read_only_hint=True),
            ),
            add,
        ),
        (
            tool("create-issue", {"due-date": due}, description="Make one.", output_schema=issue),
            create_issue,
        ),
        (tool("import", {"text": {"type": "string"}}), lambda _, text: result(text)),
        (tool("picture"), picture),
        (tool("fail"), fail),
        (tool("wait"), wait),
        (tool("who"), who),
        (tool("crash"), crash),
        (tool("large", {"size": number}), lambda _, size: result("x" * size)),
        (tool("environment"), lambda _: result("\n".join(os.environ))),
        (tool("ask"), lambda _: types.InputRequiredResult(input_requests={}, request_state="s")),
    ]


def result(text: str, structured: Any = None, *, is_error: bool = False) -> types.CallToolResult:
    content = [types.TextContent(type="text", text=text)]
    more = {} if structured is None else {"structured_content": structured}
    return types.CallToolResult(content=content, is_error=is_error, **more)


def server(tools: Sequence[tuple[types.Tool, Callable[..., Any]]], *, page: int = 4) -> Server[Any]:
    """Return a server of some tools, which it lists in pages."""

    async def on_list(_: Any, params: types.PaginatedRequestParams | None) -> Any:
        begin = int(params.cursor) if params and params.cursor else 0
        listed = [one for one, _ in tools[begin : begin + page]]
        more = str(begin + page) if begin + page < len(tools) else None
        return types.ListToolsResult(
            tools=listed, next_cursor=more, ttl_ms=0, cache_scope="private"
        )

    async def on_call(ctx: Any, params: types.CallToolRequestParams) -> Any:
        function = {one.name: function for one, function in tools}[params.name]
        done = function(ctx, **(params.arguments or {}))
        return await done if asyncio.iscoroutine(done) else done

    return Server("shop", on_list_tools=on_list, on_call_tool=on_call)


def command(folder: Path, **options: Any) -> StdioServerParameters:
    """Return the command of a server that leaves its notes in a folder."""
    return StdioServerParameters(command=sys.executable, args=[__file__, str(folder)], **options)


def of_2025(made: Server[Any]) -> Any:
    """Return the application of a server that knows no protocol after 2025, and has sessions."""
    app = made.streamable_http_app()

    async def older(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        message = await receive()
        if b'"server/discover"' not in message["body"]:
            waiting = [message]

            async def again() -> Any:
                return waiting.pop() if waiting else await receive()

            await app(scope, again, send)
            return
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"unknown method"})

    return older


@contextmanager
def in_a_process(folder: Path, port: int, era: str) -> Iterator[str]:
    """Serve the usual tools over HTTP from a process of its own; yield the URL."""
    process = subprocess.Popen([sys.executable, __file__, str(folder), str(port), era])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


@contextmanager
def on_loopback(app: Any, *, port: int = 0) -> Iterator[str]:
    """Serve an application in a thread; yield the URL."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        while not running.started:
            thread.join(0.01)
            assert thread.is_alive()
        sockets: list[socket.socket] = running.servers[0].sockets  # type: ignore[assignment]
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}/mcp"
    finally:
        running.should_exit = True
        thread.join()


async def main() -> None:
    notes = Notes(Path(sys.argv[1]))
    notes.add(f"started {os.getpid()}")
    made = server(usual_tools(notes))
    async with stdio_server() as (read, write):
        await made.run(read, write, made.create_initialization_options())


def serve(folder: Path, port: int, era: str) -> None:
    made = server(usual_tools(Notes(folder)))
    app = of_2025(made) if era == "2025" else made.streamable_http_app(stateless_http=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        serve(Path(sys.argv[1]), int(sys.argv[2]), "".join(sys.argv[3:]))
    else:
        asyncio.run(main())
