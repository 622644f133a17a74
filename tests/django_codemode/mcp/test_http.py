"""Promises of MCP by HTTP, with the official SDK's client and a real server."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from mcp import MCPError

from codemode import tool
from codemode.core.registry import RuntimeContext, get_current_context
from django_codemode.shared import shared
from tests.django_codemode.mcp.clients import ERAS, client_of, mcp_serves, text_of
from tests.support.processes import is_running, wait_until
from tests.support.sandboxes import Sandboxes

pytestmark = pytest.mark.django_db(transaction=True)

Configure = Callable[..., None]


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def call(era: str) -> Callable[..., Any]:
    """Return a function that calls one tool of a server as a user."""

    def called(url: str, token: str, name: str, /, **arguments: Any) -> Any:
        async def calling() -> Any:
            async with client_of(url, token, era) as client:
                try:
                    return await client.call_tool(name, arguments)
                except MCPError as error:  # the client would put it into a group
                    return error

        return asyncio.run(calling())

    return called


def listed(url: str, token: str, era: str) -> dict[str, Any]:
    """Return the tools that a user sees, by name."""

    async def listing() -> dict[str, Any]:
        async with client_of(url, token, era) as client:
            return {one.name: one for one in (await client.list_tools()).tools}

    return asyncio.run(listing())


class TestExecuteCode:
    def test_code_runs_as_the_user_and_its_outcome_is_text_and_object(
        self, call: Callable[..., Any], clerk: User, configure: Configure
    ) -> None:
        code = "print('hi')\n[testapp.whoami()['user'], testapp.secret()]"
        with mcp_serves() as url:
            result = call(url, "clerk", "execute_code", code=code)
        assert not result.is_error
        assert text_of(result) == 'Output:\nhi\n\nResult:\n["clerk", "the secret"]'
        calls = result.structured_content.pop("tool_calls")
        assert [(one["name"], one["outcome"]) for one in calls] == [
            ("testapp.whoami", "completed"),
            ("testapp.secret", "completed"),
        ]
        assert result.structured_content == {
            "status": "completed",
            "value": ["clerk", "the secret"],
            "stdout": "hi\n",
            "hints": [],
            "artifacts": [],
            "error": None,
            "shortened": [],
        }

    def test_a_failure_of_the_code_is_an_error_with_its_outcome(
        self, call: Callable[..., Any], clerk: User, configure: Configure
    ) -> None:
        with mcp_serves() as url:
            result = call(url, "clerk", "execute_code", code="testapp.whoami()\n1 / 0")
        assert result.is_error
        assert text_of(result).startswith("Failed: ZeroDivisionError: division by zero\nLine 2")
        assert result.structured_content["error"] == {
            "type": "ZeroDivisionError",
            "message": "division by zero",
            "line": 2,
        }
        assert len(result.structured_content["tool_calls"]) == 1

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ({}, "the argument 'code' is missing; expected a string"),
            ({"code": 7}, "the argument 'code' is 7; expected a string"),
            ({"code": "1", "cod": "1"}, "there is no argument 'cod'; did you mean 'code'?"),
        ],
    )
    def test_wrong_arguments_are_named(
        self,
        call: Callable[..., Any],
        clerk: User,
        configure: Configure,
        arguments: dict[str, Any],
        text: str,
    ) -> None:
        with mcp_serves() as url:
            result = call(url, "clerk", "execute_code", **arguments)
        assert (result.is_error, text_of(result)) == (True, text)

    def test_what_is_too_long_is_left_out_of_the_object(
        self, call: Callable[..., Any], clerk: User, configure: Configure
    ) -> None:
        code = "print('x' * 200_000)\ntry:\n    testapp.rows(form='y' * 2_000)\nexcept Exception:\n    pass\n'z' * 200_000"
        with mcp_serves() as url:
            result = call(url, "clerk", "execute_code", code=code)
        outcome = result.structured_content
        assert outcome["shortened"] == ["value", "stdout", "tool_calls"]
        assert outcome["value"] is None
        assert len(outcome["stdout"]) < 100_001
        assert outcome["tool_calls"][0]["arguments"] is None
        assert len(text_of(result)) <= 20_000

    def test_artifacts_are_pictures_for_the_model_and_files_for_the_user(
        self, call: Callable[..., Any], clerk: User, configure: Configure
    ) -> None:
        png = b"\x89PNG\r\n\x1a\n"
        code = (
            f"files = {{'a.png': {png!r}, 'a b.svg': b'<svg/>', 'large.bin': bytes(5_000_000)}}\n"
            "for name, data in files.items():\n"
            "    open(name, 'wb').write(data)\n    artifact(name)\n1 / 0"
        )
        with mcp_serves() as url:
            result = call(url, "clerk", "execute_code", code=code)
        assert result.is_error
        text, picture, file = result.content
        assert "- a.png (image/png, 8 bytes)\n- a b.svg (6 bytes)\n- large.bin (" in text.text
        assert (picture.type, picture.mime_type, b64decode(picture.data)) == (
            *("image", "image/png"),
            png,
        )
        assert (file.type, file.annotations.audience) == ("resource", ["user"])
        assert file.resource.mime_type == "application/octet-stream"
        assert str(file.resource.uri).endswith("/a%20b.svg")
        assert b64decode(file.resource.blob) == b"<svg/>"
        outcome = result.structured_content
        assert [one["name"] for one in outcome["artifacts"]] == ["a.png", "a b.svg", "large.bin"]
        assert outcome["artifacts"][0] == {"name": "a.png", "media_type": "image/png", "size": 8}
        assert outcome["shortened"] == ["artifacts"]

    def test_progress_reaches_the_client_and_only_increases(
        self, era: str, clerk: User, configure: Configure
    ) -> None:
        seen: list[tuple[float, float | None, str | None]] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            seen.append((progress, total, message))

        async def calling(url: str) -> None:
            async with client_of(url, "clerk", era) as client:
                code = (
                    "import time\n"
                    "for done, note in (1, 'one'), (1, 'again'), (2, ''):\n"
                    "    progress(done, 3 if note else None, note); time.sleep(0.1)"
                )
                await client.call_tool(
                    "execute_code", {"code": code}, progress_callback=on_progress
                )

        with mcp_serves() as url:
            asyncio.run(calling(url))
        assert seen == [(1, 3, "one"), (2, None, None)]

    def test_a_cancelled_call_ends_its_sandbox(
        self, era: str, clerk: User, configure: Configure, sandboxes: Sandboxes
    ) -> None:
        async def calling(url: str) -> None:
            async with client_of(url, "clerk", era) as client:
                code = "import os, time; testapp_here(os.getpid()); time.sleep(600)"
                task = asyncio.create_task(client.call_tool("execute_code", {"code": code}))
                while not sandboxes.pids:
                    await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                # The connection is still open: it is not its end that kills.
                gone = asyncio.to_thread(wait_until, lambda: not is_running(sandboxes.pids[0]))
                assert await gone
                result = await client.call_tool("execute_code", {"code": "1"})
                assert text_of(result) == "1"

        with mcp_serves() as url:
            asyncio.run(calling(url))

    def test_only_the_caller_can_cancel_by_a_notification(
        self, coder: User, clerk: User, configure: Configure, sandboxes: Sandboxes
    ) -> None:
        def post(url: str, token: str, session: str, **message: Any) -> httpx.Response:
            headers = {
                "Accept": "application/json, text/event-stream",
                "Authorization": f"Bearer {token}",
                "MCP-Protocol-Version": "2025-06-18",
                "Mcp-Session-Id": session,
            }
            body = {"jsonrpc": "2.0", **message}
            return httpx.post(url, headers=headers, json=body, timeout=60)

        code = "import os, time; testapp_here(os.getpid()); time.sleep(600)"
        params = {"name": "execute_code", "arguments": {"code": code}}
        cancel = {"method": "notifications/cancelled", "params": {"requestId": 1}}
        with mcp_serves() as url, ThreadPoolExecutor() as threads:
            running = threads.submit(
                post, url, "clerk", "s1", id=1, method="tools/call", params=params
            )
            assert wait_until(lambda: sandboxes.pids != [])
            assert post(url, "coder", "s1", **cancel).status_code == 202
            assert post(url, "clerk", "s2", **cancel).status_code == 202
            assert is_running(sandboxes.pids[0])
            assert not running.done()
            assert post(url, "clerk", "s1", **cancel).status_code == 202
            assert wait_until(lambda: not is_running(sandboxes.pids[0]))
            assert "the request was cancelled" in running.result().text

    def test_calls_are_counted_by_the_rate_limit(
        self, call: Callable[..., Any], clerk: User, configure: Configure
    ) -> None:
        configure(RATE_LIMIT="2/day")
        with mcp_serves() as url:
            for _ in range(2):
                assert not call(url, "clerk", "execute_code", code="1").is_error
            assert "at most 2 executions per day" in str(
                call(url, "clerk", "execute_code", code="1")
            )


class TestPermissions:
    def test_a_tool_that_the_user_may_not_call_is_nowhere(
        self, era: str, call: Callable[..., Any], coder: User, clerk: User, configure: Configure
    ) -> None:
        configure(MCP_PLAIN_TOOLS=["testapp.secret", "testapp.whoami"])
        with mcp_serves() as url:
            theirs, ours = listed(url, "clerk", era), listed(url, "coder", era)
            assert "def secret()" in theirs["execute_code"].description
            assert "secret" not in ours["execute_code"].description
            assert ours.keys() ^ theirs.keys() == {"testapp.secret"}

            found = [
                [one["name"] for one in result.structured_content["tools"]]
                for token in ("clerk", "coder")
                for result in [call(url, token, "search_tools", query="tell a secret", limit=50)]
            ]
            assert "testapp.secret" in found[0]
            assert "testapp.secret" not in found[1]

            described = call(url, "coder", "describe_tool", name="testapp.secret")
            assert described.is_error
            assert text_of(described).startswith("'testapp.secret' is not a tool; did you mean")

            error = call(url, "coder", "testapp.secret")
            assert str(error).startswith("'testapp.secret' is not a tool")
            result = call(url, "coder", "execute_code", code="testapp.secret()")
            assert "the secret" not in text_of(result)
            assert result.structured_content["tool_calls"][0]["outcome"] == "refused"

    def test_a_user_without_the_permission_to_execute_is_refused(
        self, coder: User, configure: Configure
    ) -> None:
        User.objects.create_user("guest")
        with mcp_serves() as url:
            answer = httpx.post(url, headers={"Authorization": "Bearer guest"})
        assert answer.status_code == 403
        assert answer.json()["error"]["message"].endswith("permission django_codemode.execute_code")

    def test_a_project_may_require_more(
        self, call: Callable[..., Any], coder: User, clerk: User, configure: Configure
    ) -> None:
        with mcp_serves(
            permission_required=("django_codemode.execute_code", "shop.add_refund")
        ) as url:
            assert text_of(call(url, "clerk", "execute_code", code="1")) == "1"
            answer = httpx.post(url, headers={"Authorization": "Bearer coder"})
        assert answer.status_code == 403


class TestDescriptions:
    def test_effects_become_annotations(self, era: str, coder: User, configure: Configure) -> None:
        reading = tool(name="testapp_reads", effects="reads")(lambda: 1)
        writing = tool(name="testapp_writes", effects="database")(lambda: 1)
        acting = tool(name="testapp_acts", effects="external")(lambda: 1)
        names = [
            shared.registry.register_tool(None, one).name for one in (reading, writing, acting)
        ]
        try:
            with mcp_serves(plain_tools=names, tools=names[:2]) as url:
                hints = {
                    name: (
                        one.annotations.read_only_hint,
                        one.annotations.destructive_hint,
                        one.annotations.open_world_hint,
                    )
                    for name, one in listed(url, "coder", era).items()
                }
        finally:
            for name in names:
                shared.registry.unregister_tool(name)
        assert hints == {
            "execute_code": (False, True, False),
            "search_tools": (True, False, False),
            "describe_tool": (True, False, False),
            "testapp_reads": (True, False, False),
            "testapp_writes": (False, True, False),
            "testapp_acts": (False, True, True),
        }

    def test_the_description_of_execute_code_fits_the_budget(
        self, era: str, coder: User, configure: Configure
    ) -> None:
        with mcp_serves() as url:
            long = listed(url, "coder", era)["execute_code"].description
            configure(MCP_MAX_TOKENS=500)
            short = listed(url, "coder", era)["execute_code"].description
        assert len(short) < len(long)

    def test_describe_tool_gives_types_and_schema(
        self, call: Callable[..., Any], coder: User, configure: Configure
    ) -> None:
        with mcp_serves() as url:
            result = call(url, "coder", "describe_tool", name="testapp.add")
        assert "def add(slug: str) -> int" in text_of(result)
        assert result.structured_content["parameters"]["required"] == ["slug"]

    def test_only_the_tools_of_the_setting_are_offered(
        self, call: Callable[..., Any], coder: User, configure: Configure
    ) -> None:
        configure(MCP_TOOLS=["testapp.whoami"])
        with mcp_serves() as url:
            result = call(url, "coder", "execute_code", code="testapp.where()")
            found = call(url, "coder", "search_tools", query="where")
        assert result.is_error
        assert [one["name"] for one in found.structured_content["tools"]] == ["testapp.whoami"]


class TestPlainTools:
    def test_a_plain_tool_is_called_directly_as_the_user(
        self, call: Callable[..., Any], coder: User, configure: Configure
    ) -> None:
        configure(MCP_PLAIN_TOOLS=["testapp.*"])
        with mcp_serves() as url:
            result = call(url, "coder", "testapp.awhoami")
            wrong = call(url, "coder", "testapp.add", slug=7)
        assert result.structured_content["value"]["user"] == "coder"
        assert '"user": "coder"' in text_of(result)
        assert wrong.is_error
        assert text_of(wrong).startswith("argument 'slug' must be")


def test_two_users_at_once_are_never_mixed(
    era: str, coder: User, clerk: User, configure: Configure
) -> None:
    """200 executions of two users, interleaved, whose tools run in threads and as tasks."""
    configure(TENANT_HEADER="X-Tenant")

    @tool(name="testapp_who", thread_sensitive=False)
    def who() -> list[str]:
        context = get_current_context() or RuntimeContext()
        return [str(context.get("user")), str(context.get("tenant_id"))]

    code = (
        "import asyncio\n"
        "first = testapp.whoami(); second = await testapp.awhoami()\n"
        "[[one['user'], one['tenant_id']] for one in (first, second)] + [testapp_who()]"
    )

    async def calling(url: str) -> None:
        async def as_user(name: str) -> None:
            async with client_of(url, name, era, **{"X-Tenant": f"of {name}"}) as client:
                calls = (client.call_tool("execute_code", {"code": code}) for _ in range(100))
                for result in await asyncio.gather(*calls):
                    value = result.structured_content["value"]
                    assert value == [[name, f"of {name}"]] * 3, text_of(result)

        await asyncio.gather(as_user("coder"), as_user("clerk"))

    shared.registry.register_tool(None, who)
    try:
        with mcp_serves() as url:
            asyncio.run(calling(url))
    finally:
        shared.registry.unregister_tool("testapp_who")


def test_other_paths_are_the_projects(coder: User, configure: Configure) -> None:
    with mcp_serves(path="/mcp") as url:
        assert httpx.post(url.replace("/mcp/", "/mcp/other")).status_code == 418
        assert httpx.post(url.replace("/mcp/", "/mcp")).status_code == 401


def test_a_body_above_the_limit_is_refused(coder: User, configure: Configure) -> None:
    configure(MAX_REQUEST_BYTES=1_000)
    with mcp_serves() as url:
        answer = httpx.post(url, headers={"Authorization": "Bearer coder"}, content=b" " * 1_001)
    assert answer.status_code == 413


def test_only_post_is_served(coder: User, configure: Configure) -> None:
    with mcp_serves() as url:
        answer = httpx.get(url, headers={"Authorization": "Bearer coder"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
