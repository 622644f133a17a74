"""The presentation of a value to a person: as a table, a tree, a picture or a text.

Values come from untrusted code and may be large. The presentation is bounded,
and contains only text or a picture, for a template that escapes it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django_codemode.playground.csv_text import csv_url
from django_codemode.playground.shown import (
    CONTAINERS,
    Column,
    Leaf,
    Node,
    Picture,
    Shown,
    Table,
    Tree,
    text_of,
)

__all__ = ["OF_A_CALL", "OF_A_RESULT", "Bounds", "present"]

MAX_COLUMNS = 50
MAX_CHILDREN = 100
MAX_DEPTH = 12
MAX_CELL = 300
_FEW = 8
MAX_PICTURE_BYTES = 4 * 1024 * 1024

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much of a value is shown: rows of a table, cells of all tables, nodes, characters."""

    rows: int
    cells: int
    nodes: int
    text: int
    with_csv: bool


OF_A_RESULT = Bounds(rows=1_000, cells=10_000, nodes=1_000, text=100_000, with_csv=True)
OF_A_CALL = Bounds(rows=20, cells=200, nodes=100, text=2_000, with_csv=False)


def present(value: Any, bounds: Bounds = OF_A_RESULT) -> Shown:
    """Return how to show a value."""
    if isinstance(value, bytes):
        media_type = _media_type(value)
        if media_type is not None and len(value) <= MAX_PICTURE_BYTES:
            encoded = base64.b64encode(value).decode("ascii")
            return Picture(
                media_type=media_type,
                size=len(value),
                url=f"data:{media_type};base64,{encoded}",
            )
    presenter = _Presenter(bounds)
    if table := presenter.table(value):
        return table
    if isinstance(value, CONTAINERS) and value:
        return Tree(root=presenter.node("", value, 0))
    return _leaf(value, bounds.text)


def _media_type(data: bytes) -> str | None:
    for signature, media_type in _SIGNATURES:
        if data.startswith(signature):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    head = data[:1_000].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return "image/svg+xml"
    return None


class _Presenter:
    """The builder of one presentation, within bounds that all its tables and nodes share."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._nodes = bounds.nodes
        self._cells = bounds.cells

    def table(self, value: Any, depth: int = 0) -> Table | None:
        """Return a list of dicts as a table; None for another value, or if no cell is left."""
        if not _are_rows(value) or depth >= MAX_DEPTH:
            return None
        shown = value[: self._bounds.rows]
        names = list(dict.fromkeys(key for row in shown for key in row))
        if len(names) > MAX_COLUMNS or not all(isinstance(name, str) for name in names):
            return None
        shown = shown[: self._cells // len(names)]
        if not shown:
            return None
        self._cells -= len(shown) * len(names)
        rows = tuple(
            tuple(self._cell(row[name], depth) if name in row else None for name in names)
            for row in shown
        )
        return Table(
            columns=tuple(
                Column(name=name[:MAX_CELL], is_number=all(map(_may_be_number, column)))
                for name, column in zip(names, zip(*rows, strict=True), strict=True)
            ),
            rows=rows,
            total=len(value),
            csv_url=csv_url(names, value) if self._bounds.with_csv and depth <= 1 else "",
        )

    def node(self, label: str, value: Any, depth: int) -> Node:
        """Return a value as a node of a tree."""
        self._nodes -= 1
        if table := self.table(value, depth):
            return Node(label=label, table=table, summary=_summary(value), is_open=depth <= 1)
        if not isinstance(value, CONTAINERS) or not value or depth == MAX_DEPTH:
            return Node(label=label, leaf=_leaf(value, MAX_CELL))
        children: list[Node] = []
        for key, child in _items(value):
            if len(children) == MAX_CHILDREN or self._nodes <= 0:
                break
            children.append(self.node(key[:MAX_CELL], child, depth + 1))
        return Node(
            label=label,
            summary=_summary(value),
            children=tuple(children),
            left_out=len(value) - len(children),
            is_open=depth == 0 or (depth == 1 and len(children) <= _FEW),
        )

    def _cell(self, value: Any, depth: int) -> Leaf | Node:
        if table := self.table(value, depth + 2):
            return Node(label="", table=table, summary=_summary(value))
        return _leaf(value, MAX_CELL)


def _are_rows(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(row, dict) and row for row in value)
    )


def _may_be_number(cell: Leaf | Node | None) -> bool:
    return cell is None or (isinstance(cell, Leaf) and cell.is_number)


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return ((text_of(key), item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return ((str(number), item) for number, item in enumerate(value))
    return (("", item) for item in value)


def _summary(value: Any) -> str:
    count = len(value)
    return f"{type(value).__name__} of {count:,} item{'' if count == 1 else 's'}"


def _leaf(value: Any, longest: int) -> Leaf:
    kind = type(value).__name__
    if isinstance(value, bytes):
        longest = min(longest, MAX_CELL)
        return Leaf(text=repr(value[:longest]), kind=kind, left_out=max(0, len(value) - longest))
    text = text_of(value)
    return Leaf(text=text[:longest], kind=kind, left_out=max(0, len(text) - longest))
