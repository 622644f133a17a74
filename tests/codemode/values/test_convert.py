from __future__ import annotations

import asyncio
import enum
import functools
import math
import pathlib
import types
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

import pydantic
import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils.functional import SimpleLazyObject, lazystr
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from codemode.errors import ValueEncodingError
from codemode.values import MAX_DECIMAL_EXPONENT, MAX_INT_BITS, decode, encode, register_converter


@pytest.fixture(autouse=True)
def only_own_converters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the converters of other packages for the test, and those of the test afterwards."""
    monkeypatch.setattr("codemode.values.convert._converters", ())


class Colour(enum.Enum):
    RED = "red"
    DEEP = (1, 2)


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Line:
    name: str
    price: Decimal
    tags: tuple[str, ...] = ()
    kind: ClassVar[str] = "line"


@dataclass(slots=True, frozen=True)
class Order:
    lines: list[Line] = field(default_factory=list)


class Customer(pydantic.BaseModel):
    name: str
    since: date


class Shout(str):
    def __str__(self) -> str:
        return "changed"


class Whole(int):
    def __int__(self) -> int:
        return 0


Pair = namedtuple("Pair", "a b")


class Group(frozenset[Any]):
    pass


class Third(Fraction):
    pass


class Brussels(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return timedelta(hours=2) if moment else None

    def tzname(self, moment: datetime | None) -> str | None:
        return None

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None


class Moment(datetime):
    pass


@pytest.mark.parametrize(
    "value, expected",
    [
        (Pair(1, 2), (1, 2)),
        ({Pair(Colour.RED, 2): Pair(1, [2])}, {("red", 2): (1, [2])}),
        (Group({Level.LOW}), frozenset({1})),
        (Third(1, 3), Fraction(1, 3)),
        (pathlib.PurePosixPath("a", "b"), "a/b"),
        ({pathlib.Path("a"): range(3, 0, -1)}, {"a": [3, 2, 1]}),
        (Colour.RED, "red"),
        (Colour.DEEP, (1, 2)),
        ({Colour.DEEP: 1}, {(1, 2): 1}),
        ({Colour.RED: Level.LOW}, {"red": 1}),
        ({Level.LOW, "x"}, {1, "x"}),
        (Order([Line("a", Decimal("1.50"), ("x",))]), {
            "lines": [{"name": "a", "price": Decimal("1.50"), "tags": ("x",)}]
        }),
        (Customer(name="Ann", since=date(2024, 1, 1)), {"name": "Ann", "since": date(2024, 1, 1)}),
        (Shout("plain"), "plain"),
        (mark_safe("<b>"), "<b>"),
        ({Shout("k"): Whole(5)}, {"k": 5}),
        (bytearray(b"x"), b"x"),
        (memoryview(b"xyz")[::2], b"xz"),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (gettext_lazy("hello"), "hello"),
        ({"x": lazystr("y")}, {"x": "y"}),
        (Moment(2024, 1, 2, 3, fold=1), datetime(2024, 1, 2, 3, fold=1)),
    ],
)  # fmt: skip
def test_simpler_types_travel_as_documented(value: Any, expected: Any) -> None:
    back = decode(encode(value))
    assert back == expected
    assert type(back) is type(expected)
    if isinstance(expected, dict):
        assert list(map(type, back)) == list(map(type, expected))
        assert list(map(type, back.values())) == list(map(type, expected.values()))


def test_a_foreign_zone_travels_as_its_offset_at_that_moment() -> None:
    back = decode(encode(datetime(2024, 1, 1, 12, tzinfo=Brussels())))
    assert back.isoformat() == "2024-01-01T12:00:00+02:00"


async def fetch() -> None: ...


def generator() -> Iterator[int]:
    yield 1


class Opaque:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def deep_tuple(levels: int) -> tuple[Any, ...]:
    value: tuple[Any, ...] = ()
    for _ in range(levels - 1):
        value = (value,)
    return value


@pytest.mark.parametrize(
    "value, path, help",
    [
        ({"orders": [1, 2, Line("x", Opaque())]}, "value['orders'][2].price: ", "a dict, a list"),  # type: ignore[arg-type]  # the point
        ([{"a": ({3: object()},)}], "value[0]['a'][0][3]: ", "object cannot travel"),
        ({"s": "\ud800"}, "value['s']: ", '.encode("utf-8", "replace")'),
        ({"\udfff": 1}, "value: the key ", "surrogate"),
        ([{1: "a\ud800"}], "value[0][1]: ", "at 1"),
        ({"\ud800"}, "value: the member ", "surrogate"),
        ([generator()], "value[0]: ", "use list(...)"),
        (iter([1]), "value: ", "use list(...)"),
        (range(10**30), "value: ", "more than 2,097,152 items"),
        ({range(3)}, "value: the member range(0, 3): ", "a tuple of them"),
        ({}.keys(), "value: ", "use list(...)"),
        (types.MappingProxyType({}), "value: ", "use dict(...)"),
        (ValueError("x"), "value: ", "use str(...)"),
        (print, "value: ", "the function print cannot travel; call it"),
        (generator, "value: ", "call it"),
        (functools.partial(print), "value: ", "call it"),
        ("".join, "value: ", "call it"),
        (Line, "value: ", "the class Line"),
        (math, "value: ", "the module 'math'"),
        ([Fraction(1, 2**8192)], "value[0]: ", "a Fraction of 8,193 bits"),
        ({Fraction(1, 2**32): 1}, "value: the key Fraction(", "a Fraction in a key has at most 32"),
        ({(0, Fraction(-(2**32)))}, "value: the member (0, ", "a Fraction in a member has at"),
        ({(1, Opaque()): 1}, "value: the key (1, <Opaque>): ", "an Opaque object cannot travel"),
        ({(1, Line): 1}, "value: the key (1, ", "the class Line"),
        ({("\ud800",)}, "value: the member ", "surrogate"),
        ({(Colour.RED, 1): 1, ("red", 1): 2}, "value: ", "two keys become ('red', 1)"),
        ({frozenset({Colour.RED, "red"}): 1}, "value: the key ", "two members of the frozenset"),
        (frozenset({Colour.RED, "red"}), "value: ", "two members of the frozenset"),
        ({deep_tuple(65): 1}, "value: the key ", "nested over 64 deep"),
        ({Opaque(): 1}, "value: the key <Opaque>: ", "an Opaque object cannot travel"),
        ({Colour.RED: 1, "red": 2}, "value: ", "two keys become 'red'"),
        ({Colour.RED, "red"}, "value: ", "two members"),
        ([2 ** (MAX_INT_BITS + 1)], "value[0]: ", "bits"),
        ({2 ** (MAX_INT_BITS + 1): 1}, "value: the key an int of ", "bits"),
        ([Decimal((0, (1,), MAX_DECIMAL_EXPONENT + 1))], "value[0]: ", "exponent"),
        (Decimal("1" * 100_001), "value: ", "digits"),
        ([time(1, tzinfo=Brussels())], "value[0]: ", "no offset without a date"),
    ],
)
def test_a_value_that_cannot_travel_is_named_with_its_path_and_the_fix(
    value: Any, path: str, help: str
) -> None:
    with pytest.raises(ValueEncodingError) as caught:
        encode(value)
    assert str(caught.value).startswith(path)
    assert help in str(caught.value)


def test_a_coroutine_is_reported_as_never_awaited() -> None:
    coroutine = fetch()
    with pytest.raises(ValueEncodingError, match=r"result\['x'\]: .*never awaited; write `await f"):
        encode({"x": coroutine}, path="result")
    coroutine.close()


async def test_a_future_is_reported_as_never_awaited() -> None:
    with pytest.raises(ValueEncodingError, match="never awaited"):
        encode(asyncio.get_running_loop().create_future())


def test_a_cycle_is_named_where_it_closes() -> None:
    value: dict[str, Any] = {"x": [1, {}]}
    value["x"][1]["back"] = value["x"]
    with pytest.raises(ValueEncodingError, match=r"^value\['x'\]\[1\]\['back'\]: is value\['x'\] "):
        encode(value)
    line = Line("x", Decimal(1))
    line.tags = (line,)  # type: ignore[assignment]  # a cycle through a dataclass
    with pytest.raises(ValueEncodingError, match=r"^value\.tags\[0\]: is value again; a cyclic"):
        encode(line)


def test_over_64_levels_are_refused_with_a_path_of_readable_length() -> None:
    value: Any = 0
    for _ in range(65):
        value = [value]
    with pytest.raises(ValueEncodingError, match="nested over 64 deep") as caught:
        encode(value)
    assert len(str(caught.value)) < 400
    encode(value, max_depth=65)


def test_shared_but_not_cyclic_parts_travel_until_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = [1]
    assert decode(encode([part, part])) == [[1], [1]]
    for _ in range(60):
        part = [part, part]  # type: ignore[list-item]  # 2**60 leaves
    with pytest.raises(ValueEncodingError, match="items"):
        encode(part)
    monkeypatch.setattr("codemode.values.encoding.MAX_ITEMS", 100_000)
    member = frozenset[Any]()
    for _ in range(25):
        member = frozenset({(member, 1), (member, 2)})  # which keeps its hash
    with pytest.raises(ValueEncodingError, match="items"):
        encode({member: 1})


def test_a_model_instance_shows_the_values_to_write() -> None:
    with pytest.raises(ValueEncodingError) as caught:
        encode({"user": User(username="x")})
    assert 'User.objects.filter(pk=...).values("id", "last_login", ' in str(caught.value)
    assert str(caught.value).startswith("value['user']: a User object cannot travel; ")


def test_a_queryset_and_a_manager_are_not_evaluated() -> None:
    # No database is allowed in this test: evaluating would raise.
    with pytest.raises(ValueEncodingError, match=r'add \.values\("id", "last_login", '):
        encode(User.objects.all())
    with pytest.raises(ValueEncodingError, match=r'\.values\("id", "last_login", '):
        encode(User.objects)
    with pytest.raises(ValueEncodingError, match=r"use list\(\.\.\.\)"):
        encode(User.objects.values("id"))


def test_a_lazy_object_is_not_evaluated() -> None:
    def evaluate() -> Any:
        raise AssertionError("evaluated")

    with pytest.raises(ValueEncodingError, match="SimpleLazyObject"):
        encode([SimpleLazyObject(evaluate)])


class Money:
    def __init__(self, amount: Any) -> None:
        self.amount = amount


def test_a_registered_converter_makes_its_type_travel() -> None:
    register_converter(Money, lambda money: {"amount": money.amount})
    assert decode(encode([Money(Decimal("1.5"))])) == [{"amount": Decimal("1.5")}]
    register_converter(Money, lambda money: money.amount)
    assert decode(encode(Money(5))) == 5
    with pytest.raises(ValueEncodingError, match=r"^value\[0\]: an object object cannot"):
        encode([Money(object())])


def test_a_converter_may_be_chosen_by_a_predicate_and_refuse_with_the_path() -> None:
    class Odd(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            raise KeyError(key)

        def __iter__(self) -> Iterator[str]:
            return iter(())

        def __len__(self) -> int:
            return 0

    def refuse(value: Any) -> Any:
        raise ValueEncodingError("too many rows; slice it")

    register_converter(lambda value: type(value) is Odd, refuse)
    with pytest.raises(ValueEncodingError, match=r"^value\['x'\]: too many rows; slice it$"):
        encode({"x": Odd()})


def test_a_converter_that_returns_its_own_type_is_refused() -> None:
    class Ping:
        pass

    register_converter(Ping, lambda value: Ping())
    with pytest.raises(ValueEncodingError, match="nested over"):
        encode(Ping())


def test_an_error_of_a_converter_reaches_the_caller() -> None:
    class Broken:
        pass

    def fail(value: Any) -> Any:
        raise LookupError("no database")

    register_converter(Broken, fail)
    with pytest.raises(LookupError, match="no database"):
        encode(Broken())


def test_a_pydantic_model_that_cannot_be_dumped_is_named() -> None:
    class Node(pydantic.BaseModel):
        children: list[Any] = []

        @pydantic.field_serializer("children")
        def fail(self, children: list[Any]) -> list[Any]:
            raise ValueError("broken serializer")

    with pytest.raises(ValueEncodingError, match=r"value: Node\.model_dump\(\) failed: .*broken"):
        encode(Node())


def test_a_queryset_type_can_be_registered() -> None:
    register_converter(
        lambda value: isinstance(value, QuerySet) and value.query.is_empty(),
        lambda value: list(value),
    )
    assert decode(encode(User.objects.none().values("id"))) == []
