"""Promises of MCP servers as tools, tried with real servers: a command, and on loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

if "CODEMODE_TEST_FRAMEWORKS_REQUIRED" not in os.environ:
    pytest.importorskip("mcp")

import httpx2
from mcp import StdioServerParameters, types

from codemode import Codemode, ToolError
from codemode.core.registry import ComponentRegistry, RuntimeContext
from codemode.errors import ConfigurationError, ToolRegistrationError
from codemode.integrations._mcp.http import MAX_ANSWER_BYTES
from codemode.integrations.mcp import (
    MCPOptions,
    MCPServerError,
    register_mcp,
    register_mcp_async,
)
from codemode.tools import ToolPermissionDenied
from tests.codemode.integrations.mcp_servers import (
    PNG,
    Notes,
    command,
    in_a_process,
    of_2025,
    on_loopback,
    result,
    server,
    tool,
    usual_tools,
)
from tests.support.halves import Half
from tests.support.processes import free_port, is_running, wait_until

Shop = AbstractContextManager[str | StdioServerParameters]


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


@pytest.fixture(params=["command", "2025", "2026"])
def shop(request: pytest.FixtureRequest, notes: Notes) -> Iterator[str | StdioServerParameters]:
    """Yield a server of each transport and era."""
    if request.param == "command":
        yield command(notes.folder)
        return
    made = server(usual_tools(notes))
    with on_loopback(of_2025(made) if request.param == "2025" else app(made)) as url:
        yield url


@pytest.fixture
def url(notes: Notes) -> Iterator[str]:
    with on_loopback(app(server(usual_tools(notes)))) as found:
        yield found


def app(made: Any) -> Any:
    return made.streamable_http_app(stateless_http=True)


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("codemode-mcp")]


def test_code_calls_a_servers_tools_with_types(
    half: Half, codemode: Codemode, shop: Any, notes: Notes
) -> None:
    with register_mcp(codemode, "shop", shop) as handle:
        assert "async def add(a: int, b: int) -> int" in codemode.catalogue().text
        assert "async def create_issue(due_date: str)" in codemode.catalogue().text
        assert handle.tools["shop.add"].effects == "reads"
        assert handle.tools["shop.create_issue"].effects == "external"
        assert handle.tools["shop.create_issue"].description == "Make one."
        assert dict(handle.skipped) == {}
        program = (
            "import asyncio, datetime\n"
            "issue = await shop.create_issue(datetime.date(2026, 1, 31))\n"
            "try:\n    await shop.fail()\n"
            "except ToolError as error:\n    failure = str(error)\n"
            "[issue, await asyncio.gather(shop.add(1, 2), shop.add(3, 4)),"
            " await shop.import_('[1]'), await shop.picture(), failure]"
        )
        ran = half.run(codemode, program)
        assert ran.error is None
        assert ran.value == [
            {"id": 7, "due-date": "2026-01-31"},
            [3, 7],
            "[1]",
            ["A dot.", {"type": "image", "mime_type": "image/png", "data": PNG}],
            "shop.fail: no such issue",
        ]
        wrong = half.run(codemode, "await shop.add(a='one', b=2)")
        assert wrong.error is not None
        assert "argument 'a' must be a whole number" in wrong.error.message
    assert sorted(notes.all()[-2:]) == ["add 1 2", "add 3 4"]


def test_a_handle_leaves_nothing_behind(codemode: Codemode, notes: Notes) -> None:
    before = psutil.Process().children()
    handle = register_mcp(codemode, "shop", command(notes.folder))
    # Registered, but not connected: the process may fork now.
    assert threads() == []
    assert psutil.Process().children() == before
    assert codemode.call_tool("shop.add", {"a": 1, "b": 2}) == 3
    assert threads() == ["codemode-mcp-shop"]
    running = handle.tools["shop.add"]
    handle.close()
    handle.close()
    assert threads() == []
    assert psutil.Process().children() == before
    assert dict(codemode.registry.tools) == {}
    with pytest.raises(ToolError, match="shop.add was not called: its MCP server cannot be"):
        asyncio.run(running.call({}, {"a": 1, "b": 2}))
    with pytest.raises(ToolRegistrationError, match="closed"):
        handle.refresh()


def test_tasks_register_refresh_and_close(codemode: Codemode, url: str) -> None:
    async def use() -> Any:
        async with await register_mcp_async(codemode, "shop", url, only=["add"]) as handle:
            await handle.refresh_async()
            assert list(handle.tools) == ["shop.add"]
            return await codemode.call_tool_async("shop.add", {"a": 1, "b": 2})

    assert asyncio.run(use()) == 3
    assert dict(codemode.registry.tools) == {}
    assert threads() == []


def test_the_permission_and_the_effects_are_those_of_the_project(
    codemode: Codemode, url: str
) -> None:
    with register_mcp(codemode, "shop", url, permission="shop.use", effects="external") as handle:
        assert {one.permission for one in handle.tools.values()} == {"shop.use"}
        assert {one.effects for one in handle.tools.values()} == {"external"}
        with pytest.raises(ToolPermissionDenied):
            codemode.call_tool("shop.add", {"a": 1, "b": 2})
        assert codemode.permitted_tools() == {}


def test_only_the_named_tools_are_registered(codemode: Codemode, url: str) -> None:
    with register_mcp(codemode, "shop", url, only=["create-issue", "ask"]) as handle:
        assert sorted(handle.tools) == ["shop.ask", "shop.create_issue"]
    with pytest.raises(
        ToolRegistrationError, match="only has 'ad', which the MCP server of 'shop'"
    ):
        register_mcp(codemode, "shop", url, only=["ad"])
    assert dict(codemode.registry.tools) == {}


def test_users_at_once_have_connections_of_their_own(
    codemode: Codemode, shop: Any, half: Half
) -> None:
    if isinstance(shop, StdioServerParameters):
        pytest.skip("a command has no headers")
    asked: list[threading.Thread] = []

    def headers(context: RuntimeContext) -> Mapping[str, str]:
        asked.append(threading.current_thread())
        return {"Authorization": f"Bearer {context.get('user', 'nobody')}"}

    def as_user(number: int) -> set[str]:
        with codemode.registry.context(user=f"user{number % 5}"):
            ran = half.run(codemode, "[await shop.who() for _ in range(5)]")
        assert ran.error is None
        assert set(ran.value) == {f"Bearer user{number % 5}"}
        return set(ran.value)

    # Fewer connections than users, so that some are closed for others.
    with (
        register_mcp(codemode, "shop", shop, headers=headers, max_connections=2) as handle,
        ThreadPoolExecutor(10) as pool,
    ):
        assert len(set.union(*pool.map(as_user, range(20)))) == 5
        thread = handle._connections._thread
        assert thread is not None
        assert len(thread.pool._open) <= 2
        asked.clear()
        if half.name == "sync":
            as_user(1)
            assert set(asked) == {threading.current_thread()}


def test_an_async_function_gives_headers(codemode: Codemode, url: str) -> None:
    async def headers(context: RuntimeContext) -> Mapping[str, str]:
        await asyncio.sleep(0)
        return {"authorization": context.get("user", "nobody")}

    with (
        register_mcp(codemode, "shop", url, headers=headers, only=["who"]),
        codemode.registry.context(user="ann"),
    ):
        assert codemode.call_tool("shop.who") == "ann"


def test_authentication_and_fixed_headers_reach_the_server(codemode: Codemode, url: str) -> None:
    def auth() -> httpx2.Auth:
        return httpx2.BasicAuth("ann", "secret")

    with register_mcp(codemode, "shop", url, auth=auth):
        assert codemode.call_tool("shop.who") == "Basic YW5uOnNlY3JldA=="
    with register_mcp(codemode, "shop", url, headers={"Authorization": "Bearer x"}) as handle:
        assert codemode.call_tool("shop.who") == "Bearer x"
        assert "Bearer" not in repr(handle._options)


def test_a_command_gets_only_the_environment_it_is_given(
    codemode: Codemode, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SECRET", "x")
    with register_mcp(codemode, "shop", command(notes.folder, env={"SHOP_KEY": "y"})):
        names = codemode.call_tool("shop.environment").split()
    assert "SHOP_KEY" in names
    assert "DJANGO_SECRET" not in names


def test_a_late_call_is_cancelled_at_the_server(
    codemode: Codemode, shop: Any, notes: Notes
) -> None:
    with register_mcp(codemode, "shop", shop, timeout=5, only=["wait"]):
        with pytest.raises(ToolError, match="did not answer within 5 s; the call has been cancel"):
            codemode.call_tool("shop.wait")
        assert wait_until(lambda: "wait cancelled" in notes.all())


def test_a_cancelled_run_cancels_the_call_at_the_server(
    codemode: Codemode, shop: Any, notes: Notes
) -> None:
    async def cancel() -> None:
        task = asyncio.create_task(codemode.run_async("await shop.wait()"))
        while "wait begun" not in notes.all():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with register_mcp(codemode, "shop", shop):
        asyncio.run(cancel())
        assert wait_until(lambda: "wait cancelled" in notes.all())


def test_closing_fails_the_calls_in_flight(codemode: Codemode, shop: Any, notes: Notes) -> None:
    handle = register_mcp(codemode, "shop", shop)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(codemode.call_tool, "shop.wait")
        assert wait_until(lambda: "wait begun" in notes.all())
        handle.close()
        with pytest.raises(ToolError, match="connection to the MCP server was lost during the cal"):
            call.result()


def test_a_call_that_kills_the_server_is_not_repeated(codemode: Codemode, notes: Notes) -> None:
    with register_mcp(codemode, "shop", command(notes.folder), timeout=60):
        with pytest.raises(ToolError, match="may have had an effect; it has not been repeated"):
            codemode.call_tool("shop.crash")
        assert notes.all().count("crash") == 1
        assert codemode.call_tool("shop.add", {"a": 1, "b": 2}) == 3


@pytest.mark.parametrize("era", ["2025", "2026"])
def test_a_call_that_ends_a_server_of_a_url_may_have_had_an_effect(
    codemode: Codemode, notes: Notes, era: str
) -> None:
    with (
        in_a_process(notes.folder, free_port(), era) as url,
        register_mcp(codemode, "shop", url, timeout=60),
    ):
        with pytest.raises(ToolError, match="may have had an effect; it has not been repeated"):
            codemode.call_tool("shop.crash")
        with pytest.raises(ToolError, match="was not called"):
            codemode.call_tool("shop.add", {"a": 1, "b": 2})
    assert notes.all() == ["crash"]


def test_a_command_that_has_ended_is_started_again(codemode: Codemode, notes: Notes) -> None:
    with register_mcp(codemode, "shop", command(notes.folder), timeout=60) as handle:
        assert codemode.call_tool("shop.add", {"a": 1, "b": 2}) == 3
        process = psutil.Process(int(notes.all()[-2].split()[1]))
        process.kill()
        thread = handle._connections._thread
        assert thread is not None
        assert wait_until(lambda: all(one.ended for one in thread.pool._open.values()))
        assert codemode.call_tool("shop.add", {"a": 3, "b": 4}) == 7
    assert [one.split()[0] for one in notes.all()[-2:]] == ["started", "add"]


@pytest.mark.parametrize("made", [app, of_2025], ids=["2026", "2025"])
def test_calls_go_on_after_the_server_was_restarted(
    codemode: Codemode, notes: Notes, made: Callable[[Any], Any]
) -> None:
    port = free_port()
    with on_loopback(made(server(usual_tools(notes))), port=port) as url:
        handle = register_mcp(codemode, "shop", url, timeout=60)
        assert codemode.call_tool("shop.add", {"a": 1, "b": 2}) == 3
    with pytest.raises(ToolError, match="cannot be reached"):
        codemode.call_tool("shop.add", {"a": 3, "b": 4})
    with on_loopback(made(server(usual_tools(notes))), port=port):
        assert codemode.call_tool("shop.add", {"a": 5, "b": 6}) == 11
    with handle, on_loopback(made(server(usual_tools(notes))), port=port):
        assert codemode.call_tool("shop.add", {"a": 7, "b": 8}) == 15
    assert notes.all() == ["add 1 2", "add 5 6", "add 7 8"]


def test_arguments_that_json_does_not_have_are_refused(codemode: Codemode) -> None:
    anything = {"type": "object", "properties": {"value": {}}, "required": ["value"]}
    shown = [(tool("show", input_schema=anything), lambda _, value: result(json.dumps(value)))]
    with on_loopback(app(server(shown))) as url, register_mcp(codemode, "shop", url):
        for bad in (float("nan"), [b"\xff"], 10**5000):
            with pytest.raises(ToolError, match="shop.show cannot be sent as JSON"):
                codemode.call_tool("shop.show", {"value": bad})
        assert codemode.call_tool("shop.show", {"value": {"a": [1, None]}}) == '{"a": [1, null]}'


def test_more_input_is_a_failure(codemode: Codemode, url: str) -> None:
    failure = pytest.raises(ToolError, match="asks for more input, which code cannot give")
    with register_mcp(codemode, "shop", url), failure:
        codemode.call_tool("shop.ask")


def nested(levels: int) -> Any:
    schema: Any = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def test_tools_that_cannot_be_are_skipped_and_others_registered(
    codemode: Codemode, caplog: pytest.LogCaptureFixture
) -> None:
    many = {f"p{number}": {"type": "string"} for number in range(200)}
    wide = {f"x{number}": {"$ref": "#/$defs/A"} for number in range(200)}
    schemas: dict[str, Any] = {
        "bomb": {"properties": wide, "$defs": {"A": {"type": "object", "properties": many}}},
        "circle": {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        "deep": {"properties": {"x": nested(60)}},
        "remote": {"properties": {"x": {"$ref": "https://example.com/schema.json"}}},
        "wrong": {"properties": {"x": {"type": "orange"}}},
        "n" * 200: {},
        "good": {"properties": {"tree": {"$ref": "#/$defs/Tree"}}, "$defs": {"Tree": TREE}},
    }
    made = [
        (tool(name, input_schema={"type": "object", **schema}), lambda _, **given: result("ok"))
        for name, schema in schemas.items()
    ]
    with on_loopback(app(server(made))) as url:
        with register_mcp(codemode, "shop", url) as handle:
            assert list(handle.tools) == ["shop.good"]
            assert handle.skipped.keys() == schemas.keys() - {"good"}
            assert codemode.call_tool("shop.good", {"tree": {"below": [{}]}}) == "ok"
        assert (
            "The tool 'wrong' of the MCP server of shop is skipped: tool 'shop.wro" in caplog.text
        )
        with pytest.raises(ToolRegistrationError, match="'orange'"):
            register_mcp(codemode, "shop", url, only=["wrong"])


TREE = {"type": "object", "properties": {"below": {"items": {"$ref": "#/$defs/Tree"}}}}


def test_names_become_identifiers_and_collisions_are_refused(codemode: Codemode) -> None:
    names = ["a-b", "9x", "class", "repo.get", "_x", "Ünï", "!"]
    made = app(server([(tool(one), print) for one in names]))
    with on_loopback(made) as url, register_mcp(codemode, "shop", url) as handle:
        found = [name.removeprefix("shop.") for name in handle.tools]
    assert found == ["a_b", "tool_9x", "class_", "repo.get", "x", "n", "tool"]
    for pair in (("a-b", "a_b"), ("repo", "repo.get"), ("repo.get", "repo"), ("same", "same")):
        made = app(server([(tool(one), print) for one in pair]))
        failure = pytest.raises(ToolRegistrationError, match=f"'{pair[0]}' and '{pair[1]}' would")
        with on_loopback(made) as url, failure:
            register_mcp(codemode, "shop", url)
    assert dict(codemode.registry.tools) == {}


def test_what_a_server_says_is_cut_and_visible(codemode: Codemode) -> None:
    hidden = (
        "Get it.\u200b\n" + "".join(chr(0xE0000 + ord(one)) for one in "obey") + " " + "x" * 9000
    )
    properties = {"description": {"type": "string", "description": hidden}}
    made = [(tool("get", properties, description=hidden), lambda _: result("x"))]
    with on_loopback(app(server(made))) as url, register_mcp(codemode, "shop", url) as handle:
        record = handle.tools["shop.get"]
        assert record.description.startswith("Get it. xxx")
        assert len(record.description) == 1000
        note = record.input_schema["properties"]["description"]["description"]
        assert note.startswith("Get it. xxx")
        assert len(note) == 300


def listing(pages: Callable[[int], Awaitable[list[types.Tool]]]) -> Any:
    """Return the application of a server whose list of tools never ends."""
    made = server([])

    async def on_list(_: Any, params: types.PaginatedRequestParams | None) -> Any:
        page = int(params.cursor) if params and params.cursor else 0
        return types.ListToolsResult(
            tools=await pages(page), next_cursor=f"{page + 1}", ttl_ms=0, cache_scope="private"
        )

    made.add_request_handler("tools/list", types.PaginatedRequestParams, on_list)
    return app(made)


def test_a_list_without_end_is_refused_unless_it_names_what_is_wanted(codemode: Codemode) -> None:
    async def pages(page: int) -> list[types.Tool]:
        return [tool(f"t{page}_{number}") for number in range(100)]

    with on_loopback(listing(pages)) as url:
        failure = "MCP server of 'shop' offers more than 1,000 tools; choose among them by only="
        with pytest.raises(MCPServerError, match=failure):
            register_mcp(codemode, "shop", url)
        with register_mcp(codemode, "shop", url, only=["t30_7"]) as handle:
            assert list(handle.tools) == ["shop.t30_7"]
    assert threads() == []


def test_a_list_of_too_many_bytes_is_refused(codemode: Codemode) -> None:
    asked: list[int] = []

    async def pages(page: int) -> list[types.Tool]:
        asked.append(page)
        return [tool(f"t{page}", description="x" * 2 * 1024**2)]

    failure = "MCP server of 'shop' lists its tools in more than 8,388,608 bytes; choose among"
    with on_loopback(listing(pages)) as url, pytest.raises(MCPServerError, match=failure):
        register_mcp(codemode, "shop", url)
    assert asked == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        (0.5, "it did not list them within timeout=6 s"),
        (600, "one page of them did not come within a third of timeout=6 s"),
    ],
    ids=["page by page", "at one page"],
)
def test_a_slow_list_is_given_up(codemode: Codemode, seconds: float, reason: str) -> None:
    async def pages(page: int) -> list[types.Tool]:
        await asyncio.sleep(seconds if page else 0)
        return []

    failure = f"MCP server of 'shop' gave no tools: {reason}"
    with on_loopback(listing(pages)) as url, pytest.raises(MCPServerError, match=failure):
        register_mcp(codemode, "shop", url, timeout=6)
    assert threads() == []


def test_a_call_that_gets_no_connection_is_given_up(
    codemode: Codemode, url: str, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    def headers(context: RuntimeContext) -> Mapping[str, str]:
        return {"Authorization": context.get("user", "nobody")}

    def call(user: str, name: str) -> Any:
        with codemode.registry.context(user=user):
            return codemode.call_tool(name)

    options = MCPOptions(headers=headers, max_connections=1, timeout=4)
    with ThreadPoolExecutor(16) as pool, register_mcp(codemode, "shop", url, **options):
        pool.submit(call, "ann", "shop.wait")
        assert wait_until(lambda: "wait begun" in notes.all())
        other = pool.submit(call, "bob", "shop.who")
        # Each of these calls is given up as well, and the next one uses the connection before.
        while not wait_until(other.done, seconds=0.5):
            pool.submit(call, "ann", "shop.wait")
        with pytest.raises(ToolError, match="shop.who was not called: its MCP server cannot be"):
            other.result()
    assert (
        "the MCP server of 'shop' has max_connections=1, and all were in use for timeout=4 s; "
        "raise one of the two"
    ) in caplog.text


def test_tools_change_only_by_refresh(codemode: Codemode) -> None:
    made: list[Any] = [(tool("one", description="First."), lambda _: result("1"))]
    codemode.registry.register_tool("shop.taken", lambda: 0)
    with on_loopback(app(server(made))) as url, register_mcp(codemode, "shop", url) as handle:
        first = handle.tools["shop.one"]
        made[:] = [(tool("two"), lambda _: result("2"))]
        assert list(handle.tools) == ["shop.one"]
        handle.refresh()
        assert list(handle.tools) == ["shop.two"]
        assert sorted(codemode.registry.tools) == ["shop.taken", "shop.two"]
        made.append((tool("taken"), print))
        with pytest.raises(ToolRegistrationError, match="'shop.taken' is already registered"):
            handle.refresh()
        assert list(handle.tools) == ["shop.two"]
        assert codemode.call_tool("shop.two") == "2"
        assert first.name not in codemode.registry.tools
    assert list(codemode.registry.tools) == ["shop.taken"]


@contextmanager
def answering(status: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    """Serve an SDK's server whose tool calls have this answer instead."""
    inner = app(server([(tool("get"), lambda _: result("x"))]))

    async def hostile(scope: Any, receive: Any, send: Any) -> None:
        if dict(scope.get("headers", ())).get(b"mcp-method") != b"tools/call":
            await inner(scope, receive, send)
            return
        request = json.loads((await receive())["body"])
        fields = [(key.encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        sent = body.replace(b'"ID"', str(request["id"]).encode())
        await send({"type": "http.response.body", "body": sent})

    with on_loopback(hostile) as url:
        yield url


JSON = {"content-type": "application/json"}


def answer(content: Any) -> bytes:
    of_call = {"resultType": "complete", "content": [], **content}
    return json.dumps({"jsonrpc": "2.0", "id": "ID", "result": of_call}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "failure"),
    [
        (200, JSON, b" " * (MAX_ANSWER_BYTES + 1), "the answer has more than 4,194,304 bytes"),
        (
            200,
            {**JSON, "content-encoding": "gzip"},
            gzip.compress(b"x", mtime=0),
            "compressed its answer",
        ),
        (200, JSON, b"{", "Failed to parse JSON response"),
        (200, JSON, b"[" * 100_000, "Failed to parse JSON response"),
        (200, {"content-type": "text/event-stream"}, b"data:" + b"x" * 5_000_000, "SSE stream fai"),
        (200, {"content-type": "text/event-stream"}, b": nothing\n\n", "ended without a response"),
        (401, {}, b"who are you", "refused the request (HTTP 401 Unauthorized)"),
        (
            504,
            {},
            b"late",
            "Gateway Timeout); the call may have had an effect; it has not been rep",
        ),
        (307, {"location": "http://127.0.0.2:9/mcp"}, b"", "not followed"),
        (202, {}, b"", "202 Accepted"),
        (200, JSON, answer({"content": "text"}), "the MCP server's answer is not a valid one"),
        (
            200,
            JSON,
            answer({"content": [{"type": "image", "data": "?", "mimeType": "image/png"}]}),
            "data that is not base64",
        ),
        (200, JSON, answer({"isError": True}), "shop.get failed, and the server does not say why"),
    ],
)
def test_wrong_answers_fail_their_call_alone(
    codemode: Codemode, status: int, headers: dict[str, str], body: bytes, failure: str
) -> None:
    with answering(status, headers, body) as url, register_mcp(codemode, "shop", url) as handle:
        with pytest.raises(ToolError) as raised:
            codemode.call_tool("shop.get")
        assert failure in str(raised.value)
        handle.refresh()  # on the same connection, which goes on
        thread = handle._connections._thread
        assert thread is not None
        assert len(thread.pool._tasks) == 1


def test_a_deep_value_is_refused_like_others(codemode: Codemode) -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    hostile = answering(200, JSON, answer({"structuredContent": deep}))
    failure = pytest.raises(ToolError, match="nest")
    with hostile as url, register_mcp(codemode, "shop", url), failure:
        codemode.call_tool("shop.get")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"server": "ftp://x"}, "server='ftp://x'; expected a URL such as"),
        ({"server": 5}, "server is a int"),
        ({"server": StdioServerParameters(command="x"), "headers": {}}, "give a command its secr"),
        ({"headers": {"a b": "x"}}, "the name 'a b', which HTTP does not allow"),
        ({"headers": {"X-Key": "s3cret\nX: y"}}, "'X-Key' is a str that HTTP cannot send"),
        ({"headers": {"Host": "x"}}, "'Host', which the MCP client sets itself"),
        ({"headers": {"X": "x", "x": "y"}}, "headers have 'x', twice"),
        ({"headers": [1]}, "headers are a list"),
        ({"auth": httpx2.BasicAuth("a", "b")}, "auth is a BasicAuth"),
        ({"only": "add"}, "only='add'; expected names"),
        ({"only": []}, r"only=\[\]; expected names"),
        ({"timeout": 0}, "timeout=0; expected seconds"),
        ({"timeout": True}, "timeout=True; expected seconds"),
        ({"max_connections": 0}, "max_connections=0"),
        ({"timeot": 5}, "'timeot' is not an option; there are: auth, effects"),
        ({"codemode": 5}, "codemode is a int; expected a Codemode"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], problem: str) -> None:
    given: Any = {"codemode": ComponentRegistry(), "server": "http://127.0.0.1:1/mcp", **options}
    with pytest.raises(ConfigurationError, match=problem) as raised:
        register_mcp(prefix="shop", **given)
    assert "s3cret" not in str(raised.value)


def test_names_and_effects_are_checked_before_a_server_is_asked() -> None:
    for prefix, more in (("tools", {}), ("x-y", {}), ("x", {"effects": "none"})):
        with pytest.raises(ToolRegistrationError):
            register_mcp(ComponentRegistry(), prefix, "http://127.0.0.1:1", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://127.0.0.1:1/mcp", "ConnectError"),
        (StdioServerParameters(command="no-such-command"), "No such file"),
        (StdioServerParameters(command="true"), "Connection closed"),
        (
            StdioServerParameters(command="sleep", args=["600"]),
            "it did not list them within timeout=1 s",
        ),
    ],
    ids=["refused", "no command", "ends", "silent"],
)
def test_a_server_that_is_not_there_is_an_error_of_the_registration(
    target: Any, reason: str
) -> None:
    registry = ComponentRegistry()
    children = psutil.Process().children()
    with pytest.raises(MCPServerError, match=f"MCP server of 'shop' .*{reason}"):
        register_mcp(registry, "shop", target, timeout=1)
    assert dict(registry.tools) == {}
    assert threads() == []
    assert psutil.Process().children() == children


IN_A_PROCESS = """
import os, sys
from pathlib import Path
from codemode import Codemode
from codemode.integrations.mcp import register_mcp
from tests.codemode.integrations.mcp_servers import command

codemode = Codemode()
handle = register_mcp(codemode, "shop", command(Path(sys.argv[1])))
print(codemode.call_tool("shop.add", {"a": 1, "b": 2}), flush=True)
child = os.fork()
print(codemode.call_tool("shop.add", {"a": 3, "b": child and 4}), flush=True)
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_child_connects_itself_and_processes_end(notes: Notes) -> None:
    """Nobody calls close() here: the ends of the two processes must be enough."""
    ended = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, str(notes.folder)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.split()) == ["3", "3", "7"]
    started = [int(one.split()[1]) for one in notes.all() if one.startswith("started")]
    assert len(started) == 3  # at registration, in the parent, in the child
    assert wait_until(lambda: not any(map(is_running, started)))


def test_without_the_package_the_error_names_the_extra() -> None:
    program = "import sys; sys.modules['mcp'] = None; import codemode.integrations.mcp"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "MCP servers need the extra: pip install django-codemode[mcp]" in ended.stderr
