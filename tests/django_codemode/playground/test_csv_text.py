"""Tables as CSV, which a spreadsheet may open."""

from __future__ import annotations

import base64
import csv
import io
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from django_codemode.playground.csv_text import MAX_CSV, csv_url
from django_codemode.playground.presentation import OF_A_CALL, present
from django_codemode.playground.shown import Table


def rows_of(url: str) -> list[list[str]]:
    head, _, data = url.partition(",")
    assert head == "data:text/csv;charset=utf-8;base64"
    return list(csv.reader(io.StringIO(base64.b64decode(data).decode("utf-8-sig"))))


def test_values_are_exact_and_complete() -> None:
    long = 'a "quoted", long\ntext' * 100
    rows: list[dict[str, Any]] = [
        {"n": 10**30, "d": Decimal("1.50")},
        {"n": None, "d": date(2026, 1, 2), "t": long},
    ]
    assert rows_of(csv_url(["n", "d", "t"], rows)) == [
        ["n", "d", "t"],
        [str(10**30), "1.50", ""],
        ["", "2026-01-02", long],
    ]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a=1", "a=1"),
        (-1, "-1"),
        (Decimal("-1.5"), "-1.5"),
    ],
)
def test_no_text_becomes_a_formula(value: Any, cell: str) -> None:
    assert rows_of(csv_url(["=column"], [{"=column": value}])) == [["'=column"], [cell]]


def test_a_table_has_all_its_rows_as_csv_unless_they_are_too_many() -> None:
    shown = present([{"a": n} for n in range(3_000)])
    assert isinstance(shown, Table)
    assert len(rows_of(shown.csv_url)) == 3_001
    huge = [{"a": "x" * 1_000}] * (MAX_CSV // 1_000 + 1)
    assert csv_url(["a"], huge) == ""
    of_a_call = present([{"a": 1}], OF_A_CALL)
    assert isinstance(of_a_call, Table)
    assert of_a_call.csv_url == ""
