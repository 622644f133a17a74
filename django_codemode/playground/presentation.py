"""The presentation of a result to a person: as a table, a tree, a picture or a text.

Results come from untrusted code and may be large. The presentation is bounded,
and contains only text or a picture, for a template that escapes it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from codemode.values import to_text

__all__ = ["Column", "Leaf", "Node", "Picture", "Table", "Tree", "present"]

MAX_ROWS = 200
MAX_COLUMNS = 50
MAX_NODES = 1_000
MAX_CHILDREN = 100
MAX_DEPTH = 12
MAX_TEXT = 100_000
MAX_CELL = 300
_SHORT = 40
_CONTAINERS = (dict, list, tuple, set, frozenset)
_FEW = 8
MAX_PICTURE_BYTES = 4 * 1024 * 1024

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A value that is shown as text. ``kind`` is the name of its type."""

    form = "text"
    text: str
    kind: str
    left_out: int = 0

    @property
    def is_number(self) -> bool:
        """Whether the value is a number."""
        return self.kind in {"int", "float", "Decimal", "Fraction"}

    @property
    def is_short(self) -> bool:
        """Whether the text is so short that it should not be wrapped."""
        return len(self.text) <= _SHORT


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table. Numbers are right-aligned."""

    name: str
    is_number: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A list of dicts. A cell is None where its row lacks the key."""

    form = "table"
    columns: tuple[Column, ...]
    rows: tuple[tuple[Leaf | None, ...], ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a tree: a ``leaf``, or ``children`` with a ``summary``."""

    label: str
    leaf: Leaf | None = None
    summary: str = ""
    children: tuple[Node, ...] = ()
    left_out: int = 0
    is_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A dict, list, tuple, set or frozenset of any depth."""

    form = "tree"
    root: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Bytes that a browser shows as a picture.

    ``url`` is a ``data:`` URL for the ``src`` of an ``img`` only: there, a
    browser does not run an SVG's scripts or load its external resources.
    """

    form = "picture"
    media_type: str
    size: int
    url: str


def present(value: Any) -> Leaf | Table | Tree | Picture:
    """Return how to show the value of a result."""
    if isinstance(value, bytes):
        media_type = _media_type(value)
        if media_type is not None and len(value) <= MAX_PICTURE_BYTES:
            encoded = base64.b64encode(value).decode("ascii")
            return Picture(
                media_type=media_type,
                size=len(value),
                url=f"data:{media_type};base64,{encoded}",
            )
    if isinstance(value, list) and (table := _table(value)):
        return table
    if isinstance(value, _CONTAINERS) and value:
        return Tree(root=_Planter().node("", value, 0))
    return _leaf(value, MAX_TEXT)


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


def _table(rows: list[Any]) -> Table | None:
    if not rows or not all(isinstance(row, dict) and row for row in rows):
        return None
    shown = rows[:MAX_ROWS]
    columns = list(dict.fromkeys(key for row in shown for key in row))
    if len(columns) > MAX_COLUMNS or not all(isinstance(key, str) for key in columns):
        return None
    cells = tuple(
        tuple(_leaf(row[key], MAX_CELL) if key in row else None for key in columns) for row in shown
    )
    return Table(
        columns=tuple(
            Column(
                name=name[:MAX_CELL],
                is_number=all(cell is None or cell.is_number for cell in column),
            )
            for name, column in zip(columns, zip(*cells, strict=True), strict=True)
        ),
        rows=cells,
        left_out=len(rows) - len(shown),
    )


class _Planter:
    """The builder of one tree, with at most MAX_NODES nodes."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def node(self, label: str, value: Any, depth: int) -> Node:
        self._left -= 1
        if not isinstance(value, _CONTAINERS) or not value or depth == MAX_DEPTH:
            return Node(label=label, leaf=_leaf(value, MAX_CELL))
        children: list[Node] = []
        for key, child in _items(value):
            if len(children) == MAX_CHILDREN or self._left <= 0:
                break
            children.append(self.node(key[:MAX_CELL], child, depth + 1))
        return Node(
            label=label,
            summary=_summary(value),
            children=tuple(children),
            left_out=len(value) - len(children),
            is_open=depth == 0 or (depth == 1 and len(children) <= _FEW),
        )


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return ((_text(key), item) for key, item in value.items())
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
    text = _text(value)
    return Leaf(text=text[:longest], kind=kind, left_out=max(0, len(text) - longest))


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool | float):
        return str(value)  # JSON would say null, true, and null for nan.
    text = to_text(value)
    # Dates, decimals and the like are strings in JSON, and people need no quotes.
    is_quoted = not isinstance(value, (str, *_CONTAINERS)) and text.startswith('"')
    return str(json.loads(text)) if is_quoted else text
