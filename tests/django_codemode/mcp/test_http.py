"""Promises of MCP by HTTP, with the official SDK's client and a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from tests.django_codemode.mcp.clients import ERAS, client_of, mcp_serves, text_of
from tests.support.processes import wait_until, is_running
from tests.support.sandboxes import Sandboxes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestExecuteCode:
    def test_code_runs_as_the_user_and_its_outcome_is_text_and_object(
        self, era: str, clerk: User, configure: Callable[..., None]
    ) -> None:
        async def call(url: str) -> None:
            async with client_of(url, "clerk", era) as client:
                code = "print('hi')\n[testapp.whoami()['user'], testapp.secret()]"
                result = await client.call_tool("execute_code", {"code": code})
                assert not result.is_error
                assert text_of(result) == 'Output:\nhi\n\nResult:\n["clerk", "the secret"]'
                outcome = result.structured_content
                assert outcome["status"] == "completed"
                assert outcome["value"] == ["clerk", "the secret"]
                assert outcome["stdout"] == "hi\n"
                assert [one["name"] for one in outcome["tool_calls"]] == [
                    "testapp.whoami",
                    "testapp.secret",
                ]

        with mcp_serves() as url:
            asyncio.run(call(url))
