"""Promises of ``manage.py codemode_mcp``, with the official SDK's client over a real process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from tests.support import commands
from tests.support.commands import environment
from tests.support.frameworks import needs_frameworks
from tests.support.processes import descendants, is_running, wait_until

call = partial(commands.call, "codemode_mcp")
start = partial(commands.start, "codemode_mcp")

SETTINGS = "tests.django_codemode.management.mcp_settings"


@pytest.fixture
def clerk(transactional_db: None) -> User:
    clerk = User.objects.create_user("clerk")
    clerk.user_permissions.add(Permission.objects.get(codename="add_refund"))
    return clerk


def variables() -> dict[str, str]:
    from django.db import connection

    return {
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "TEST_DATABASE": str(connection.settings_dict["NAME"]),
    }


@asynccontextmanager
async def client_of(
    era: str, *arguments: str, log: Any = sys.__stderr__, on_message: Any = None
) -> AsyncIterator[Any]:
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "django", "codemode_mcp", *arguments],
        env=environment(**variables(), PYTHONUNBUFFERED=""),
    )
    transport = stdio_client(server, errlog=log)
    async with Client(transport, mode=era, message_handler=on_message) as client:
        yield client


@pytest.fixture(params=["legacy", "2026-07-28"])
def era(request: pytest.FixtureRequest) -> str:
    needs_frameworks("mcp")
    return str(request.param)


class TestServing:
    def test_a_user_has_the_tools_and_the_context_of_the_options(
        self, clerk: User, era: str
    ) -> None:
        async def calling() -> None:
            async with client_of(era, "--user", "clerk", "--context", "tenant_id=acme") as client:
                tools = {one.name: one for one in (await client.list_tools()).tools}
                assert "def secret()" in tools["execute_code"].description
                code = "print('hi'); [testapp.whoami(), testapp.secret()]"
                result = await client.call_tool("execute_code", {"code": code})
                assert result.structured_content["value"] == [
                    {"tenant_id": "acme", "user": "clerk"},
                    "the secret",
                ]

        asyncio.run(calling())

    def test_nobody_has_no_tool_with_a_permission(self, clerk: User, era: str) -> None:
        async def calling() -> None:
            async with client_of(era) as client:
                tools = {one.name: one for one in (await client.list_tools()).tools}
                assert "def whoami()" in tools["execute_code"].description
                assert "secret" not in tools["execute_code"].description
                result = await client.call_tool("execute_code", {"code": "testapp.secret()"})
                assert result.structured_content["tool_calls"][0]["outcome"] == "refused"

        asyncio.run(calling())

    def test_what_the_project_prints_goes_to_stderr(
        self, clerk: User, era: str, tmp_path: Path
    ) -> None:
        async def calling(log: Any) -> list[Any]:
            wrong: list[Any] = []

            async def on_message(message: Any) -> None:
                if isinstance(message, Exception):
                    wrong.append(message)

            async with client_of(era, log=log, on_message=on_message) as client:
                result = await client.call_tool("search_tools", {"query": "add"})
                assert result.structured_content["tools"][0]["name"] == "testapp.add"
            return wrong

        with (tmp_path / "log").open("w+") as log:
            assert asyncio.run(calling(log)) == []
            log.seek(0)
            text = log.read()
        for words in ("when it starts", "from print()", "from the descriptor", "from a child"):
            assert text.count(words) == 1

    def test_a_user_who_was_deactivated_meanwhile_is_refused(self, clerk: User, era: str) -> None:
        from asgiref.sync import sync_to_async
        from mcp import MCPError

        async def calling() -> str:
            async with client_of(era, "--user", "clerk") as client:
                await client.list_tools()
                await sync_to_async(User.objects.update)(is_active=False)
                try:
                    await client.call_tool("execute_code", {"code": "1"})
                except MCPError as error:
                    return str(error)
                return "served"

        assert asyncio.run(calling()) == "the user clerk is gone or inactive"

    def test_a_cancelled_call_ends_and_the_next_one_is_served(self, clerk: User, era: str) -> None:
        async def calling() -> None:
            async with client_of(era) as client:
                started = asyncio.Event()

                async def on_progress(*_: Any) -> None:
                    started.set()

                code = "import time; progress(1); time.sleep(600)"
                arguments = {"code": code}
                task = asyncio.create_task(
                    client.call_tool("execute_code", arguments, progress_callback=on_progress)
                )
                await started.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                result = await client.call_tool("execute_code", {"code": "2"})
                assert result.structured_content["value"] == 2

        asyncio.run(calling())


class TestItsEnd:
    @pytest.mark.parametrize("end", ["stdin", "SIGINT", "SIGTERM"])
    def test_it_ends_with_its_sandboxes(self, clerk: User, end: str) -> None:
        needs_frameworks("mcp")
        hello = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        code = "import time; progress(1); time.sleep(600)"
        messages: list[dict[str, Any]] = [
            {"id": 1, "method": "initialize", "params": hello},
            {"method": "notifications/initialized"},
            {
                "id": 2,
                "method": "tools/call",
                "params": {
                    "name": "execute_code",
                    "arguments": {"code": code},
                    "_meta": {"progressToken": 7},
                },
            },
        ]
        with start(**variables()) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for message in messages:
                process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            process.stdin.flush()
            lines = [json.loads(process.stdout.readline()) for _ in range(2)]
            assert lines[1]["method"] == "notifications/progress"
            below = descendants(process.pid)
            assert below
            if end == "stdin":
                process.stdin.close()
            else:
                os.kill(process.pid, getattr(signal, end))
            status = process.wait(60)
            rest = process.stdout.read()
        assert status == (0 if end == "stdin" else -getattr(signal, end))
        assert all(json.loads(line)["jsonrpc"] == "2.0" for line in rest.splitlines())
        assert wait_until(lambda: not any(map(is_running, below)))


class TestConfiguration:
    @pytest.mark.parametrize(("options", "key"), [((), "mcpServers"), (("vscode",), "servers")])
    def test_it_starts_this_command_from_anywhere(
        self, clerk: User, tmp_path: Path, options: tuple[str, ...], key: str
    ) -> None:
        status, out, err = commands.run(
            "codemode_mcp",
            "--user",
            "clerk",
            "--context",
            "tenant_id=acme",
            "--print-config",
            *options,
            **variables(),
        )
        assert (status, err) == (0, "")
        ((server),) = json.loads(out)[key].values()
        assert server["command"] == sys.executable
        assert server["args"][-5:] == [
            "codemode_mcp",
            "--user",
            "clerk",
            "--context",
            "tenant_id=acme",
        ]
        assert server["env"]["DJANGO_SETTINGS_MODULE"] == SETTINGS
        assert all(Path(folder).is_absolute() for folder in server["env"]["PYTHONPATH"].split(":"))

    def test_an_unknown_user_is_reported(self, transactional_db: None) -> None:
        status, out, err = call("--user", "nobody")
        assert (status, out, err) == (2, "", "--user 'nobody': there is no such user")
