"""A catalogue is the richest form that fits its budget, and never more."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from codemode.catalogue import catalogue_of, render_stubs
from codemode.catalogue.tokens import count_tokens, counts_exactly
from codemode.errors import ConfigurationError
from codemode.tools import Tool, make_tool, tool
from tests.support.tool_sets.many import functions
from tests.support.tool_sets.shop import shop_tools


def by_name(tools: list[Tool]) -> dict[str, Tool]:
    return {one.name: one for one in tools}


@pytest.fixture(scope="module")
def shop() -> Mapping[str, Tool]:
    return by_name(shop_tools())


@pytest.fixture(scope="module")
def many() -> Mapping[str, Tool]:
    return {name: make_tool(name, function) for name, function in functions()}


def test_eight_tools_take_few_tokens(shop: Mapping[str, Tool]) -> None:
    # The estimate is up to 14 per cent higher than o200k.
    slack = 1.0 if counts_exactly() else 1.14
    full = catalogue_of(shop)
    bare = catalogue_of(shop, notes=False)

    assert (full.tier, bare.tier) == ("full", "full")
    assert full.tokens <= 590 * slack
    assert bare.tokens <= 440 * slack
    assert full.tokens < count_tokens(render_stubs(shop.values()))
    assert "At most 200" in full.text
    assert "At most 200" not in bare.text


def test_two_thousand_tools_fit_into_1500_tokens(many: Mapping[str, Tool]) -> None:
    catalogue = catalogue_of(many, max_tokens=1_500)

    assert len(many) == 2_000
    assert catalogue.tier == "namespaces"
    assert catalogue.tokens <= 1_500
    assert "more; tools.search" not in catalogue.text
    namespaces = {name.split(".")[0] for name in many if "." in name}
    assert {line.split(" (")[0] for line in catalogue.text.splitlines()} >= namespaces
    assert "\ngithub (53): branch issue pull_request" in catalogue.text


def test_each_budget_has_its_tier(shop: Mapping[str, Tool], many: Mapping[str, Tool]) -> None:
    full = catalogue_of(shop).tokens
    bare = catalogue_of(shop, notes=False).tokens
    lines = catalogue_of(shop, max_tokens=bare - 1)
    names = catalogue_of(shop, max_tokens=lines.tokens - 1)

    assert catalogue_of(shop, max_tokens=full).tokens == full
    assert catalogue_of(shop, max_tokens=full - 1).tokens == bare
    assert lines.tier == "lines"
    assert names.tier == "names"
    assert "\norders: get refund search\n" in names.text
    assert catalogue_of(many, max_tokens=6_000).tier == "names"


def test_no_budget_is_exceeded(shop: Mapping[str, Tool], many: Mapping[str, Tool]) -> None:
    for tools in (shop, many):
        for budget in (*range(30, 120, 7), 300, 400, 500, 650, 1_000):
            catalogue = catalogue_of(tools, max_tokens=budget)
            assert count_tokens(catalogue.text) == catalogue.tokens <= budget
            compile(catalogue.text, str(budget), "exec")


def test_what_is_cut_is_counted(many: Mapping[str, Tool]) -> None:
    text = catalogue_of(many, max_tokens=200).text
    *lines, last, _ = text.splitlines()

    shown = sum(int(line.rpartition("(")[2].rstrip(")")) for line in lines[1:])
    assert shown > 100
    assert last == f'… and {2_000 - shown:,} more; tools.search("words") finds tools'
    assert catalogue_of(many, max_tokens=30).text == (
        '"""2,000 tools; tools.search("words") finds tools"""'
    )


@pytest.mark.parametrize("budget", [0, -5, True, 2.5, "100"])
def test_a_budget_that_is_no_number_is_refused(shop: Mapping[str, Tool], budget: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"max_tokens={budget!r}; expected a whole number"):
        catalogue_of(shop, max_tokens=budget)


def test_a_budget_too_small_for_a_line_is_refused(shop: Mapping[str, Tool]) -> None:
    with pytest.raises(ConfigurationError, match=r"max_tokens=5 is too few .* 8 tools; even one"):
        catalogue_of(shop, max_tokens=5)


def test_no_tools_give_no_text() -> None:
    assert (catalogue_of({}, max_tokens=1).text, catalogue_of({}).tokens) == ("", 0)


def test_the_same_tools_give_the_same_object_until_one_is_replaced(
    shop: Mapping[str, Tool],
) -> None:
    first = catalogue_of(shop)
    assert catalogue_of(dict(reversed(list(shop.items())))) is first
    assert catalogue_of(shop, max_tokens=first.tokens) == first

    def levels() -> None:
        """Count the shelves."""

    replaced = {**shop, "stock.levels": make_tool("stock.levels", tool(levels))}
    assert "Count the shelves." in catalogue_of(replaced).text
    fewer = {name: one for name, one in shop.items() if name != "mail.send"}
    assert "class mail" not in catalogue_of(fewer).text


def test_threads_get_the_same_bytes() -> None:
    shops = [by_name(shop_tools()) for _ in range(16)]
    with ThreadPoolExecutor(8) as pool:
        texts = set(pool.map(lambda tools: catalogue_of(tools, max_tokens=450).text, shops * 4))
    assert len(texts) == 1
