from __future__ import annotations

import math
import subprocess
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import cbor2
import pytest
from hypothesis import given

import codemode
from codemode.values import MAX_INT_BITS, decode, encode
from tests.support.value_strategies import identity, values


def survives(value: Any) -> bool:
    data = encode(value)
    expected = identity(value)
    return bool(
        identity(decode(data)) == expected and identity(decode(data, trusted=True)) == expected
    )


@given(values)
def test_every_value_comes_back_the_same(value: Any) -> None:
    assert survives(value)


@pytest.mark.parametrize(
    "value",
    [
        2**400,
        -(2**400),
        2**63 - 1,
        2**63,
        2**64,
        -(2**63),
        -(2**64) - 1,
        [2**MAX_INT_BITS - 1],
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        5e-324,
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-NaN123"),
        Decimal("Infinity"),
        Decimal("-0"),
        Decimal("0E+3"),
        Decimal("1.500"),
        Decimal("1E-100000"),
        Decimal("7" * 100_000),
        "",
        "\x00é漢😀\ufffe",
        b"\x00\xff",
        {1: "int", "1": "text", b"1": "bytes", None: 0, 2.5: 1, Decimal("2.25"): 2},
        {True: 1, 0: False},
        {date(2024, 1, 1): {time(1): {timedelta(1): {UUID(int=5): []}}}},
        {-1: "a", -2: "b"},
        (),
        (1, [(2,), ("x", {3: ()})]),
        frozenset(),
        frozenset({frozenset({frozenset(), 1}), (2, frozenset({3}))}),
        {(1, "a"): 1, (1, ("b", None)): 2, frozenset({(1, 2)}): 3, (): 4, "text": 5, b"x": 6},
        {(x, y, z, w) for x in (-1, -2) for y in (-1, -2) for z in (-1, -2) for w in (-1, -2)},
        Fraction(-1, 3),
        Fraction(3),
        [Fraction(2**8192 - 1, 2**8191)],
        {Fraction(1, 2): 1, (Fraction(2**32 - 1, 2**32 - 3),): 2},
        complex(-0.0, math.inf),
        complex(math.nan, -0.0),
        {1j, 1 + 0.5j},
        {"b": 1, "a": 2, 3: 3, "0": 4},
        set(),
        {1, "a", None, Decimal("1.5"), datetime(2024, 1, 1)},
        datetime.min,
        datetime.max,
        datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Oslo")),
        datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Oslo"), fold=1),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30, seconds=7))),
        datetime(2024, 1, 1, tzinfo=timezone.utc, fold=1),  # noqa: UP017 as users write it
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(microseconds=-1)), fold=1),
        time(12, 30, tzinfo=ZoneInfo("Europe/Oslo")),
        time(12, 30, 1, 5, fold=1),
        timedelta.min,
        timedelta.max,
        timedelta(microseconds=-1),
        UUID(int=0),
    ],
)
def test_the_extremes_of_each_type_come_back_the_same(value: Any) -> None:
    assert survives(value)


def test_a_nested_dict_keeps_the_order_of_its_keys() -> None:
    value = {name: dict.fromkeys((3, 1, 2), 0) for name in "zaq"}
    back = decode(encode(value))
    assert list(back) == ["z", "a", "q"]
    assert list(back["a"]) == [3, 1, 2]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda v: [v],
        lambda v: {"k": v},
        lambda v: {7: v},
        lambda v: (v,),
        lambda v: frozenset({v}),
        lambda v: {(v,)},
    ],
    ids=["list", "text", "int", "tuple", "frozenset", "key"],
)
def test_sixty_levels_come_back_the_same(wrap: Any) -> None:
    if wrap((1,)) == {((1,),)}:
        value: Any = (1,)
        for _ in range(60):
            value = (value,)
        assert survives({value: {value}})
        return
    value = frozenset({1, 2})
    for _ in range(60):
        value = wrap(value)
    assert survives(value)


def test_ten_megabytes_of_text_come_back_the_same() -> None:
    value = ["x" * 10_000_000]
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    "keys",
    [
        range(100_000),
        range(0, 10**11, 10**6),
        [number << 20 for number in range(100_000)],
        [number / 8 for number in range(100_000)],
        [UUID(int=number << 64) for number in range(20_000)],
        [Decimal(number) / 100 for number in range(20_000)],
        [datetime(2024, 1, 1, tzinfo=timezone.utc) + timedelta(0, n) for n in range(20_000)],  # noqa: UP017
        [(x, y) for x in range(-150, 150) for y in range(-150, 150)],
        [(x, y, z) for x in range(-15, 15) for y in range(-15, 15) for z in range(-15, 15)],
        [(f"name {n}", date(2024, 1, 1 + n % 31), n / 8) for n in range(20_000)],
        [frozenset({n, n + m}) for n in range(-5_000, 5_000) for m in (1, 2)],
        [frozenset({(x, y), (x + 1, y)}) for x in range(100) for y in range(100)],
        [Fraction(n, m) for n in range(-150, 150) for m in (64, 81, 125) if n % (m % 7 + 2)],
        [complex(x, y) for x in range(-100, 100) for y in range(-100, 100)],
    ],
    ids=[
        *(
            "sequence",
            "millions",
            "powers",
            "eighths",
            "uuid",
            "cents",
            "seconds",
            "plane",
            "space",
        ),
        *("records", "pairs", "edges", "fractions", "complex"),
    ],
)
def test_large_dicts_and_sets_of_honest_keys_travel(keys: Any) -> None:
    value = dict.fromkeys(keys, 1)
    assert len(value) > 500
    assert decode(encode(value)) == value
    assert decode(encode(set(value))) == set(value)


def test_a_decimal_travels_whatever_the_context_of_its_writer() -> None:
    import decimal

    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 3
        assert survives(Decimal("1.23456E+40"))


def test_the_bytes_are_plain_cbor_where_cbor_has_the_type() -> None:
    value = {"a": [1, -2, 1.5, "é", b"x", None, True], "b": {}}
    assert encode(value) == cbor2.dumps(value)


def test_the_package_loads_without_the_modules_that_a_guest_lacks() -> None:
    script = (
        "import sys, codemode.values as v\n"
        "assert v.decode(v.encode({1: ['x']})) == {1: ['x']}\n"
        "heavy = {'pydantic', 'grpc', 'django', 'google', 'dataclasses', 'zoneinfo', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    root = Path(codemode.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=100
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
