from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypedDict

import pytest
from django.conf import settings
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core.checks import WARNING, run_checks
from django.db.models import QuerySet
from django.test import modify_settings, override_settings

from codemode import tool
from codemode.core.registry import ComponentRegistry
from django_codemode import checks, tool_checks
from django_codemode.checks import (
    check_channels,
    check_deployment,
    check_middleware,
    check_setting,
    register_checks,
)
from django_codemode.middleware import CodemodeMiddleware
from django_codemode.shared import shared
from django_codemode.tool_checks import check_tools
from shop.models import Merchant
from tests.support.paths import ROOT
from tests.testapp import codemode_tools as testapp_tools

OURS = "django_codemode.middleware.CodemodeMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
MODELS = "django.contrib.auth.backends.ModelBackend"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
BACKENDS = "django.core.cache.backends"
CACHES = {
    "default": {"BACKEND": f"{BACKENDS}.locmem.LocMemCache"},
    "files": {"BACKEND": f"{BACKENDS}.filebased.FileBasedCache", "LOCATION": "/tmp"},
    "table": {"BACKEND": f"{BACKENDS}.db.DatabaseCache", "LOCATION": "table"},
    "missing": {"BACKEND": "no.such.Backend"},
}


class DerivedMiddleware(CodemodeMiddleware):
    """A project's own subclass of the middleware."""


class DerivedBackend(ModelBackend):
    """A project's own subclass of Django's backend."""


class RulesBackend(BaseBackend):
    """A backend with permissions that belong to no model."""


def ids(messages: list[Any]) -> list[str]:
    return [message.id.removeprefix("django_codemode.") for message in messages]


def test_the_checks_are_registered_once() -> None:
    register_checks()
    with override_settings(CODEMODE={"NO_SUCH": 1}):
        assert ids(run_checks(tags=["codemode"])).count("E001") == 1


class Derived(AuthenticationMiddleware):
    """The middleware of a project that identifies its users in another way."""


async def asynchronous_search(text: str, tools: object, limit: int) -> list[str]:
    return []


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
        ({"CONTEXT_PROVIDER": lambda request: {}}, []),
        ({"CONTEXT_PROVIDER": lambda request, more=1: {}}, []),
        ({"CONTEXT_PROVIDER": dict}, []),
        ({"CONTEXT_PROVIDER": lambda: {"a": 1}}, ["E002"]),
        ({"CONTEXT_PROVIDER": lambda request, other: {}}, ["E002"]),
        ({"SEARCH": "no.such.search"}, ["E002"]),
        ({"SEARCH": f"{__name__}.asynchronous_search"}, ["E002"]),
        ({"SEARCH": lambda text, tools, limit: []}, []),
        ({"EXECUTOR_URL": "http://host:8001/path"}, ["E003"]),
        ({"EXECUTOR_URL": "http://host:port"}, ["E003"]),
        ({"EXECUTOR_URL": ""}, ["E003"]),
        ({"EXECUTOR_URL": "ftp host", "CONTEXT_PROVIDER": "no.such"}, ["E002", "E003"]),
        ({"EXECUTOR_URL": "redis://cache:6379"}, ["E003"]),
        ({"EXECUTOR_URL": "/run/codemode.sock"}, ["E003"]),
        ({"EXECUTOR_URL": "executor:8001"}, []),
        ({"EXECUTION_TIMEOUT": 600, "LIMITS": {"max_threads": 128}}, []),
        ({"EXECUTION_TIMEOUT": 601, "LIMITS": {"max_threads": 129}}, ["W013", "W013"]),
        ({"EXECUTOR_URL": "unix:/s", "EXECUTION_TIMEOUT": 601}, ["W013"]),
        ({"EXECUTOR_URL": "unix:/s", "EXECUTOR_API_KEY": "k" * 15}, ["W017"]),
        ({"EXECUTOR_URL": "unix:/s", "EXECUTOR_API_KEY": "k" * 16}, []),
        ({"EXECUTOR_URL": "http://127.0.0.1:1", "MIN_TIER": "B"}, ["E007"]),
        (
            {"EXECUTOR_URL": "http://127.0.0.1:1", "EXECUTOR_API_KEY": "a key with a line break\n"},
            ["E003"],
        ),
        ({"RATE_LIMIT": "60/minute"}, []),
        ({"RATE_LIMIT": "60/minute", "RATE_LIMIT_CACHE": "files"}, ["E008"]),
        ({"RATE_LIMIT_CACHE": "files"}, []),
        ({"RATE_LIMIT": "4/minute", "RATE_LIMIT_CACHE": "table"}, ["W012"]),
        ({"RATE_LIMIT": "3/minute", "RATE_LIMIT_CACHE": "table"}, []),
        ({"RATE_LIMIT": "60/minute", "RATE_LIMIT_CACHE": "missing"}, []),
    ],
)
def test_a_wrong_setting_is_an_error(setting: Any, expected: list[str]) -> None:
    with override_settings(CODEMODE=setting, CACHES=CACHES):
        assert ids(check_setting()) == expected


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("CODEMODE_LIMITS__MAX_THREADS", "4", []),
        ("CODEMODE_LIMITS__MAX_THREADS", "none", ["E007"]),
        ("CODEMODE_EXECUTOR_URL", "https://executor:8001", []),
        ("CODEMODE_EXECUTOR_URL", "http://host:8001/path", ["E003"]),
        ("CODEMODE_LIMITS__EXECUTION_TIMEOUT", "601", ["W013"]),
        ("CODEMODE_EXECUTOR_CEILINGS__EXECUTION_TIMEOUT", "none", []),
    ],
)
def test_a_wrong_environment_variable_is_an_error(
    variable: str, value: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with override_settings(CODEMODE={}):
        assert ids(check_setting()) == expected


def test_a_limit_within_the_ceilings_of_the_environment_is_granted_by_an_embedded_executor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CODEMODE_EXECUTOR_CEILINGS__EXECUTION_TIMEOUT", "1200")
    with override_settings(CODEMODE={"EXECUTION_TIMEOUT": 1200}):
        assert ids(check_setting()) == []
    with override_settings(CODEMODE={"EXECUTION_TIMEOUT": 1201}):
        (warning,) = check_setting()
    assert "execution_timeout is 1,201.0 and an executor grants 1,200.0" in warning.msg


def test_tls_files_that_cannot_be_read_are_a_warning_at_deployment(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    tls = {name: str(tmp_path / f"{name}.pem") for name in ("cert_file", "key_file")}
    setting = {
        "EXECUTOR_URL": "https://executor:8001",
        "EXECUTOR_API_KEY": "k" * 16,
        "TLS": {**tls, "ca_file": str(tmp_path / "ca.pem")},
    }
    with override_settings(CODEMODE=setting):
        assert ids(check_setting()) == []
        assert ids(check_deployment()) == ["W011", "W011"]
        (tmp_path / "cert_file.pem").touch()
        (unreadable,) = check_deployment()
    assert "key_file.pem' cannot be read: No such file" in unreadable.msg


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        ([SESSIONS, AUTHENTICATION, OURS], []),
        ([SESSIONS, AUTHENTICATION, f"{__name__}.DerivedMiddleware"], []),
        ([OURS], []),
        ([SESSIONS, AUTHENTICATION], ["W001"]),
        (["no.such.Middleware"], ["W001"]),
        ([SESSIONS, OURS, AUTHENTICATION], ["W002"]),
        ([SESSIONS, OURS, f"{__name__}.Derived"], ["W002"]),
        ([SESSIONS, f"{__name__}.Derived", OURS], []),
    ],
)
def test_a_middleware_that_is_missing_or_misplaced_is_a_warning(
    middleware: list[str], expected: list[str]
) -> None:
    with override_settings(MIDDLEWARE=middleware):
        assert ids(check_middleware()) == expected


def test_what_a_model_cannot_learn_about_a_tool_is_a_warning() -> None:
    def untyped(first, second: int, *, third=None):  # type: ignore[no-untyped-def]  # the point
        return first

    assert check_tools() == []
    shared.registry.register_tool("testapp_untyped", untyped)
    try:
        parameters, returns, description = check_tools()
    finally:
        shared.registry.unregister_tool("testapp_untyped")

    assert ids([parameters, returns, description]) == ["W003", "W004", "W006"]
    assert "'testapp_untyped': first, third without a type" in parameters.msg


@pytest.mark.parametrize(
    ("permission", "backends", "expected"),
    [
        ("shop.add_refund", [MODELS], []),
        ("django_codemode.execute_code", [MODELS], []),
        ("shop.refund_order", [MODELS], ["W010"]),
        (["shop.add_refund", "shop.ad_refund"], [MODELS], ["W010"]),
        (lambda context, user: False, [MODELS], []),
        ("shop.refund_order", [MODELS, f"{__name__}.RulesBackend"], []),
        ("shop.refund_order", [f"{__name__}.DerivedBackend"], ["W010"]),
        ("shop.refund_order", ["no.such.Backend"], []),
    ],
)
def test_a_permission_that_nobody_can_have_is_a_warning(
    permission: Any, backends: list[str], expected: list[str]
) -> None:
    def guarded() -> None:
        """Do nothing."""

    shared.registry.register_tool("testapp_guarded", tool(permission=permission)(guarded))
    try:
        with override_settings(AUTHENTICATION_BACKENDS=backends):
            assert ids(check_tools()) == expected
    finally:
        shared.registry.unregister_tool("testapp_guarded")


@pytest.mark.parametrize(
    ("returns", "parameter", "expected"),
    [
        (Merchant, int, ["W014"]),
        (list[Merchant], int, ["W014"]),
        (dict[str, list[Merchant] | None], int, ["W014"]),
        (list[dict[str, int]], int, []),
        (QuerySet, int, []),
        (int, Merchant, ["W014"]),
        (int, list[Merchant] | None, ["W014"]),
    ],
)
def test_an_instance_of_a_model_in_a_tools_types_is_a_warning(
    returns: Any, parameter: Any, expected: list[str]
) -> None:
    def typed(value: Any) -> Any:
        """Do nothing."""

    typed.__annotations__ = {"value": parameter, "return": returns}
    shared.registry.register_tool("testapp_typed", typed)
    try:
        found = check_tools()
    finally:
        shared.registry.unregister_tool("testapp_typed")
    assert ids(found) == expected
    assert all("Merchant" in message.msg for message in found)


class And(TypedDict):
    left: Expr


class Not(TypedDict):
    left: Expr
    note: str


class All(TypedDict):
    op: Literal["all"]
    left: Tagged


class Some(TypedDict):
    op: Literal["some"]
    left: Tagged


type Expr = And | Not
type Tagged = All | Some


@pytest.mark.parametrize(
    ("hint", "expected"), [(Expr, ["W020"]), (list[Expr], ["W020"]), (Tagged, [])]
)
def test_records_that_contain_themselves_and_are_alike_are_a_warning(
    hint: Any, expected: list[str]
) -> None:
    def find(where: Any) -> int:
        """Find."""
        return 0

    find.__annotations__["where"] = hint
    shared.registry.register_tool("testapp_find", find)
    try:
        found = check_tools()
    finally:
        shared.registry.unregister_tool("testapp_find")
    assert ids(found) == expected
    assert all("'testapp_find': in where, And and Not contain" in one.msg for one in found)


def test_a_module_in_which_nothing_is_decorated_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forgotten() -> int:
        """Count."""
        return 0

    forgotten.__module__ = "tests.example_project.codemode_tools"
    module = ModuleType(forgotten.__module__)
    vars(module)["forgotten"] = forgotten
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "tests.example_project"]):
        # As if the module had been discovered with the app.
        monkeypatch.setitem(sys.modules, module.__name__, module)
        (warning,) = check_tools()
        assert ids([warning]) == ["W015"]
        assert "tests.example_project.codemode_tools gives no tool" in warning.msg
        assert "register_tool() in the ready()" in str(warning.hint)
        shared.registry.register_tool("testapp_forgotten", forgotten)
        try:
            assert check_tools() == []
        finally:
            shared.registry.unregister_tool("testapp_forgotten")


def test_a_project_without_tools_is_shown_a_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_registry", ComponentRegistry())
    monkeypatch.setattr(tool_checks, "_modules", list)
    (info,) = check_tools()
    assert ids([info]) == ["I001"]
    assert not info.is_serious(WARNING)
    advice, _, lines = str(info.hint).partition(" A first tool to paste:\n\n")
    assert "shop/codemode_tools.py" in advice
    module = ModuleType("first_tool")
    exec(textwrap.dedent(lines), module.__dict__)
    shared.registry.register_tool(None, module.count_users)
    assert check_tools() == []


def test_a_method_that_is_decorated_and_not_registered_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Shop:
        @tool
        def orders(self) -> int:
            """Count the orders."""
            return 0

        @staticmethod
        @tool
        def rates() -> int:
            """Count the rates."""
            return 0

        def helper(self) -> None: ...

    @tool
    class Refund:
        @tool
        def run(self) -> int:
            """Pay back."""
            return 0

    for one in (Shop, Refund):
        one.__module__ = testapp_tools.__name__
        monkeypatch.setattr(testapp_tools, one.__name__, one, raising=False)
    found = check_tools()
    assert ids(found) == ["W016", "W016"]
    assert "Shop.orders registers nothing" in found[0].msg
    assert "register_tool(None, Shop(…).orders)" in str(found[0].hint)
    for method in (Shop().orders, Shop.rates):
        shared.registry.register_tool(None, method)
    try:
        assert check_tools() == []
    finally:
        for name in ("orders", "rates"):
            shared.registry.unregister_tool(name)


def test_the_context_of_a_tool_needs_no_type() -> None:
    class Untyped:
        def run_with_context(self, context, number: int) -> int:  # type: ignore[no-untyped-def]
            """Return the number."""
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
        ({"EXECUTOR_URL": "http://executor:8001"}, ["W005", "W007"]),
        ({"EXECUTOR_URL": "http://executor:8001", "EXECUTOR_API_KEY": "k"}, ["W005"]),
        ({"EXECUTOR_URL": "dns:///executors:8001", "EXECUTOR_API_KEY": "k"}, ["W005"]),
        ({"EXECUTOR_URL": "executor:8001", "EXECUTOR_API_KEY": "k"}, ["W005"]),
        ({"EXECUTOR_URL": "http://localhost.evil.com:1", "EXECUTOR_API_KEY": "k"}, ["W005"]),
        ({"EXECUTOR_URL": "executor:1", "EXECUTOR_API_KEY": "k", "TLS": {}}, []),
        ({"EXECUTOR_URL": "executor:1", "TLS": {}}, ["W007"]),
        (
            {"EXECUTOR_URL": "executor:1", "TLS": {"cert_file": __file__, "key_file": __file__}},
            [],
        ),
        ({"EXECUTOR_URL": "https://executor:8001", "EXECUTOR_API_KEY": "k"}, []),
        ({"EXECUTOR_URL": "https://executor:8001"}, ["W007"]),
        ({"EXECUTOR_URL": "http://127.0.0.1:8001"}, []),
        ({"EXECUTOR_URL": "http://[::1]:8001", "EXECUTOR_API_KEY": "k"}, []),
        ({"EXECUTOR_URL": "localhost:8001", "EXECUTOR_API_KEY": "k"}, []),
        ({"EXECUTOR_URL": "unix:/run/x.sock"}, []),
        ({"NO_SUCH": 1}, []),
    ],
)
def test_an_executor_that_is_open_to_others_is_a_warning_at_deployment(
    setting: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CODEMODE_EXECUTOR_MIN_TIER")
    with override_settings(CODEMODE=setting):
        assert ids(check_deployment()) == expected


@pytest.mark.parametrize(
    ("tier", "variable", "debug", "expected"),
    [
        (None, None, False, []),
        ("B", "unsafe", False, []),
        (None, "C", False, []),
        (None, "unsafe", False, ["W008"]),
        (None, "unsafe", True, ["W008"]),
        ("unsafe", None, True, ["W008"]),
        ("unsafe", None, False, ["E004"]),
    ],
)
def test_no_isolation_is_reported_once_at_deployment(
    tier: str | None,
    variable: str | None,
    debug: bool,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CODEMODE_EXECUTOR_MIN_TIER")
    if variable is not None:
        monkeypatch.setenv("CODEMODE_EXECUTOR_MIN_TIER", variable)
    setting = {} if tier is None else {"MIN_TIER": tier}
    with override_settings(CODEMODE=setting, DEBUG=debug):
        assert ids([*check_setting(), *check_deployment()]) == expected


@pytest.mark.parametrize(
    ("installed", "application", "expected"),
    [(False, None, []), (True, None, ["W009"]), (True, "config.asgi.application", [])],
)
def test_channels_without_an_application_is_a_warning(
    installed: bool, application: str | None, expected: list[str]
) -> None:
    more = ["channels"] if installed else []
    with (
        modify_settings(INSTALLED_APPS={"append": more, "remove": [] if more else ["channels"]}),
        override_settings(ASGI_APPLICATION=application),
    ):
        assert ids(check_channels()) == expected


def given_ids() -> set[str]:
    package = Path(checks.__file__).parent
    source = "".join(path.read_text("utf-8") for path in package.rglob("*.py"))
    return set(re.findall(r"django_codemode\.([EIW]\d{3})", source))


def test_every_id_is_documented_and_every_documented_id_exists() -> None:
    page = (ROOT / "docs" / "reference" / "checks.md").read_text("utf-8")
    assert sorted(given_ids()) == re.findall(
        r"^\| `django_codemode\.([EIW]\d{3})` \|", page, re.MULTILINE
    )


def test_every_id_is_tested() -> None:
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    assert sorted(given_ids() - set(re.findall(r"[EIW]\d{3}", tests))) == []


@pytest.mark.parametrize("settings", ["config.settings", "config.production"])
def test_the_example_passes_every_check(settings: str, tmp_path: Path) -> None:
    deploy = ["--deploy"] if settings == "config.production" else []
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--fail-level=WARNING", *deploy],
        cwd=ROOT / "example_project",
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": settings,
            "SECRET_KEY": "k" * 40 + "0123456789",
            "ALLOWED_HOSTS": "shop.example",
            "CODEMODE_EXECUTOR_URL": "https://executor.internal:8001",
            "CODEMODE_EXECUTOR_API_KEY": "k" * 16,
        }
        if deploy
        else {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "System check identified no issues (0 silenced).\n"
