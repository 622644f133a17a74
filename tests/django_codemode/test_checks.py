from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from django_codemode.checks import (
    check_deployment,
    check_middleware,
    check_setting,
    check_tools,
    register_checks,
)
from django_codemode.middleware import CodemodeMiddleware
from django_codemode.shared import shared

OURS = "django_codemode.middleware.CodemodeMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


class DerivedMiddleware(CodemodeMiddleware):
    """Be what a project makes of the middleware."""


def ids(messages: list[Any]) -> list[str]:
    return [message.id.removeprefix("django_codemode.") for message in messages]


def test_the_checks_are_registered_once() -> None:
    register_checks()
    with override_settings(CODEMODE={"NO_SUCH": 1}):
        assert ids(run_checks(tags=["codemode"])).count("E001") == 1


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, []),
        ({"EXECUTOR_URL": "unix:/run/codemode.sock"}, []),
        ({"EXECUTOR_URL": "dns:///executors:8001"}, []),
        ([], ["E001"]),
        ({"EXECUTER_URL": "x", "MAX_ROWS": 0}, ["E001", "E001"]),
        ({"CONTEXT_PROVIDER": "no.such.provider"}, ["E002"]),
        ({"CONTEXT_PROVIDER": f"{__name__}.OURS"}, ["E002"]),
        ({"EXECUTOR_URL": "http://host:8001/path"}, ["E003"]),
        ({"EXECUTOR_URL": "http://host:port"}, ["E003"]),
        ({"EXECUTOR_URL": ""}, ["E003"]),
        ({"EXECUTOR_URL": "ftp host", "CONTEXT_PROVIDER": "no.such"}, ["E002"]),
    ],
)
def test_a_wrong_setting_is_an_error(setting: Any, expected: list[str]) -> None:
    with override_settings(CODEMODE=setting):
        assert ids(check_setting()) == expected


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        ([SESSIONS, AUTHENTICATION, OURS], []),
        ([SESSIONS, AUTHENTICATION, f"{__name__}.DerivedMiddleware"], []),
        ([OURS], []),
        ([SESSIONS, AUTHENTICATION], ["W001"]),
        (["no.such.Middleware"], ["W001"]),
        ([SESSIONS, OURS, AUTHENTICATION], ["W002"]),
    ],
)
def test_a_middleware_that_is_missing_or_misplaced_is_a_warning(
    middleware: list[str], expected: list[str]
) -> None:
    with override_settings(MIDDLEWARE=middleware):
        assert ids(check_middleware()) == expected


def test_tools_without_types_are_warnings() -> None:
    def untyped(first, second: int, *, third=None):  # type: ignore[no-untyped-def]  # the point
        return first

    assert check_tools() == []
    shared.registry.register_tool("testapp_untyped", untyped)
    try:
        parameters, returns = check_tools()
    finally:
        shared.registry.unregister_tool("testapp_untyped")

    assert ids([parameters, returns]) == ["W003", "W004"]
    assert "'testapp_untyped': first, third without a type" in parameters.msg


def test_the_context_of_a_tool_needs_no_type() -> None:
    class Untyped:
        def run_with_context(self, context, number: int) -> int:  # type: ignore[no-untyped-def]
            return number

    shared.registry.register_tool("testapp_with_context", Untyped())
    try:
        assert check_tools() == []
    finally:
        shared.registry.unregister_tool("testapp_with_context")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, []),
        ({"EXECUTOR_URL": "http://executor:8001"}, []),
        ({"EXECUTOR_URL": "http://executor:8001", "EXECUTOR_API_KEY": "k"}, ["W005"]),
        ({"EXECUTOR_URL": "dns:///executors:8001", "EXECUTOR_API_KEY": "k"}, ["W005"]),
        ({"EXECUTOR_URL": "executor:8001", "EXECUTOR_API_KEY": "k"}, ["W005"]),
        ({"EXECUTOR_URL": "http://localhost.evil.com:1", "EXECUTOR_API_KEY": "k"}, ["W005"]),
        ({"EXECUTOR_URL": "executor:1", "EXECUTOR_API_KEY": "k", "TLS": {}}, []),
        ({"EXECUTOR_URL": "https://executor:8001", "EXECUTOR_API_KEY": "k"}, []),
        ({"EXECUTOR_URL": "http://127.0.0.1:8001", "EXECUTOR_API_KEY": "k"}, []),
        ({"EXECUTOR_URL": "http://[::1]:8001", "EXECUTOR_API_KEY": "k"}, []),
        ({"EXECUTOR_URL": "localhost:8001", "EXECUTOR_API_KEY": "k"}, []),
        ({"EXECUTOR_URL": "unix:/run/x.sock", "EXECUTOR_API_KEY": "k"}, []),
        ({"NO_SUCH": 1}, []),
    ],
)
def test_a_key_in_the_clear_is_a_warning_at_deployment(
    setting: dict[str, Any], expected: list[str]
) -> None:
    with override_settings(CODEMODE=setting):
        assert ids(check_deployment()) == expected
