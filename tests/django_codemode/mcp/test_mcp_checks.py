"""Promises of the system checks of the MCP server's settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import modify_settings, override_settings

from codemode import tool
from django_codemode.mcp.mcp_checks import check_mcp
from django_codemode.shared import shared


def found(**setting: Any) -> list[tuple[str, str]]:
    with override_settings(CODEMODE=setting):
        return [(str(one.id).removeprefix("django_codemode."), one.msg) for one in check_mcp()]


@pytest.mark.parametrize(
    ("setting", "expected", "words"),
    [
        ({"MCP_AUTHENTICATION": ["session", "oauth2", len]}, None, ""),
        ({"MCP_AUTHENTICATION": "no.such"}, "E009", "'no.such' cannot be imported"),
        ({"MCP_AUTHENTICATION": "tests.settings.SECRET_KEY"}, "E009", "expected a callable"),
        ({"MCP_TOOLS": ["testapp.*"], "MCP_PLAIN_TOOLS": ["testapp.add"]}, None, ""),
        ({"MCP_TOOLS": ["testapp.ad"]}, "E010", "CODEMODE['MCP_TOOLS'] has 'testapp.ad'"),
        ({"MCP_PLAIN_TOOLS": ["x"]}, "E010", "CODEMODE['MCP_PLAIN_TOOLS'] has 'x'"),
    ],
)
def test_what_cannot_be_used_is_reported(
    setting: dict[str, Any], expected: str | None, words: str
) -> None:
    messages = found(**setting)
    assert [one for one, _ in messages] == ([] if expected is None else [expected])
    assert all(words in message for _, message in messages)


def test_a_plain_tool_with_a_name_of_the_server_is_reported() -> None:
    shared.registry.register_tool(None, tool(name="search_tools")(lambda: 1))
    try:
        ((code, message),) = found(MCP_PLAIN_TOOLS=["search_tools"])
    finally:
        shared.registry.unregister_tool("search_tools")
    assert code == "E010"
    assert "a tool of the MCP server itself" in message


@pytest.mark.parametrize(
    ("app", "way"),
    [("django.contrib.sessions", "session"), ("oauth2_provider", "oauth2")],
)
def test_a_missing_app_is_reported(app: str, way: str) -> None:
    with modify_settings(INSTALLED_APPS={"remove": [app]}):
        assert [code for code, _ in found(MCP_AUTHENTICATION=way)] == ["E009"]


def test_anonymous_is_reported_for_a_deployment() -> None:
    with override_settings(CODEMODE={"MCP_AUTHENTICATION": "anonymous"}):
        ids = [one.id for one in run_checks(tags=["codemode"], include_deployment_checks=True)]
    assert ids.count("django_codemode.W019") == 1
    assert "django_codemode.E009" not in ids
