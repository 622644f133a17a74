from __future__ import annotations

import datetime
import enum
import pickle
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

import pydantic.dataclasses
import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from codemode.tools import InvalidArguments, ToolCallRefused, make_tool


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Priced:
    price: Decimal


@dataclass
class Line:
    sku: str
    count: int = 1


class Filter(BaseModel):
    status: Literal["open", "closed"]
    lines: list[Line] = []


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int
    parts: list[Closed] = []


type Counts = dict[int, Counts]


def everything(
    number: int = 1,
    price: Decimal = Decimal(2),
    day: datetime.date | None = None,
    key: uuid.UUID | None = None,
    colour: Colour = Colour.RED,
    lines: list[Line] | None = None,
    where: Filter | None = None,
    size: Annotated[int, Field(gt=0)] = 1,
    either: int | str = 1,
    many: list[int | str] | None = None,
    flag: bool = False,
    pair: tuple[int, str] = (1, "a"),
    group: frozenset[int] = frozenset(),
    by_pair: dict[tuple[int, str], Fraction] | None = None,
    point: complex = 0j,
    name: str = None,  # type: ignore[assignment]  # noqa: RUF013 - as many write it
) -> None: ...


EVERYTHING = make_tool("everything", everything)


@pytest.mark.parametrize(
    ("name", "value", "checked"),
    [
        ("number", 5, 5),
        ("number", "6", 6),
        ("number", 5.0, 5),
        ("price", 3, Decimal(3)),
        ("price", "1.10", Decimal("1.10")),
        ("day", "2024-02-29", datetime.date(2024, 2, 29)),
        ("key", str(uuid.UUID(int=7)), uuid.UUID(int=7)),
        ("colour", "red", Colour.RED),
        ("lines", [{"sku": "a"}], [Line(sku="a")]),
        ("where", {"status": "open"}, Filter(status="open")),
        ("either", "5", "5"),
        ("many", (1, "a"), [1, "a"]),
        ("pair", ("7", "b"), (7, "b")),
        ("pair", [7, "b"], (7, "b")),
        ("group", [1, "2", 1], frozenset({1, 2})),
        ("group", {1}, frozenset({1})),
        ("by_pair", {(1, "a"): "1/3"}, {(1, "a"): Fraction(1, 3)}),
        ("point", "1+2j", 1 + 2j),
        ("name", None, None),
    ],
)
def test_values_become_what_the_hint_says(name: str, value: Any, checked: Any) -> None:
    assert EVERYTHING.validate({name: value}) == {name: checked}


def test_left_out_arguments_keep_the_functions_own_defaults() -> None:
    assert EVERYTHING.validate({}) == {}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"number": "five"}, "argument 'number' must be a whole number (int), got 'five' (str)"),
        ({"number": 1.5}, "argument 'number' must be a whole number (int), got 1.5 (float)"),
        ({"name": 5}, "argument 'name' must be a string (str), got 5 (int)"),
        ({"flag": "maybe"}, "argument 'flag' must be true or false (bool)"),
        ({"size": 0}, "argument 'size' must be greater than 0, got 0 (int)"),
        ({"colour": "blue"}, "argument 'colour' must be 'red'"),
        ({"either": [1]}, "argument 'either' must be int | str, got [1] (list)"),
        ({"many": [1, None]}, "argument 'many[1]' must be int | str, got None (NoneType)"),
        ({"lines": [{"sku": "a"}, {}]}, "argument 'lines[1].sku' is missing"),
        ({"pair": 5}, "argument 'pair' must be a tuple, got 5 (int)"),
        ({"pair": (1,)}, "argument 'pair[1]' is missing"),
        ({"group": 5}, "argument 'group' must be a frozenset, got 5 (int)"),
        ({"where": {"status": "lost"}}, "argument 'where.status' must be 'open' or 'closed'"),
        (
            {"day": datetime.datetime(2026, 1, 2, 3)},
            "got datetime.datetime(2026, 1, 2, 3, 0) (datetime): write .date() after it",
        ),
        ({"day": "2026-01-02T03:00"}, "must be a date, without a time, got '2026-01-02T03:00'"),
        ({"day": "soon"}, "argument 'day' must be a date, as in \"2026-01-31\", got 'soon' (str)"),
        ({"price": "dear"}, "argument 'price' must be a number (Decimal), got 'dear' (str)"),
        ({"key": "7"}, "argument 'key' must be a UUID, got '7' (str)"),
        ({"name": 5}, "argument 'name' must be a string (str), got 5 (int): write str(...) for it"),
        ({"numbr": 1}, "there is no argument 'numbr' (did you mean 'number'?). The signature"),
        ({"zzz": 1}, "there is no argument 'zzz'."),
    ],
)
def test_wrong_arguments_are_explained_in_plain_words(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        EVERYTHING.validate(arguments)

    message = str(caught.value)
    assert text in message
    assert f"The signature is {EVERYTHING.signature}" in message
    assert "pydantic" not in message


def test_argument_that_was_meant_is_not_called_missing() -> None:
    def refund(order_id: int, reason: str) -> None: ...

    with pytest.raises(InvalidArguments) as caught:
        make_tool("refund", refund).validate({"orderid": 1, "reson": "late"})

    assert str(caught.value) == (
        "there is no argument 'orderid' (did you mean 'order_id'?); "
        "there is no argument 'reson' (did you mean 'reason'?). "
        "The signature is refund(order_id: int, reason: str) -> None"
    )


def test_missing_arguments_are_named() -> None:
    def refund(order_id: int, reason: str) -> None: ...

    with pytest.raises(InvalidArguments) as caught:
        make_tool("refund", refund).validate({"reason": "late"})

    assert str(caught.value) == (
        "argument 'order_id' is missing. "
        "The signature is refund(order_id: int, reason: str) -> None"
    )


def test_many_faults_give_one_short_message() -> None:
    with pytest.raises(InvalidArguments, match="there may be more") as caught:
        EVERYTHING.validate({f"x{number}" * 100: "y" * 10_000 for number in range(100)})

    assert len(str(caught.value)) < 2_000


FLOODS: list[Any] = [
    {"many": [None] * 300_000},
    {"lines": [{}] * 300_000},
    {"number": dict.fromkeys(map(str, range(300_000)))},
    {"number": set(map(str, range(300_000)))},
    {"number": b"x" * 10_000_000},
    {"number": "x" * 10_000_000},
    {"name": 10**300_000},
    {"number": "1" * 10_000_000},
    {"price": "1" * 10_000_000},
    {"price": "1" * 10_000_000 + "x"},
    {"where": dict.fromkeys(map(str, range(300_000)), 1)},
    dict.fromkeys(map(str, range(300_000))),
]


@pytest.mark.parametrize("number", range(len(FLOODS)))
def test_floods_of_faults_get_a_short_and_prompt_answer(number: int) -> None:
    began = time.thread_time()
    with pytest.raises(InvalidArguments) as caught:
        EVERYTHING.validate(FLOODS[number])

    assert time.thread_time() - began < 5
    assert len(str(caught.value)) < 1_500


def test_extra_arguments_are_checked_by_the_hint_of_kwargs() -> None:
    def note(**labels: int) -> None: ...

    made = make_tool("note", note)

    assert made.validate({"a": "1"}) == {"a": 1}
    with pytest.raises(InvalidArguments, match="argument 'b' must be a whole number"):
        made.validate({"b": "x"})
    assert made.input_schema["additionalProperties"] is True


@pytest.mark.parametrize("text", ["1E+999999999", " -1.5e0_100001 ", "9" * 200_000])
def test_a_text_makes_no_larger_decimal_than_a_value_can(text: str) -> None:
    def pay(price: Decimal, others: list[Priced] | None = None, note: str = "") -> None: ...

    made = make_tool("pay", pay)

    assert made.validate({"price": "1e10", "note": text})["price"] == Decimal("1e10")
    for arguments in ({"price": text}, {"price": 1, "others": [{"price": text}]}):
        with pytest.raises(InvalidArguments, match="too large a number"):
            made.validate(arguments)


def test_types_that_are_used_within_themselves_keep_their_bounds() -> None:
    def take(closed: Closed, both: tuple[Closed, Closed], counts: Counts) -> None: ...

    tool = make_tool("take", take)
    part = {"count": "1"}
    given = {"closed": {"count": 2, "parts": [part]}, "both": [part, part], "counts": {"1": {}}}
    taken = tool.validate(given)
    assert taken["closed"].parts == [*taken["both"][:1]] == [Closed(count=1)]
    assert taken["counts"] == {1: {}}
    colliding: dict[str, Any] = {str((2**61 - 1) * one): {} for one in range(1, 100)}
    for key, value, problem in (
        ("closed", {"count": 2, "parts": [{**part, "x": 1}]}, r"parts\[0\].x' is not expected"),
        ("closed", {"count": 2, "parts": [dict.fromkeys(map(str, range(99)))]}, "28 keys"),
        ("counts", {"1": colliding}, "chosen to collide"),
    ):
        with pytest.raises(InvalidArguments, match=problem):
            tool.validate({**given, key: value})


class Part(BaseModel):
    counts: dict[int, int] = {}


@pydantic.dataclasses.dataclass
class Piece:
    counts: dict[int, int] = Field(default_factory=dict)


class Whole(BaseModel):
    parts: list[Part] = []
    wholes: list[Whole] = []
    piece: Piece = Piece()


def test_models_within_models_keep_their_bounds() -> None:
    """Though pydantic has validators of their classes already."""

    def take(whole: Whole) -> None: ...

    tool = make_tool("take", take)
    colliding = {"counts": {str((2**61 - 1) * one): 1 for one in range(1, 100)}}
    for given in ({"parts": [colliding]}, {"piece": colliding}, {"wholes": [{"piece": colliding}]}):
        with pytest.raises(InvalidArguments, match="chosen to collide"):
            tool.validate({"whole": given})
    assert Part.__pydantic_complete__


@pytest.mark.parametrize("name", ["type", "keys_schema", "ref", "fields", "definitions"])
def test_fields_may_have_the_names_of_keys_of_a_schema(name: str) -> None:
    make: Any = create_model
    record: Any = make("Record", **{name: (list[int], ...)})

    def take(one: Any, many: Any) -> None: ...

    hints: dict[str, Any] = {"one": record, "many": tuple[record, ...]}
    take.__annotations__ = hints
    tool = make_tool("take", take)
    given = {name: ["1"]}
    made = record(**given)
    assert tool.validate({"one": given, "many": [given]}) == {"one": made, "many": (made,)}
    with pytest.raises(InvalidArguments, match=rf"'one.{name}\[0\]' must be a whole number"):
        tool.validate({"one": {name: ["x"]}, "many": []})


def test_an_iterable_is_checked_before_the_tool_draws_its_items() -> None:
    def take(ids: Iterable[int]) -> None: ...

    tool = make_tool("take", take)
    assert tool.validate({"ids": ["1", 2]}) == {"ids": [1, 2]}
    with pytest.raises(InvalidArguments, match=r"'ids\[1\]' must be a whole number"):
        tool.validate({"ids": [1, "two"]})
    with pytest.raises(InvalidArguments, match="chosen to collide"):
        tool.validate({"ids": [str((2**61 - 1) * one) for one in range(1, 100)]})


def test_the_message_of_a_validators_value_error_is_kept() -> None:
    def even(value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value

    def tool(x: Any) -> None: ...

    tool.__annotations__["x"] = Annotated[int, BeforeValidator(even)]

    with pytest.raises(InvalidArguments, match="argument 'x' must be even, got 3"):
        make_tool("t", tool).validate({"x": 3})


def test_parameters_may_have_the_names_of_pydantic_attributes() -> None:
    def odd(schema: int, copy: int, model_config: int, _hidden: int = 1) -> None: ...

    arguments = {"schema": 1, "copy": 2, "model_config": 3, "_hidden": 4}
    assert make_tool("odd", odd).validate(arguments) == arguments


def test_refusals_survive_pickling_and_keep_their_kind() -> None:
    refused = pickle.loads(pickle.dumps(InvalidArguments("no")))

    assert (type(refused), str(refused), refused.kind) == (
        InvalidArguments,
        "no",
        "invalid_arguments",
    )
    assert ToolCallRefused("x").kind == "permission_denied"
    assert ToolCallRefused("x", kind="limit").kind == "limit"
    with pytest.raises(
        ValueError, match="is not a kind of failure; expected one of error, unknown_tool"
    ):
        ToolCallRefused("x", kind="nonsense")  # type: ignore[arg-type]  # the point
