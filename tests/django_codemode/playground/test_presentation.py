"""The presentation of results, contexts and calls."""

from __future__ import annotations

import base64
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse
from django.test import override_settings

from codemode.core.context import RuntimeContext
from django_codemode import SYSTEM
from django_codemode.playground import presentation
from django_codemode.playground.csp import allow_data_pictures, with_data_pictures
from django_codemode.playground.presentation import present
from django_codemode.playground.shown import Leaf, Node, Picture, Table, Tree
from django_codemode.playground.shown_context import shown_context

PNG = b"\x89PNG\r\n\x1a\n..."


def table(value: Any) -> Table:
    shown = present(value)
    assert isinstance(shown, Table)
    return shown


def texts(shown: Table) -> list[list[str | None]]:
    return [[cell.text if isinstance(cell, Leaf) else None for cell in row] for row in shown.rows]


def tree(value: Any) -> Tree:
    shown = present(value)
    assert isinstance(shown, Tree)
    return shown


@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        (None, "None", "NoneType"),
        (True, "True", "bool"),
        (math.nan, "nan", "float"),
        (1.5, "1.5", "float"),
        (10**20, "100000000000000000000", "int"),
        ("a 'text'", "a 'text'", "str"),
        ("", "", "str"),
        (b"\x00", "b'\\x00'", "bytes"),
        (Decimal("1.50"), "1.50", "Decimal"),
        (date(2026, 1, 2), "2026-01-02", "date"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00", "datetime"),
        (timedelta(hours=1), "PT1H", "timedelta"),
        (UUID(int=0), "00000000-0000-0000-0000-000000000000", "UUID"),
        ([], "[]", "list"),
        ({}, "{}", "dict"),
        ((), "[]", "tuple"),
        (Fraction(1, 3), "1/3", "Fraction"),
        (1j, "1j", "complex"),
    ],
)
def test_a_value_without_parts_is_text_with_the_name_of_its_type(
    value: Any, text: str, kind: str
) -> None:
    assert present(value) == Leaf(text=text, kind=kind)


def test_a_list_of_dicts_is_a_table_with_all_their_keys() -> None:
    shown = table([{"a": 1, "b": "x"}, {"c": [1], "a": Decimal(2)}])

    assert [(column.name, column.is_number) for column in shown.columns] == [
        ("a", True),
        ("b", False),
        ("c", False),
    ]
    assert texts(shown) == [["1", "x", None], ["2", None, "[1]"]]


def test_a_list_of_dicts_within_a_value_is_a_table_too() -> None:
    root = tree({"orders": [{"id": 1}, {"id": 2}], "pages": [1]}).root
    orders, pages = root.children
    assert orders.table is not None
    assert texts(orders.table) == [["1"], ["2"]]
    assert orders.summary == "list of 2 items"
    assert orders.is_open
    assert pages.table is None

    [[name, cell]] = table([{"name": "x", "orders": [{"id": 1}]}]).rows
    assert isinstance(name, Leaf)
    assert isinstance(cell, Node)
    assert cell.table is not None
    assert texts(cell.table) == [["1"]]
    assert not cell.is_open


@pytest.mark.parametrize(
    "value",
    [[{1: 2}], [{"a": 1}, 2], [{"a": 1}, {}], [[1]], [{str(n): n for n in range(51)}]],
)
def test_a_value_that_is_not_a_table_is_a_tree(value: Any) -> None:
    assert tree(value).root.children


def test_a_tree_has_the_labels_types_and_sizes() -> None:
    root = tree({"a": [1, {"b": None}], 3: {4}}).root

    assert root.summary == "dict of 2 items"
    assert [child.label for child in root.children] == ["a", "3"]
    first, second = root.children[0].children
    assert (first.label, first.leaf) == ("0", Leaf(text="1", kind="int"))
    assert second.summary == "dict of 1 item"
    assert root.children[1].summary == "set of 1 item"

    root = tree(((1, 2), {(3, "a"): 4})).root
    assert root.summary == "tuple of 2 items"
    assert [child.label for child in root.children[0].children] == ["0", "1"]
    assert root.children[1].children[0].label == '[3, "a"]'
    assert tree(frozenset({1})).root.summary == "frozenset of 1 item"


class TestBounds:
    def test_rows_cells_and_text_are_cut_and_counted(self) -> None:
        shown = table([{"a": "x" * 1_000}] * 3_000)
        assert (len(shown.rows), shown.left_out) == (1_000, 2_000)
        assert shown.rows[0][0] == Leaf(text="x" * 300, kind="str", left_out=700)
        assert present("x" * 100_001) == Leaf(text="x" * 100_000, kind="str", left_out=1)
        assert present(b"x" * 1_000) == Leaf(text=repr(b"x" * 300), kind="bytes", left_out=700)

    def test_all_tables_of_a_value_share_a_number_of_cells(self) -> None:
        rows = [{"a": 1, "b": 2}] * 1_000
        root = tree(dict.fromkeys(range(20), rows)).root
        tables = [child.table for child in root.children if child.table]
        assert sum(len(one.rows) for one in tables) == 5_000
        assert [child.table is not None for child in root.children][:6] == [True] * 5 + [False]

    def test_a_tree_has_a_bounded_number_of_nodes_and_counts_the_missing_ones(self) -> None:
        def count(node: Node) -> int:
            return 1 + sum(count(child) for child in node.children)

        root = tree({n: {m: [m] for m in range(300)} for n in range(300)}).root
        assert count(root) <= presentation.OF_A_RESULT.nodes + presentation.MAX_DEPTH
        assert root.children[0].left_out == 200
        assert root.left_out == 300 - len(root.children)

    def test_a_deep_value_is_text_below_a_depth(self) -> None:
        value: Any = 1
        for _ in range(60):
            value = [value]
        node = tree(value).root
        depth = 0
        while node.children:
            (node,) = node.children
            depth += 1
        assert depth == presentation.MAX_DEPTH
        assert node.leaf is not None
        assert node.leaf.text == "[" * 48 + "1" + "]" * 48


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"\xef\xbb\xbf  <svg/>", "image/svg+xml"),
        (b"<?xml version='1.0'?><svg/>", "image/svg+xml"),
    ],
)
def test_bytes_of_a_picture_become_the_source_of_an_img(data: bytes, media_type: str) -> None:
    encoded = base64.b64encode(data).decode()
    assert present(data) == Picture(
        media_type=media_type, size=len(data), url=f"data:{media_type};base64,{encoded}"
    )


@pytest.mark.parametrize(
    "value",
    [
        "<svg/>",
        b"<html><svg/></html>",
        b"<?xml version='1.0'?><html/>",
        b"PNG",
        PNG + b"x" * presentation.MAX_PICTURE_BYTES,
    ],
)
def test_text_markup_and_huge_bytes_are_not_pictures(value: Any) -> None:
    assert isinstance(present(value), Leaf)


class TestContext:
    def test_the_context_shows_for_whom_the_code_acts(self) -> None:
        context = RuntimeContext(
            {
                "user": User(username="ada"),
                "tenant_id": "acme",
                "request_id": UUID(int=1),
                "n": None,
            }
        )
        assert shown_context(context) == {
            "user": "ada",
            "tenant_id": "acme",
            "request_id": "00000000-0000-0000-0000-000000000001",
            "n": "None",
        }
        assert shown_context(RuntimeContext({"user": AnonymousUser()})) == {"user": "anonymous"}
        assert shown_context(RuntimeContext({"user": SYSTEM})) == {"user": "django_codemode.SYSTEM"}
        assert shown_context(None) == {}

    def test_no_secret_and_nothing_of_the_projects_objects_is_shown(self) -> None:
        class Connection:
            def __repr__(self) -> str:
                return "password"

        context = RuntimeContext({"api_key": "hunter2", "db": Connection(), "long": "x" * 1_000})
        assert shown_context(context) == {
            "api_key": "********************",
            "db": "a Connection",
            "long": "x" * 200,
        }


class TestPolicy:
    @pytest.mark.parametrize(
        ("policy", "sources"),
        [
            ({"default-src": ["'self'"]}, ["'self'", "data:"]),
            ({"default-src": "'none'"}, ["data:"]),
            ({"default-src": ["'self'"], "img-src": ("cdn.example",)}, ["cdn.example", "data:"]),
            ({"img-src": ["data:"]}, ["data:"]),
            ({"script-src": ["'self'"]}, None),
        ],
    )
    def test_the_policy_is_relaxed_for_pictures_alone(
        self, policy: dict[str, Any], sources: list[str] | None
    ) -> None:
        changed = with_data_pictures(policy)
        assert changed.pop("img-src", None) == sources
        assert changed == {name: policy[name] for name in policy if name != "img-src"}

    def test_both_policies_of_the_settings_are_changed_for_one_response(self) -> None:
        policy = {"default-src": ["'self'"]}
        with override_settings(SECURE_CSP=policy, SECURE_CSP_REPORT_ONLY=policy):
            response = HttpResponse()
            allow_data_pictures(response)
        assert vars(response)["_csp_config"] == with_data_pictures(policy)
        assert vars(response)["_csp_ro_config"] == with_data_pictures(policy)
        assert policy == {"default-src": ["'self'"]}

    def test_a_site_without_a_policy_stays_without_one(self) -> None:
        with override_settings(SECURE_CSP={}, SECURE_CSP_REPORT_ONLY={}):
            response = HttpResponse()
            allow_data_pictures(response)
        assert not {"_csp_config", "_csp_ro_config"} & vars(response).keys()
