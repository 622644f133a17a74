"""The stubs show what executed code may call, with the types that the code really gets."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from codemode.catalogue.stubs import render_records, render_stubs
from codemode.tools import Tool, make_tool
from tests.support.tool_sets.odd import (
    CASES,
    basket,
    book,
    odd,
    quote,
    rows,
    tools_of,
    unknown,
    untyped,
)
from tests.support.tool_sets.shop import shop_tools


def stubs(**tools: object) -> str:
    return render_stubs(tools_of(**tools))


def line_of(stub: str, beginning: str) -> str:
    return next(line for line in stub.splitlines() if line.strip().startswith(beginning))


def test_records_are_the_dicts_that_code_receives_and_passes() -> None:
    stub = stubs(basket=basket)

    assert "class Money(TypedDict):\n    amount: Decimal\n    currency: str\n" in stub
    assert (
        "class Basket(TypedDict):\n    lines: tuple[Money, ...]\n"
        "    size: Literal['s', 'l']\n    above: Basket | None\n" in stub
    )
    assert "class Wish(TypedDict):\n    text: str\n    tags: NotRequired[list[str]]\n" in stub
    assert line_of(stub, "def basket") == (
        "def basket(wish: Wish, number: int, *, size: Literal['s', 'l'] = 's') -> Basket:"
    )


def test_functions_have_their_kind_parameters_and_docs() -> None:
    stub = stubs(rows=rows)

    assert stub.endswith(
        "async def rows(day: date | str, ids: list[int] = ..., **more: str)"
        " -> dict[str, frozenset[Row]]:\n"
        '    """Find the rows.\n\n    day: In the shop\'s own time.\n    """\n'
    )
    assert "class Row(TypedDict):\n    id: int\n    note: NotRequired[str]\n" in stub


def test_tuples_and_numbers_have_their_own_types() -> None:
    def plot(
        at: tuple[int, str], parts: frozenset[Fraction], path: tuple[complex, ...] = ()
    ) -> tuple:  # type: ignore[type-arg]  # as many write it
        raise NotImplementedError

    stub = stubs(plot=plot)
    assert "from fractions import Fraction\n" in stub
    assert line_of(stub, "def plot") == (
        "def plot(at: tuple[int, str] | list[int | str], parts: Set[Fraction | int | float | str], "
        "path: tuple[complex, ...] | list[complex] = ()) -> tuple[Any, ...]: ..."
    )


def test_unknown_types_are_any() -> None:
    stub = stubs(untyped=untyped, unknown=unknown)

    assert line_of(stub, "def untyped") == "def untyped(value: Any) -> Any:"
    assert line_of(stub, "def unknown") == (
        "def unknown(tree: Tree, other: Any, call: Any) -> datetime: ..."
    )
    assert "type Tree = dict[str, Tree | int]\n" in stub


def test_names_of_tools_do_not_hide_types() -> None:
    stub = stubs(orders__list=rows, orders__int=odd, orders__date=unknown, Row=untyped)

    assert "from datetime import date as _date, datetime" in stub
    assert "async def list(day: _date | str, ids: builtins.list[builtins.int]" in stub
    assert "class Row2(TypedDict):" in stub


def test_a_type_checker_accepts_every_stub_and_finds_wrong_calls(tmp_path: Path) -> None:
    for number, tools in enumerate(CASES.values()):
        (tmp_path / f"case{number}.pyi").write_text(stubs(**tools), "utf-8")
    (tmp_path / "the_shop.pyi").write_text(render_stubs(shop_tools()), "utf-8")
    (tmp_path / "used.py").write_text(
        "from decimal import Decimal\n"
        "from case0 import basket, progress, rows\n"
        "from case3 import orders\n"
        "total: Decimal = basket({'text': 'tea'}, 1, size='l')['lines'][0]['amount']\n"
        "progress(1, 2)\n"
        "async def main() -> None:\n"
        "    found: dict[str, frozenset[int]] = await orders.list('today')\n"
        "basket({'texts': 'tea'}, '1')\n"
        "from case5 import book, shop\n"
        "from datetime import date\n"
        "async def main2() -> None:\n"
        "    booked = await book({'day': '2026-01-02', 'guests': 2, 'price': 2.5}, [date.today()])\n"
        "    shop.quote({'a': booked}, until='2026-01-02')\n"
        "    booked['day'].year\n"
        "    await book({'day': 5, 'guests': 2, 'price': 1}, [], [1, 2])\n",
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )
    found = {line.partition(":")[0] for line in done.stdout.splitlines() if ": error:" in line}
    lines = {line.split(":")[1] for line in done.stdout.splitlines() if ": error:" in line}
    assert (found, lines) == ({"used.py"}, {"7", "8", "15"}), done.stdout + done.stderr


def test_a_record_of_a_tool_is_its_own_class_and_not_a_namesake() -> None:
    def other() -> Any:
        """Give another Money."""

    @dataclass
    class Money2:
        cents: int

    Money2.__name__ = "Money"
    other.__annotations__["return"] = Money2
    made: list[Tool] = [make_tool("basket", basket), make_tool("other", other)]
    stub = render_stubs(made)
    assert "class Money2(TypedDict):\n    cents: int\n" in stub
    assert line_of(stub, "def other") == "def other() -> Money2:"


def test_arguments_accept_what_validation_accepts() -> None:
    stub = stubs(book=book, shop__quote=quote)

    assert line_of(stub, "async def book") == (
        "async def book(booking: Booking | BookingInput, days: Sequence[DayInput], "
        "seats: tuple[int, int] | list[int] = ...) -> Booking: ..."
    )
    assert "type Day = date\n" in stub
    assert "type DayInput = date | str\n" in stub
    assert "class Booking(TypedDict):\n    day: Day\n" in stub
    assert "    price: Decimal | int | float | str\n" in stub
    assert (
        "def quote(bookings: Mapping[str, Booking | BookingInput], "
        "until: datetime | str | None = None, extra: float = 0) -> frozenset[Day] | Quote:" in stub
    )


def test_notes_on_fields_are_comments() -> None:
    stub = stubs(book=book, quote=quote)

    assert "    guests: int  # Children included.\n" in stub
    assert "    total: Decimal  # With taxes.\n" in stub


def test_records_for_people_are_not_lenient() -> None:
    day, booking = render_records(tools_of(book=book))
    assert day == "type Day = date\n"
    assert booking.endswith("    guests: int  # Children included.\n    price: Decimal\n")
