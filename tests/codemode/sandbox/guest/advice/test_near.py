"""Tests of the search for similar names."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import pytest

from codemode.sandbox.guest.advice import near
from codemode.sandbox.guest.advice.near import near_names, similar_names

NAMES = ["orders.get", "orders.find_by_email", "orders.refund", "customers.list", "mail.send"]


@pytest.mark.parametrize(
    "name, found",
    [
        ("get_order", "orders.get"),
        ("getOrder", "orders.get"),
        ("Order.Get", "orders.get"),
        ("refund", "orders.refund"),
        ("load_order", "orders.get"),
        ("search_customers", "customers.list"),
        ("send_mail", "mail.send"),
        ("orders.refnd", "orders.refund"),
        ("email_find_by_orders", "orders.find_by_email"),
    ],
)
def test_best_name_comes_first(name: str, found: str) -> None:
    assert near_names(name, NAMES)[0] == found


def test_other_words_are_no_suggestion() -> None:
    assert near_names("weather", NAMES) == []
    assert near_names("", NAMES) == []


def test_most_names_are_returned() -> None:
    assert near_names("get", [f"{one}.get" for one in "abcdef"], most=2) == ["a.get", "b.get"]


def test_comparison_is_bounded_in_length_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    class Counting(SequenceMatcher[str]):
        def set_seq1(self, a: Sequence[str]) -> None:
            compared.append(len(a))
            super().set_seq1(a)

        def set_seq2(self, b: Sequence[str]) -> None:
            compared.append(len(b))
            super().set_seq2(b)

    monkeypatch.setattr(near, "SequenceMatcher", Counting)
    similar_names("x" * 1_000_000, ("y" * 1_000_000 for _ in range(100_000)))

    assert max(compared) == 100
    assert len(compared) < 5_010
