"""What a page shows of a value: text, a table, a tree or a picture, all of it bounded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from codemode.values import to_text

__all__ = ["Column", "Leaf", "Node", "Picture", "Shown", "Table", "Tree", "text_of"]

CONTAINERS = (dict, list, tuple, set, frozenset)
_SHORT = 40


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
    """A list of dicts. A cell is None where its row lacks the key, a Node where it has a table.

    ``total`` counts all rows, also those that are not shown. ``csv_url`` is a
    ``data:`` URL of all of them, "" where there is none.
    """

    form = "table"
    columns: tuple[Column, ...]
    rows: tuple[tuple[Leaf | Node | None, ...], ...]
    total: int
    csv_url: str = ""

    @property
    def left_out(self) -> int:
        """The number of rows that are not shown."""
        return self.total - len(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a tree: a ``leaf``, a ``table``, or ``children``, the last two with a summary."""

    label: str
    leaf: Leaf | None = None
    table: Table | None = None
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


Shown = Leaf | Table | Tree | Picture


def text_of(value: Any) -> str:
    """Return a value as a person reads it: a date without quotes, None as Python writes it."""
    if value is None or isinstance(value, bool | float):
        return str(value)  # JSON would say null, true, and null for nan.
    text = to_text(value)
    # Dates, decimals and the like are strings in JSON, and people need no quotes.
    is_quoted = not isinstance(value, (str, *CONTAINERS)) and text.startswith('"')
    return str(json.loads(text)) if is_quoted else text
