"""Tests of what help shows of a tool beside its signature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypedDict

from codemode import Codemode
from codemode.catalogue.help_text import help_texts
from codemode.tools import make_tool


class Line(TypedDict):
    sku: str
    tax_in_percent: Decimal


@dataclass
class Order:
    id: int
    lines: list[Line]


Odd = TypedDict("Odd", {"order-id": int, "class": str})


def get(order_id: int, *, full: bool = False) -> Order:
    """Return one order.

    Args:
        order_id: The number
            on the invoice.
        full: With its lines.
    """
    return Order(order_id, [])


def odd(given: Odd) -> None: ...


def test_help_has_notes_records_and_marks() -> None:
    assert help_texts(replace(make_tool("get", get), permission="shop.view_order")) == {
        "notes": ["order_id: The number on the invoice.", "full: With its lines."],
        "records": [
            "Line = {sku: str, tax_in_percent: Decimal}",
            "Order = {id: int, lines: list[Line]}",
        ],
        "marks": ["restricted"],
    }


def test_keys_that_are_no_names_are_quoted() -> None:
    assert help_texts(make_tool("odd", odd))["records"] == ["Odd = {'order-id': int, 'class': str}"]


def test_texts_are_bounded() -> None:
    def long() -> None: ...

    names = [f"argument_{number}" for number in range(100)]
    long.__doc__ = "Do.\n\nArgs:\n" + "".join(f"    {name}: {'x' * 10_000}\n" for name in names)
    scope: dict[str, object] = {}
    exec(f"def many({', '.join(names)}): ...", scope)
    many = scope["many"]
    many.__doc__ = long.__doc__

    notes = help_texts(make_tool("many", many))["notes"]

    assert len(notes) == 30
    assert max(map(len, notes)) < 210


def test_help_in_the_code_shows_them() -> None:
    with Codemode() as codemode:
        codemode.registry.register_tool("orders.get", get)
        codemode.registry.register_tool("orders.odd", odd)
        assert codemode.run("help(orders.get)").stdout == (
            "orders.get(order_id: int, *, full: bool = False) -> Order\n"
            "Return one order.\n"
            "Arguments:\n"
            "  order_id: The number on the invoice.\n"
            "  full: With its lines.\n"
            "Records, which are dicts:\n"
            "  Line = {sku: str, tax_in_percent: Decimal}\n"
            "  Order = {id: int, lines: list[Line]}\n"
        )
        few = codemode.run("help(orders.get)").stdout
        for number in range(63):
            codemode.registry.register_tool(f"other.tool{number}", odd)
        assert codemode.run("help(orders.get)").stdout == few
