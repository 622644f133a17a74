"""Iterators as the result of a run: they become lists, within the limit of the result."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final

from codemode.errors.base import ValueEncodingError
from codemode.sandbox.guest.coding import dump
from codemode.sandbox.guest.result_value import result_too_large
from codemode.values import MAX_ITEMS

__all__ = ["draw", "draw_async", "is_drawn", "is_drawn_async"]

_DRAWN: Final = frozenset(
    {
        *(GeneratorType, enumerate, filter, map, range, reversed, zip),
        *(type({}.keys()), type({}.values()), type({}.items())),
        *(type(iter(())), type(iter([])), type(iter(set())), type(iter("")), type(iter(range(0)))),
        *(type(iter({})), type(iter({}.values())), type(iter({}.items())), type(reversed([]))),
        *(one for one in vars(itertools).values() if isinstance(one, type)),
    }
)
"""Python's own iterators and views; an object of the code's own classes stays as it is."""

MOST_AT_ONCE = 1024
_HEADER_BYTES = 5
"""The encoded head of a list, which the total does not count for each part of it."""

_islice = itertools.islice


def is_drawn(value: Any) -> bool:
    """Return whether the value, as a result, stands for the list of its items."""
    return type(value) in _DRAWN


def is_drawn_async(value: Any) -> bool:
    """Return whether the value is an async generator."""
    return type(value) is AsyncGeneratorType


def draw(value: Iterable[Any], max_bytes: int) -> list[Any]:
    """Return the items. Raises ResultError as soon as they are too large for a result."""
    items = iter(value)
    drawn = _Drawn(max_bytes)
    while part := list(_islice(items, drawn.room)):
        if not drawn.add(part):
            break
    return drawn.items


async def draw_async(value: AsyncIterator[Any], max_bytes: int) -> list[Any]:
    """Await the items and return them. Raises ResultError as ``draw`` does."""
    drawn = _Drawn(max_bytes)
    part: list[Any] = []
    async for item in value:
        part.append(item)
        if len(part) >= drawn.room:
            if not drawn.add(part):
                return drawn.items
            part = []
    drawn.add(part)
    return drawn.items


class _Drawn:
    """Items drawn so far, measured in parts that grow: large items are few before they count."""

    def __init__(self, max_bytes: int) -> None:
        self.items: list[Any] = []
        self.room = 1
        self._max_bytes = max_bytes
        self._bytes = 0

    def add(self, part: list[Any]) -> bool:
        """Add items; return False when the result cannot be encoded, as the encoder will say."""
        self.items += part
        self.room = min(2 * self.room, MOST_AT_ONCE)
        try:
            data = dump(part, max_bytes=self._max_bytes, path="result")
        except ValueEncodingError:
            return False
        self._bytes += max(len(data) - _HEADER_BYTES, 0)
        if self._bytes > self._max_bytes or len(self.items) > MAX_ITEMS:
            raise result_too_large(self._max_bytes)
        return True
