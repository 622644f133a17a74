"""The tools as the page lists them, and the code with which it begins."""

from __future__ import annotations

import json
from typing import Any, TypedDict

import pytest

from codemode import tool
from codemode.tools import Tool, make_tool
from django_codemode.playground.tool_cards import cards_of, starter_code


class Line(TypedDict):
    sku: str
    count: int


class Order(TypedDict):
    id: int
    lines: list[Line]


def orders(status: str = "open", page: int = 1) -> list[Order]:
    return []


async def total(order: Order | None = None) -> int:
    return 0


def cancel(order_id: int) -> None: ...


def made(function: Any, **options: Any) -> Tool:
    return make_tool(None, tool(**options)(function))


def test_a_card_has_what_completion_and_people_need() -> None:
    [card] = cards_of([made(orders, effects="reads")])
    assert json.loads(card.parameters) == ["status", "page"]
    assert json.loads(card.fields) == ["id", "lines", "sku", "count"]
    assert len(card.records) == 2
    assert "    lines: list[Line]" in "\n".join(card.records)
    assert (card.mark, card.writes) == ("reads", False)


@pytest.mark.parametrize(
    ("effects", "mark"),
    [("database", "writes"), ("external", "acts outside"), (None, "may write")],
)
def test_a_tool_that_does_not_only_read_is_marked(effects: Any, mark: str) -> None:
    [card] = cards_of([made(cancel, effects=effects)])
    assert (card.mark, card.writes) == (mark, True)


@pytest.mark.parametrize(
    ("tools", "begins"),
    [
        ([(cancel, None), (orders, "reads"), (total, "reads")], "rows = orders()\n"),
        ([(cancel, None), (total, "reads")], "await total()"),
        ([(orders, None), (total, "database")], "# How a tool is called"),
        ([], "print("),
    ],
)
def test_the_first_code_calls_only_what_reads_and_needs_nothing(
    tools: list[tuple[Any, Any]], begins: str
) -> None:
    code = starter_code(made(function, effects=effects) for function, effects in tools)
    assert code.startswith(begins)
