"""The rendering for a model is valid Python that says each thing once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

import pydantic
import pytest

from codemode.catalogue.compact import render_compact, render_lines
from codemode.catalogue.stubs import render_stubs
from codemode.tools import Tool, make_tool, tool
from codemode.values import decode, encode
from tests.support.tool_sets.odd import CASES, basket, book, quote, rows, sort, tools_of, unknown
from tests.support.tool_sets.shop import shop_tools


def compact(**functions: object) -> list[str]:
    return render_compact(tools_of(**functions), notes=True).splitlines()


def only(function: object) -> str:
    return compact(tool_=function)[-1]


@pytest.mark.parametrize("name", CASES)
def test_every_rendering_is_python(name: str) -> None:
    tools = tools_of(**CASES[name])
    for text in (
        render_compact(tools, notes=True),
        render_compact(tools, notes=False),
        render_lines(tools),
    ):
        compile(text, name, "exec")


def test_records_and_functions_are_one_line_each() -> None:
    assert compact(shop__quote=quote, book=book) == [
        "Day = date",
        (
            "class Booking(TypedDict): day: Day; guests: int; price: Decimal"
            "  # guests: Children included"
        ),
        (
            "async def book(booking: Booking, days: list[Day], seats: tuple[int, int] = ...)"
            " -> Booking: ..."
        ),
        "class Quote(TypedDict): total: Decimal; currency: str  # total: With taxes",
        "class shop:",
        (
            " def quote(bookings: dict[str, Booking], until: datetime = None, extra: float = 0)"
            " -> frozenset[Day] | Quote: 'Give a \"price\" with a \\\\\\\\ in it.'"
        ),
    ]


def test_a_literal_that_is_repeated_is_named_once() -> None:
    lines = compact(sort=sort)
    assert "Order = Literal['up','down']" in lines
    assert lines[-1].startswith("def sort(order: Order = 'up', other: Order = None)")

    def once(order: Literal["up", "down"]) -> None: ...

    assert only(once) == "def tool_(order: Literal['up','down']) -> None: ..."


def test_the_name_of_a_literal_is_not_that_of_a_record() -> None:
    class Order(TypedDict):
        id: int

    def find(order: Literal["up", "down"], then: Literal["up", "down"]): ...  # type: ignore[no-untyped-def]  # postponed hints see no local class

    find.__annotations__ |= {"order": Literal["up", "down"], "then": Literal["up", "down"]}
    find.__annotations__["return"] = Order
    assert compact(find=find) == [
        "OrderChoice = Literal['up','down']",
        "class Order(TypedDict): id: int",
        "def find(order: OrderChoice, then: OrderChoice) -> Order: ...",
    ]


def test_an_enum_that_is_repeated_has_its_own_name() -> None:
    assert "Size = Literal['s','l']" in compact(basket=basket)


def test_notes_and_descriptions_that_say_nothing_more_are_left_out() -> None:
    def get_order(
        order_id: Annotated[int, "The id of the order."],
        limit: Annotated[int, "At most 200."] = 5,
        verbose: Annotated[bool, "Whether to be verbose, optional"] = False,
    ) -> list[str]:
        """Get the order."""
        raise NotImplementedError

    assert compact(get_order=get_order) == [
        (
            "def get_order(order_id: int, limit: int = 5, verbose: bool = False) -> list[str]: "
            '"limit: At most 200"'
        )
    ]
    without = render_compact(tools_of(get_order=get_order), notes=False)
    assert without.endswith("-> list[str]: ...")


def test_marks_say_what_a_call_does() -> None:
    def act() -> None: ...

    def line(**options: object) -> str:
        marked: object = tool(**options)(act)  # type: ignore[call-overload]  # any options
        return render_lines([make_tool("act", marked)])

    assert line() == "def act() -> None: ..."
    assert line(effects="reads") == "def act() -> None: ... # reads"
    assert line(effects="database", permission="x") == (
        "def act() -> None: ... # database, restricted"
    )
    assert line(permission="x") == "def act() -> None: ... # restricted"


def test_the_order_of_registration_does_not_show() -> None:
    tools = [*shop_tools(), *tools_of(**CASES["namespaces"] | {"sort": sort})]
    for render in (lambda given: render_compact(given, notes=True), render_lines):
        texts = {render(tools), render(tools[::-1]), render(tools[5:] + tools[:5])}
        assert len(texts) == 1


def test_a_tool_whose_name_is_last_is_appended() -> None:
    before = render_compact(shop_tools(), notes=True)
    added: list[Tool] = tools_of(zoo__book=book, zz=rows)
    after = render_compact([*added, *shop_tools()], notes=True)
    assert after.startswith(before + "\n")


def test_lines_show_no_records_and_one_sentence() -> None:
    def sell(sort: Literal["a", "b"], other: Literal["a", "b"]) -> None:
        """Sell it now. Then send it! And more."""

    assert render_lines(tools_of(sell=sell)) == (
        "def sell(sort: Literal['a','b'], other: Literal['a','b']) -> None: \"Sell it now.\""
    )
    assert render_lines(tools_of(unknown=unknown)) == (
        "def unknown(tree: dict[str, Tree | int], other, call) -> datetime: ..."
    )


def test_odd_texts_do_not_leave_their_string() -> None:
    for text in ('end"', "end\\", '"""', "a\nb = 1", "nul\0", "half \ud800", "\u2028", 'it\'s "x"'):

        def act(value: int) -> None: ...

        marked = tool(description=f"Do {text}")(act)
        act.__annotations__["value"] = Annotated[int, f"Note {text}"]
        made = make_tool("act", marked)
        for rendered in (render_compact([made], notes=True), render_lines([made])):
            assert len(rendered.splitlines()) == 1
            compile(rendered, "odd", "exec")
        compile(render_stubs([made]), "odd", "exec")


class Order(pydantic.BaseModel):
    """A model that is written with other keys than it is read with."""

    order_id: int = pydantic.Field(alias="orderId")
    rows: int = pydantic.Field(1, validation_alias=pydantic.AliasChoices("lines", "rows"))
    secret: str = pydantic.Field("", exclude=True)

    @pydantic.computed_field
    def total(self) -> int:
        """Return the sum of all rows."""
        return 7


@dataclass
class Parcel:
    order: Order
    number: int = field(init=False, default=5)


@pydantic.dataclasses.dataclass
class Label:
    text: str = pydantic.Field(description="At most two words.")
    copies: int = pydantic.Field(1)


def test_a_record_has_the_keys_that_a_call_passes_and_a_value_has() -> None:
    def send(parcel: Parcel) -> Parcel:
        return parcel

    def stick(label: Label) -> None: ...

    made = make_tool("send", send)
    assert compact(send=send, stick=stick) == [
        "class OrderInput(TypedDict): orderId: int; lines: NotRequired[int]; secret: NotRequired[str]",
        "class ParcelInput(TypedDict): order: OrderInput",
        "class Order(TypedDict): order_id: int; rows: int; total: int  # total: Return the sum of all rows",
        "class Parcel(TypedDict): order: Order; number: int",
        "def send(parcel: ParcelInput) -> Parcel: ...",
        ("class Label(TypedDict): text: str; copies: NotRequired[int]  # text: At most two words"),
        "def stick(label: Label) -> None: ...",
    ]
    passed = made.validate({"parcel": {"order": {"orderId": 3, "lines": 2}}})
    order = decode(encode(made.call({}, passed)))["order"]
    assert order == {"order_id": 3, "rows": 2, "total": 7}
    assert made.output_schema["$defs"]["Order"]["properties"].keys() == order.keys()


def test_what_says_nothing_is_left_out_of_types_and_defaults() -> None:
    def take(
        rows: list,  # type: ignore[type-arg]
        pair: tuple[Any, Any],
        by: dict[str, tuple],  # type: ignore[type-arg]
        most: float = float("inf"),
    ) -> list[dict[Any, Any]]:
        return rows

    assert only(take) == (
        "def tool_(rows: list, pair: tuple[Any, Any], by: dict[str, tuple], most: float = ...)"
        " -> list[dict]: ..."
    )
