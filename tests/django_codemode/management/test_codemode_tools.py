from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any

import pytest
from django.contrib.auth.models import Permission, User

from codemode import tool
from codemode.core.registry import ComponentRegistry
from django_codemode.shared import shared
from django_codemode.tool_checks import FIRST_TOOL
from tests.support import commands


def call(*arguments: str) -> tuple[int, str, str]:
    return commands.call("codemode_tools", *arguments)


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    names: list[str] = []

    def add(name: str, function: object) -> None:
        shared.registry.register_tool(name, function)
        names.append(name)

    yield add
    for name in names:
        shared.registry.unregister_tool(name)


def test_the_command_lists_signatures_descriptions_and_permissions() -> None:
    status, out, err = call()

    assert (status, err) == (0, "")
    assert (
        "refund(order_id: int, amount: Decimal, reason: str) -> RefundRow\n"
        "    Pay back a part of an order, at most what has not been paid back yet.\n"
        "    needs shop.add_refund\n" in out
    )
    assert "await get_rate(currency: str) -> Decimal\n    Return how many euros" in out
    listed = [line.partition("(")[0].removeprefix("await ") for line in out.splitlines()]
    names = [name for name in listed if not name.startswith(" ")]
    assert names == sorted(shared.registry.tools)


def test_a_project_without_tools_is_shown_where_to_put_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "_registry", ComponentRegistry())
    status, out, err = call()
    assert (status, out) == (0, "")
    assert "No tool is registered. Decorate functions by codemode.tool in the module" in err
    assert ", such as shop/codemode_tools.py, or call django_codemode.register_tool()" in err
    assert err.endswith(" A first tool to paste:\n\n" + indent(FIRST_TOOL, "    "))
    assert call("--json")[1:] == ("[]\n", "")


def test_tools_that_are_named_are_shown_whole(register: Callable[..., None]) -> None:
    def total(year: int) -> int:
        """Sum up.

        Args:
            year: Four digits.
        """
        return year

    register("testapp_sums.total", tool(permission=lambda context, user: True)(total))
    _, out, _ = call("refund", "testapp_sums.*")

    refund, _, own = out.partition("\n\ntestapp_sums.total(year: int) -> int\n    Sum up.\n")
    assert refund.splitlines()[3:] == [
        "    is shop.codemode_tools.refund, and runs in the caller's thread",
        "    effects: database",
        "",
        "    class RefundRow(TypedDict):",
        "        id: int",
        "        order_id: int",
        "        amount: Decimal",
        "        left: Decimal",
    ]
    assert "needs what test_tools_that_are_named_are_shown_whole.<locals>.<lambda>() says" in own
    assert own.endswith("    year: Four digits.\n")


def test_json_has_schemas_permissions_and_origin() -> None:
    (refund,) = json.loads(call("--json", "refund")[1])

    assert refund["permissions"] == ["shop.add_refund"]
    assert refund["origin"] == "shop.codemode_tools.refund"
    assert refund["parameters"]["required"] == ["order_id", "amount", "reason"]
    assert refund["returns"]["title"] == "RefundRow"
    assert refund["asynchronous"] is False


def test_stubs_are_python_with_every_tool() -> None:
    status, out, _ = call("--stubs")

    assert status == 0
    names: dict[str, Any] = {}
    exec(compile(out, "tools.pyi", "exec"), names)
    for name in shared.registry.tools:
        first, _, last = name.partition(".")
        assert callable(getattr(names[first], last) if last else names[first]), name


def test_the_catalogue_is_what_a_model_reads(register: Callable[..., None]) -> None:
    def total(year: Annotated[int, "With four digits."]) -> int:
        return year

    register("testapp_total", total)
    status, out, err = call("--catalogue")
    bare = call("--catalogue", "--no-notes")
    small = call("--catalogue", "--max-tokens", "100")

    assert status == 0
    compile(out, "catalogue", "exec")
    assert "async def get_rate(currency: str) -> Decimal: " in out
    assert re.fullmatch(r"tier full: \d+ tools, (about )?[\d,]+ tokens\n?", err)
    assert "year: With four digits" in out
    assert "year: With four digits" not in bare[1]
    assert " testapp_total(year: int)" in bare[1]
    assert small[1].startswith('"""')
    assert re.match(r"tier (names|namespaces): \d+ tools, (about )?\d+ tokens", small[2])
    assert call("--catalogue", "get_rate")[1].count(" def ") == 1
    status, _, err = call("--catalogue", "--max-tokens", "3")
    assert status == 2
    assert "--max-tokens 3 is too few for a catalogue of" in err


def test_effects_and_tags_are_shown(register: Callable[..., None]) -> None:
    register("testapp_marked", tool(effects="reads", tags=["a", "b c"])(lambda: None))
    assert "    effects: reads\n    tags: a, b c\n" in call("testapp_marked")[1]
    (listed,) = json.loads(call("--json", "testapp_marked")[1])
    assert (listed["effects"], listed["tags"]) == ("reads", ["a", "b c"])


@pytest.mark.django_db
def test_a_user_sees_the_tools_that_it_may_call() -> None:
    user = User.objects.create_user("alice")
    assert "refund(" not in call("--user", "alice")[1]
    assert "refund(" not in call("--user", "alice", "--catalogue")[1]
    assert call("refund", "--user", "alice")[1] == ""
    assert call("--user", "alice", "--json", "refund")[1] == "[]\n"

    user.user_permissions.add(Permission.objects.get(codename="add_refund"))
    assert "refund(" in call("--user", "alice")[1]
    assert "refund(" in call("--user", "alice", "--catalogue")[1]


def test_the_context_decides_for_callable_permissions(register: Callable[..., None]) -> None:
    def acme_only(context: Any, user: Any) -> bool:
        raise AssertionError("the system is not asked")

    @tool(permission=acme_only)
    def hidden() -> None:
        """Do nothing."""

    register("testapp_hidden", hidden)
    assert "testapp_hidden" in call("--context", "tenant_id=acme")[1]


class TestCheck:
    def test_a_project_without_gaps_is_0(self) -> None:
        number = len(shared.registry.tools)
        assert call("--check") == (0, f"{number} tools checked, no problems.\n", "")

    def test_each_gap_is_reported_and_the_status_is_1(self, register: Callable[..., None]) -> None:
        def untyped(value):  # type: ignore[no-untyped-def]  # the point
            return value

        register("testapp_untyped", tool(permission="shop.ad_refund")(untyped))
        status, out, err = call("--check", "testapp_untyped", "refund")

        assert (status, err) == (1, "4 found in 2 tools")
        ids = [line.partition(":")[0][-4:] for line in out.splitlines()[::2]]
        assert ids == ["W003", "W004", "W006", "W010"]
        assert out.splitlines()[-1] == "    Did you mean 'shop.add_refund'?"

    def test_a_broken_module_is_reported(self, tmp_path: Path) -> None:
        broken = tmp_path / "brokenapp"
        broken.mkdir()
        (broken / "__init__.py").touch()
        (broken / "codemode_tools.py").write_text("1 / 0\n")
        (tmp_path / "broken_settings.py").write_text(
            "from tests.settings import *\nINSTALLED_APPS += ['brokenapp']\n"
        )
        path = f"{commands.environment()['PYTHONPATH']}:{tmp_path}"
        status, out, _ = commands.run(
            "codemode_tools",
            "--check",
            PYTHONPATH=path,
            DJANGO_SETTINGS_MODULE="broken_settings",
        )
        assert status == 1
        assert out.startswith(
            "django_codemode.E005: brokenapp.codemode_tools cannot be imported: ZeroDivisionError"
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["refnd"], "'refnd' is not a tool; did you mean 'refund'?"),
        (["testapp"], "'testapp' is a namespace: 'testapp.*' means all tools in it"),
        (["--context", "user=root"], "use --user NAME"),
        (["--check", "--json"], "not allowed with argument"),
        (["--max-tokens", "100"], "--max-tokens is for --catalogue; add that, or drop"),
        (["--stubs", "--no-notes"], "--no-notes is for --catalogue"),
        (["--catalogue", "--max-tokens", "0"], "--max-tokens 0; expected a whole number"),
    ],
)
def test_wrong_usage_is_2_and_names_the_right_usage(arguments: list[str], message: str) -> None:
    status, out, err = commands.run("codemode_tools", *arguments)

    assert (status, out) == (2, "")
    assert message in err


def test_the_help_shows_examples() -> None:
    status, out, _ = commands.run("codemode_tools", "--help")
    assert status == 0
    assert "manage.py codemode_tools --stubs > tools.pyi" in out
    assert "exit status:\n  0    done" in out
