"""A value is shown within its room: whole, or its ends with the number of what is left out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemode.catalogue import bounded_json as module
from codemode.catalogue.bounded_json import bounded_json, cut_text, fair_shares
from codemode.values import to_text
from tests.support.value_strategies import values

ROWS = [{"id": number, "name": f"n{number}"} for number in range(1_000)]


@given(value=values, most=st.integers(0, 400))
def test_no_value_takes_more_than_its_room(value: Any, most: int) -> None:
    text = bounded_json(value, most)
    whole = to_text([value])[1:-1]
    assert text == whole if len(whole) <= most else len(text) <= most


@pytest.mark.parametrize(
    "value, most, text",
    [
        (list(range(1000)), 60, "[0, 1, 2, 3, … 994 of 1,000 items left out …, 998, 999]"),
        (ROWS, 20, "[… 1,000 items …]"),
        (
            {"total": 1000, "rows": ROWS, "note": "ok"},
            200,
            (
                '{"total": 1000, "rows": [{"id": 0, "name": "n0"}, {"id": 1, "name": "n1"}, '
                '… 996 of 1,000 items left out …, {"id": 998, "name": "n998"}, '
                '{"id": 999, "name": "n999"}], "note": "ok"}'
            ),
        ),
        (
            ["x" * 1000],
            80,
            '["' + "x" * 21 + " … cut, 1,000 characters in all … " + "x" * 21 + '"]',
        ),
        (b"\0" * 3000, 60, '"AAAAAAAAAAAA … cut, 4,002 characters in all … AAAAAAAAAAAA"'),
        (
            {1: 2, None: [0] * 500},
            70,
            '{"1": 2, "null": [0, 0, 0, … 494 of 500 items left out …, 0, 0, 0]}',
        ),
        ({"k" * 500: 1}, 40, "{… 1 item …}"),
    ],
    ids=["list", "little room", "dict", "str", "bytes", "keys", "one key"],
)
def test_what_is_left_out_is_counted(value: Any, most: int, text: str) -> None:
    assert bounded_json(value, most) == text


@pytest.mark.parametrize(
    "value",
    [ROWS * 1000, {"rows": ROWS * 1000, "more": [ROWS] * 1000}, [[ROWS] * 16] * 16, "x" * 10**7],
    ids=["list", "dict", "nested", "str"],
)
def test_only_what_is_shown_is_converted(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = 0

    def counted(part: Any) -> str:
        nonlocal converted
        text = to_text(part)
        converted += len(text)
        return text

    monkeypatch.setattr(module, "to_text", counted)
    assert len(bounded_json(value, 2_000)) > 500
    assert converted < 50_000


def test_text_keeps_its_ends_and_names_its_size() -> None:
    assert cut_text("abc", 3) == "abc"
    text = "a" * 500 + "b" * 500
    assert cut_text(text, 50) == f"{'a' * 8}\n… cut, 1,000 characters in all …\n{'b' * 8}"
    assert cut_text(text, 5) == "aaaa…"
    assert cut_text(text, 0) == ""


def test_room_is_shared_so_that_small_needs_are_met() -> None:
    assert fair_shares([10, 1_000, 5, 2_000], 615) == [10, 300, 5, 300]
    assert fair_shares([1, 2], 100) == [1, 2]
    assert fair_shares([5, 5], -1) == [0, 0]
