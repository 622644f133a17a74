from __future__ import annotations

import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from time import thread_time as time_of_thread
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from codemode.errors import ValueEncodingError
from codemode.values import decode, encode, to_text
from tests.support.value_strategies import values


@pytest.mark.parametrize(
    "value, text",
    [
        ("plain é", "plain é"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (2**400, str(2**400)),
        (-0.0, "-0.0"),
        (math.nan, "null"),
        ([math.inf, -math.inf], "[null, null]"),
        (Decimal("1.50"), '"1.50"'),
        (date(2024, 1, 2), '"2024-01-02"'),
        (datetime(2024, 7, 2, 3, tzinfo=ZoneInfo("Europe/Oslo")), '"2024-07-02T03:00:00+02:00"'),
        (time(1, 2), '"01:02:00"'),
        (timedelta(1, 7200), '"P1DT2H"'),
        (timedelta(0), '"PT0S"'),
        (timedelta(microseconds=-1), '"-PT0.000001S"'),
        (timedelta.min, '"-P999999999D"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (b"\xff", '"/w=="'),
        ({3, 1, 2}, "[1, 2, 3]"),
        ({"b", "a"}, '["a", "b"]'),
        ({"b", 2, None}, '[null, 2, "b"]'),
        ({"ü": ["é"]}, '{"ü": ["é"]}'),
        ({1: 2, None: 3, False: 4}, '{"1": 2, "null": 3, "false": 4}'),
        ({"1": "a", 1: "b"}, '{"1": "a", "1 (int)": "b"}'),
        ({Decimal("1.0"): {date(2024, 1, 1): 0}}, '{"1.0": {"2024-01-01": 0}}'),
        ((1, (2, "a")), '[1, [2, "a"]]'),
        (frozenset({3, 1, 2}), "[1, 2, 3]"),
        ({(10, "a"), (9, "b"), (9, "a")}, '[[9, "a"], [9, "b"], [10, "a"]]'),
        ({frozenset({10, 9}), frozenset({1})}, "[[1], [9, 10]]"),
        ({(1, None), (1, "a"), None}, '[null, [1, null], [1, "a"]]'),
        ([Fraction(1, 3), Fraction(4)], '["1/3", "4"]'),
        (1 + 2j, '"(1+2j)"'),
        ({(1, 2): "a", Fraction(1, 2): "b", 1j: "c"}, '{"[1, 2]": "a", "1/2": "b", "1j": "c"}'),
        (
            {("1", Decimal(2)): 1, (Decimal(1), "2"): 2, ("1", "2"): 3},
            '{"[\\"1\\", \\"2\\"]": 1, "[\\"1\\", \\"2\\"] (tuple)": 2, "[\\"1\\", \\"2\\"] (tuple 2)": 3}',
        ),
    ],
)
def test_text_for_a_model(value: Any, text: str) -> None:
    assert to_text(value) == text


def test_an_integer_without_decimal_digits_has_text() -> None:
    assert json.loads(to_text([2**100_000])) == [hex(2**100_000)]


def test_a_set_of_mixed_members_has_the_same_text_each_time() -> None:
    members = [Decimal("NaN"), "x", 1, 2.5, None, b"x", (None, "x"), (1, None), frozenset("xy")]
    assert to_text({*members}) == to_text({*members[::-1]})


def test_a_set_is_sorted_without_converting_its_integers_to_text() -> None:
    large = {2**1_000_000 + number for number in range(4)}
    began = time_of_thread()
    to_text(large)
    alone = time_of_thread() - began
    began = time_of_thread()
    text = to_text(large | {Decimal(number) for number in range(4)})
    assert time_of_thread() - began < 10 * alone + 0.1
    assert len(json.loads(text)) == 8


def test_a_value_that_cannot_travel_has_no_text() -> None:
    with pytest.raises(ValueEncodingError, match="object object has no text"):
        to_text([object()])
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(ValueEncodingError, match="nested"):
        to_text(cycle)


@given(values)
def test_every_value_that_travels_has_a_text_that_is_json(value: Any) -> None:
    text = to_text(decode(encode(value)))
    if type(value) is str:
        assert text == value
    else:
        json.loads(text)
