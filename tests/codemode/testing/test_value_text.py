"""Promises of values as JSON: the same bytes again, whatever they are, and readable."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemode.testing.value_text import from_json, to_json
from codemode.values import encode
from tests.support.value_strategies import values


def again(data: bytes) -> bytes:
    return from_json(json.loads(json.dumps(to_json(data))))


@given(values)
def test_a_value_becomes_json_and_the_same_bytes_again(value: Any) -> None:
    data = encode(value)
    assert again(data) == data
    assert "$cbor" not in json.dumps(to_json(data)).replace("\\", "") or "$cbor" in repr(value)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_value_stay_as_they_are(data: bytes) -> None:
    assert again(data) == data


def test_what_json_has_is_plain_and_the_rest_is_marked() -> None:
    assert to_json(encode({"id": 7, "tags": ["a", None, True, 1.5]})) == {
        "id": 7,
        "tags": ["a", None, True, 1.5],
    }
    assert to_json(encode((Decimal("1.50"), b"\0", float("nan")))) == {
        "$tuple": [{"$decimal": "1.50"}, {"$bytes": "AA=="}, {"$float": "nan"}]
    }
    assert to_json(encode({1: UUID(int=0)})) == {
        "$dict": [[1, {"$uuid": "00000000-0000-0000-0000-000000000000"}]]
    }
    assert to_json(encode({"$set": 1})) == {"$dict": [["$set", 1]]}
    assert to_json(encode(10**5000)).keys() == {"$cbor"}  # more digits than json reads


def test_the_order_of_a_set_is_that_of_its_bytes() -> None:
    for members in ([1, 2], [2, 1]):
        data = cbor2.dumps(cbor2.CBORTag(49375, members))
        assert to_json(data) == {"$set": members}
        assert again(data) == data


@pytest.mark.parametrize(
    "shown",
    [
        {"$no": 1},
        {"$bytes": 1},
        {"$bytes": "?"},
        {"$bytes": "", "more": 1},
        {"$cbor": 1},
        {"$dict": 1},
        {"$dict": [[1]]},
        {"$dict": [["a", 1], ["a", 2]]},
        {"$float": "1"},
        {"$float": []},
        {"$uuid": 1},
        {"$uuid": "x"},
        "\ud800",
    ],
    ids=str,
)
def test_other_json_is_refused(shown: Any) -> None:
    with pytest.raises(ValueError, match="."):
        from_json(shown)


def test_deep_json_is_refused() -> None:
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deep"):
        from_json(deep)
