"""The instructions have the rules, the sandbox and the catalogue, within their budget."""

from __future__ import annotations

import pytest

from codemode.catalogue import catalogue_of, instructions_for
from codemode.catalogue.instructions import Sandbox
from codemode.catalogue.tokens import count_tokens
from codemode.errors import ConfigurationError
from codemode.tools import make_tool
from tests.support.tool_sets.many import functions
from tests.support.tool_sets.odd import tools_of
from tests.support.tool_sets.shop import shop_tools

SANDBOX = Sandbox(
    python="Python 3.13",
    packages=("numpy",),
    execution_timeout=12.5,
    max_memory_bytes=256 * 2**20,
    max_tool_calls=1_234,
)
SHOP = {one.name: one for one in shop_tools()}
MANY = {name: make_tool(name, function) for name, function in functions()}


def test_rules_come_first_and_the_catalogue_last() -> None:
    text = instructions_for(SHOP, SANDBOX)

    assert text.startswith("Run Python in a sandbox")
    assert text.endswith("\n\nTools:\n" + catalogue_of(SHOP).text)
    assert "`await customers.get(...)`" in text
    assert count_tokens(text.partition("\n\nTools:")[0]) < 400


def test_the_sandbox_is_described() -> None:
    assert (
        "- Python 3.13, standard library, numpy. Limits: 12.5 s with all calls, 256 MiB, "
        "1,234 tool calls." in instructions_for(SHOP, SANDBOX)
    )


def test_marks_are_explained_where_they_are_shown() -> None:
    text = instructions_for(SHOP, SANDBOX)
    assert "Marks: `# reads` changes nothing; `# external` acts" in text
    assert "; `restricted` needs a permission that you have." in text
    assert "# database" not in text
    assert "may write" not in text

    mixed = {**SHOP, "act": make_tool("act", lambda: None)}
    assert "without one of these a tool may write" in instructions_for(mixed, SANDBOX)
    unmarked = {one.name: one for one in tools_of(act=lambda: None)}
    assert "Marks:" not in instructions_for(unmarked, SANDBOX)
    names = instructions_for(SHOP, SANDBOX, max_tokens=450)
    assert "\norders: get refund search\n" in names
    assert "Marks:" not in names


def test_rules_for_what_is_not_there_are_left_out() -> None:
    sync = {one.name: one for one in tools_of(act=lambda: None)}
    assert "await" not in instructions_for(sync, SANDBOX).lower()
    nothing = instructions_for({}, SANDBOX)
    assert "There are no tools to call." in nothing
    assert "ToolError" not in nothing


def test_the_whole_fits_its_budget() -> None:
    whole = count_tokens(instructions_for(SHOP, SANDBOX))
    assert instructions_for(SHOP, SANDBOX, max_tokens=whole) == instructions_for(SHOP, SANDBOX)
    for tools in (SHOP, MANY):
        for budget in (420, 450, 600, whole - 1, 1_500, 5_000):
            assert count_tokens(instructions_for(tools, SANDBOX, max_tokens=budget)) <= budget
    assert count_tokens(instructions_for({}, SANDBOX, max_tokens=200)) <= 200


def test_a_budget_too_small_for_the_rules_is_refused() -> None:
    for tools in (SHOP, {}):
        with pytest.raises(ConfigurationError, match=r"max_tokens=60 .* the rules take \d+, and"):
            instructions_for(tools, SANDBOX, max_tokens=60)
    with pytest.raises(ConfigurationError, match="max_tokens=0; expected a whole number"):
        instructions_for(SHOP, SANDBOX, max_tokens=0)
