"""Arguments made to cost time or memory, each compared with honest ones of its size."""

from __future__ import annotations

import collections
import dataclasses
import functools
import gc
import re
import time
import tracemalloc
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import core_schema

from codemode.tools import InvalidArguments, Tool, make_tool
from codemode.tools.guard import guarded_validator
from codemode.values import decode, encode
from tests.support.collisions import PRIME, cached_hashes, colliding_slots
from tests.support.marks import deep_except

# Costs are CPU time. On a busy machine, the same CPU time takes many times longer by the clock.
pytestmark = pytest.mark.timeout(600)

SIZE = 64 * 1024


class Row(TypedDict):
    id: int
    name: str
    amount: Decimal
    at: datetime


class Order(BaseModel):
    """A record without required keys, with a set in it."""

    ids: set[int] = set()
    parts: list[Order] = []


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int = 0
    name: str = ""


@dataclasses.dataclass(frozen=True)
class Point:
    x: int = 0
    y: int = 0


type Id = int
type Nested = frozenset[Nested] | int

validated: list[Any] = []


def note(value: Any) -> Any:
    validated.append(value)
    return value


type Noted = frozenset[Noted] | Annotated[int, pydantic.AfterValidator(note)]


@pydantic.dataclasses.dataclass
class Basket:
    ids: frozenset[int] = frozenset()


HINTS: dict[str, Any] = {
    "int": int,
    "float": float,
    "Decimal": Decimal,
    "Fraction": Fraction,
    "str": str,
    "bytes": bytes,
    "date": date,
    "timedelta": timedelta,
    "UUID": UUID,
    "Literal": Literal[1, "a"],
    "list": list,
    "list[int]": list[int],
    "list[Id]": list[Id],
    "list[Decimal]": list[Decimal],
    "list[str | None]": list[str | None],
    "list[int | Decimal | date | UUID]": list[int | Decimal | date | UUID],
    "list[tuple[int, int]]": list[tuple[int, int]],
    "list[frozenset[int]]": list[frozenset[int]],
    "list[Fraction]": list[Fraction],
    "list[complex]": list[complex],
    "tuple": tuple,
    "tuple[int, str]": tuple[int, str],
    "complex": complex,
    "list[Row]": list[Row],
    "list[Order]": list[Order],
    "list[Point]": list[Point],
    "list[list[int]]": list[list[int]],
    "tuple[int, ...]": tuple[int, ...],
    "deque[int]": collections.deque[int],
    "Sequence[float]": collections.abc.Sequence[float],
    "set": set,
    "set[int]": set[int],
    "set[Decimal]": set[Decimal],
    "set[UUID]": set[UUID],
    "set[timedelta]": set[timedelta],
    "set[tuple[int, int]]": set[tuple[int, int]],
    "set[Strict]": set[Strict],
    "set[Fraction]": set[Fraction],
    "set[complex]": set[complex],
    "set[frozenset[int]]": set[frozenset[int]],
    "frozenset": frozenset,
    "Nested": Nested,
    "frozenset[float | int]": frozenset[float | int],
    "frozenset[tuple[int, Decimal]]": frozenset[tuple[int, Decimal]],
    "dict[tuple[int, int], int]": dict[tuple[int, int], int],
    "dict": dict,
    "dict[str, int]": dict[str, int],
    "dict[str, Any]": dict[str, Any],
    "dict[int, float]": dict[int, float],
    "dict[Decimal, None]": dict[Decimal, None],
    "dict[UUID, int]": dict[UUID, int],
    "defaultdict[int, int]": collections.defaultdict[int, int],
    "OrderedDict[int, int]": collections.OrderedDict[int, int],
    "Counter[int]": collections.Counter[int],
    "Mapping[int, int]": collections.abc.Mapping[int, int],
    "Order": Order,
    "Strict": Strict,
    "Point": Point,
    "Basket": Basket,
    "int | list[int] | set[int]": int | list[int] | set[int],
    "Json": pydantic.Json[set[int]],
}

HONEST: dict[str, Callable[[int], Any]] = {
    "integers": lambda size: list(range(100, 100 + size // 3)),
    "small integers": lambda size: [7] * size,
    "set of integers": lambda size: set(range(100, 100 + size // 3)),
    "decimals": lambda size: [Decimal(f"{n}.50") for n in range(100, 100 + size // 11)],
    "texts of numbers": lambda size: [str(n) for n in range(1000, 1000 + size // 6)],
    "uuids": lambda size: [UUID(int=n << 70) for n in range(size // 19)],
    "rows": lambda size: [
        {"id": n, "name": "x", "amount": Decimal("1.5"), "at": datetime(2024, 1, 1)}
        for n in range(size // 60)
    ],
    "empty rows": lambda size: [{}] * size,
    "empty lists": lambda size: [[]] * size,  # as sets, where a hint has sets in a list
    "points": lambda size: [{"x": n, "y": n} for n in range(size // 10)],
    "pairs": lambda size: [[n, n] for n in range(size // 7)],
    "tuples": lambda size: [(n, n) for n in range(size // 11)],
    "one pair": lambda size: (5, "a"),
    "set of pairs": lambda size: frozenset((n, n) for n in range(size // 11)),
    "counts by pair": lambda size: {(n, n): 1 for n in range(size // 12)},
    "frozensets": lambda size: [frozenset({n, n + 1}) for n in range(size // 11)],
    "fractions": lambda size: [Fraction(n, n + 1) for n in range(1, size // 10)],
    "complex": lambda size: [complex(n, n) for n in range(size // 23)],
    "one complex": lambda size: 1j,
    "counts": lambda size: dict.fromkeys(range(100, 100 + size // 8), 1),
    "counts by text": lambda size: {str(n): 1 for n in range(1000, 1000 + size // 7)},
    "amounts": lambda size: dict.fromkeys(Decimal(n) for n in range(size // 12)),
    "parts": lambda size: {"ids": list(range(100, 100 + size // 3))},
    "record": lambda size: {"id": 1, "name": "x" * size},
    "one text": lambda size: "x" * size,
    "one number": lambda size: 5,
    "one text of a number": lambda size: "5",
    "one letter": lambda size: "a",
    "one date": lambda size: "2024-01-01",
    "one uuid": lambda size: UUID(int=5),
    "counts by uuid": lambda size: {str(UUID(int=n)): 1 for n in range(size // 39)},
    "json": lambda size: str(list(range(1000, 1000 + size // 6))),
}

HOSTILE: dict[str, Callable[[int], Any]] = {
    "decimals of large exponents": lambda size: [Decimal("1E100000")] * (size // 14),
    "decimals at the bound": lambda size: [Decimal("1E308")] * (size // 10),
    "texts of large exponents": lambda size: ["1E308"] * (size // 6),
    "one text of a huge exponent": lambda size: "1E999999999",
    "one integer": lambda size: 2 ** (8 * size - 100),
    "integers at the bound": lambda size: [10**4299] * (size // 1800),
    "texts of integers": lambda size: ["9" * 4300] * (size // 4310),
    "one text of digits": lambda size: "9" * size,
    "floats": lambda size: [1e308] * (size // 9),
    "list of one hash": lambda size: [n * PRIME for n in range(1, size // 10)],
    "pairs of one hash": lambda size: [(n * PRIME, 1) for n in range(1, size // 16)],
    "lists of one hash": lambda size: [[n * PRIME, 1] for n in range(1, size // 12)],
    "texts of pairs of one hash": lambda size: [
        (str(n * PRIME), "1") for n in range(1, size // 30)
    ],
    "frozensets of one hash": lambda size: [
        frozenset({n * PRIME, 1}) for n in range(2, size // 16)
    ],
    "frozensets of few hashes": lambda size: [
        [*(3 + m * PRIME for m in range(15)), n // 8 + (n % 8) * PRIME] for n in range(size // 150)
    ],
    "fractions of one hash": lambda size: [
        Fraction(n * PRIME + 1, n * PRIME + 2) for n in range(1, size // 24)
    ],
    "texts of fractions of one hash": lambda size: [
        f"{n * PRIME + 1}/{n * PRIME + 2}" for n in range(1, size // 48)
    ],
    "complex of one hash": lambda size: [complex(1e13 - 1000003 * n, n) for n in range(size // 23)],
    "one decimal in parts": lambda size: (0, (1,), 999_999_999),
    "decimals in parts": lambda size: [(0, (1,), 100_000)] * (size // 20),
    "texts of one hash": lambda size: [str(n * PRIME) for n in range(1, size // 24)],
    "text keys of one hash": lambda size: dict.fromkeys(
        (str(n * PRIME) for n in range(1, size // 24)), 1
    ),
    "uuids of one hash": lambda size: [UUID(int=n * PRIME) for n in range(1, size // 19)],
    "texts of uuids of one hash": lambda size: [
        str(UUID(int=n * PRIME)) for n in range(1, size // 38)
    ],
    "key uuids of one hash": lambda size: dict.fromkeys(
        (str(UUID(int=n * PRIME)) for n in range(1, size // 38)), 1
    ),
    "collisions in a field": lambda size: {"ids": [n * PRIME for n in range(1, size // 10)]},
    "collisions deep inside": lambda size: {
        "parts": [{"parts": [{"ids": [n * PRIME for n in range(1, size // 10)]}]}]
    },
    "collisions in json": lambda size: str([n * PRIME for n in range(1, size // 24)]),
    "collisions before what has no hash": lambda size: [
        *(n * PRIME for n in range(1, size // 10)),
        [],
    ],
    "collisions before what is wrong": lambda size: [
        *(n * PRIME for n in range(1, size // 10)),
        "x",
    ],
    "lists of collisions": lambda size: [[n * PRIME for n in range(1, size // 10)]],
    "wrong items": lambda size: ["x"] * (size // 2),
    "wrong records": lambda size: [{}] * size,
    "wrong lists": lambda size: [[]] * size,
    "wrong values": lambda size: {f"{n:x}": "x" for n in range(size // 7)},
    "too many keys": lambda size: {f"{n:x}": None for n in range(size // 6)},
}


def taking(hint: Any) -> Tool:
    def take(x: Any) -> None: ...

    take.__annotations__["x"] = hint
    return make_tool("take", take)


def attempt(tool: Tool, data: bytes) -> dict[str, Any]:
    with suppress(InvalidArguments):
        return tool.validate(decode(data))
    return {}


def cost(tool: Tool, data: bytes) -> float:
    """Return the CPU seconds of decoding and checking the arguments, or of refusing them."""
    gc.collect()
    began = time.thread_time()
    attempt(tool, data)
    return time.thread_time() - began


def peak(tool: Tool, data: bytes) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        attempt(tool, data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@functools.cache
def written(shape: Callable[[int], Any], size: int) -> bytes:
    data = encode({"x": shape(size)})
    assert len(data) < 1.2 * size
    return data


def arguments(
    shapes: dict[str, Callable[[int], Any]], size: int = SIZE
) -> Iterator[tuple[str, bytes]]:
    return ((name, written(shape, size)) for name, shape in shapes.items())


@pytest.mark.parametrize("name", deep_except(HINTS, "list[int]"))
def test_hostile_arguments_cost_what_honest_ones_cost(name: str) -> None:
    tool = taking(HINTS[name])
    most = max(0.03, 10 * max(cost(tool, data) for _, data in arguments(HONEST)))
    dear = [data for _, data in arguments(HOSTILE) if cost(tool, data) > most]
    # Measured twice, so that a short load of the machine is not mistaken for the value's cost.
    assert [data[:40] for data in dear if cost(tool, data) > most] == []


@pytest.mark.parametrize("name", deep_except(HINTS, "list[int]"))
def test_hostile_arguments_need_the_memory_of_honest_ones(name: str) -> None:
    # Smaller arguments, because tracemalloc makes it slow.
    tool, size = taking(HINTS[name]), SIZE // 4
    most = max(peak(tool, data) for _, data in arguments(HONEST, size))
    peaks = {shape: peak(tool, data) for shape, data in arguments(HOSTILE, size)}
    assert {shape: found for shape, found in peaks.items() if found > 2 * most} == {}


@pytest.mark.parametrize("name", HINTS)
def test_a_guarded_validator_has_the_rules_of_its_hint(name: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(HINTS[name])
    guarded = guarded_validator(adapter)

    def outcome(validate: Callable[[Any], Any], value: Any) -> Any:
        try:
            return validate(value)
        except (pydantic.ValidationError, TypeError):
            # pydantic 2.12 raises TypeError for a Fraction of a list.
            return pydantic.ValidationError

    taken = 0
    for shape in HONEST.values():
        value = shape(600)
        expected = outcome(adapter.validate_python, value)
        found = outcome(guarded.validate_python, value)
        assert (type(found), found) == (type(expected), expected)
        taken += expected is not pydantic.ValidationError
    assert taken


def test_numbers_that_share_hash_slots_are_refused() -> None:
    tool = taking(list[int])
    keys = colliding_slots(15)
    with pytest.raises(InvalidArguments, match="argument 'x' must not hold numbers that were"):
        tool.validate({"x": keys})
    tool.validate({"x": list(range(len(keys)))})
    tool.validate({"x": [5, 6] * len(keys)})


def test_members_are_bounded_where_a_cache_would_keep_their_hashes() -> None:
    tool = taking(set[Fraction])
    assert tool.validate({"x": ["1/3", Fraction(1, 2), 3]})["x"] == {
        Fraction(1, 3),
        Fraction(1, 2),
        Fraction(3),
    }
    large = [Fraction(PRIME * n + 1, PRIME * n + 2) for n in range(1, 40)]
    held = cached_hashes()
    for hint in (set[Fraction], dict[Fraction, int], frozenset[tuple[int, Fraction]]):
        for value in (large, [[1, one] for one in large], dict.fromkeys(map(str, large), 1)):
            with pytest.raises(InvalidArguments):
                taking(hint).validate({"x": value})
    with pytest.raises(InvalidArguments, match="must hold Fractions of at most 32 bits"):
        tool.validate({"x": large})
    assert taking(list[Fraction]).validate({"x": large})["x"] == large
    assert cached_hashes() == held


def test_tuples_and_frozensets_in_a_list_are_looked_at_where_they_have_a_hash() -> None:
    collide = "must not hold numbers that were chosen to collide"
    pairs = [(n * PRIME, "a") for n in range(40)]
    for hint in (list[tuple[int, str]], set[tuple[int, str]], list[Any]):
        with pytest.raises(InvalidArguments, match=collide):
            taking(hint).validate({"x": pairs})
    with pytest.raises(InvalidArguments, match=collide):
        taking(set[frozenset[int]]).validate({"x": [[n * PRIME, 1] for n in range(2, 40)]})
    rows = [(1, [2])] * 40
    assert taking(list[tuple[int, list[int]]]).validate({"x": rows})["x"] == rows
    same = [(1, "a")] * 400 + [frozenset({1})] * 400
    assert taking(list[Any]).validate({"x": same})["x"] == same


def test_a_recursive_set_is_validated_in_time_linear_in_its_depth() -> None:
    validated.clear()
    value: Any = [1]
    for _ in range(40):
        value = [value, *range(2)]
    expected: Any = frozenset({1})
    for _ in range(40):
        expected = frozenset({expected, 0, 1})
    assert taking(Noted).validate({"x": value}) == {"x": expected}
    assert len(validated) < 2 * 40 * 100
    # What is in a dict within, and what comes after, is checked all the same.
    with pytest.raises(InvalidArguments, match="chosen to collide"):
        taking(dict[int, set[int]]).validate({"x": {1: [n * PRIME for n in range(40)]}})
    with pytest.raises(InvalidArguments, match="chosen to collide"):
        taking(tuple[set[int], set[int]]).validate({"x": ([1], [n * PRIME for n in range(40)])})
    with pytest.raises(InvalidArguments, match="chosen to collide"):
        taking(set[frozenset[int]]).validate({"x": [[1], [n * PRIME for n in range(40)]]})


def test_more_records_than_an_argument_may_have_are_refused() -> None:
    tool = taking(list[Point])
    assert len(tool.validate({"x": [{}] * 100_000})["x"]) == 100_000
    with pytest.raises(InvalidArguments, match="more than 250,000 lists and dicts; send fewer"):
        tool.validate({"x": [{}] * 300_000})


@pytest.mark.parametrize("hint", [int, Decimal, float])
def test_a_typed_number_is_bounded_and_the_error_names_the_bound(hint: Any) -> None:
    tool = taking(hint)
    for number in (10**4300, -(10**4300), Decimal("1E309"), Decimal("1E-309")):
        with pytest.raises(
            InvalidArguments, match="at most 4,300 digits, and Decimals from 1E-308"
        ):
            tool.validate({"x": number})
    for parts in ((0, (1,), 309), (0, [1], -400), (0, (1,) * 5_000, 0)):
        with pytest.raises(InvalidArguments, match="Decimal" if hint is Decimal else "got"):
            tool.validate({"x": parts})
    taking(Any).validate({"x": 10**4300})
    taking(tuple[int, tuple[int], int]).validate({"x": (0, (1,), 309)})
    with pytest.raises(InvalidArguments, match="at most 4,300 digits"):
        taking(Fraction).validate({"x": Fraction(10**4300)})
    taking(int | Decimal).validate({"x": 10**4300 - 1})
    assert taking(Decimal).validate({"x": Decimal("-9E308")})["x"] == Decimal("-9E308")


def test_every_container_of_pydantic_is_guarded() -> None:
    # Every container with keys is guarded, whatever its name.
    with_items = {
        re.findall(r"'([\w-]+)'", str(kind.__annotations__["type"]))[0]
        for kind in vars(core_schema).values()
        if typing.is_typeddict(kind) and "items_schema" in kind.__annotations__
    }
    assert with_items <= {"deque", "frozenset", "generator", "list", "set", "tuple"}
