"""Texts and values cut to a number of characters, with their size where they are cut.

A large value is not converted as a whole: only what is shown is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from codemode.values import to_text

__all__ = ["bounded_json", "cut_text", "fair_shares", "whole_json"]

_FEW: Final = 16
"""Members of a dict or list of which each one is shown, even if shortened."""

_LEAST: Final = 48
"""Characters below which a part of a value is not worth showing."""

_KEY: Final = 100
_ELLIPSIS: Final = "…"


def cut_text(text: str, most: int, *, around: str = "\n") -> str:
    """Return a text of at most ``most`` characters: if it is longer, its head and its tail."""
    if len(text) <= most:
        return text
    note = f"{around}… cut, {len(text):,} characters in all …{around}"
    half = (most - len(note)) // 2
    if half < 1:
        return f"{text[: max(most - 1, 0)]}{_ELLIPSIS}"[: max(most, 0)]
    return f"{text[:half]}{note}{text[-half:]}"


def fair_shares(needs: Sequence[int], room: int) -> list[int]:
    """Divide ``room``: small needs are met, and the large ones share equally what is left."""
    shares = [0] * len(needs)
    left = max(room, 0)
    for done, index in enumerate(sorted(range(len(needs)), key=needs.__getitem__)):
        shares[index] = min(needs[index], left // (len(needs) - done))
        left -= shares[index]
    return shares


def whole_json(value: Any, most: int) -> str | None:
    """Return the JSON of a value, or None if it has more than ``most`` characters."""
    if _least_size(value, most) > most:
        return None
    text = _json(value)
    return text if len(text) <= most else None


def bounded_json(value: Any, most: int) -> str:
    """Return the JSON of a value, by the rules of ``to_text``, in at most ``most`` characters.

    In place of what is left out there is a note with the number of items or characters.
    Raises ValueEncodingError for a value that cannot travel.
    """
    text = whole_json(value, most)
    if text is not None:
        return text
    if isinstance(value, str):
        return _cut_string(value, most)
    if isinstance(value, dict | list | tuple):
        return _cut_container(value, most)
    return cut_text(_json(value), most, around=" ")


def _json(value: Any) -> str:
    return to_text([value])[1:-1]


def _least_size(value: Any, most: int) -> int:
    """Return a lower bound of the length of a value's JSON, in time proportional to ``most``."""
    size = 0
    unseen = [value]
    while unseen and size <= most:
        one = unseen.pop()
        if isinstance(one, str | bytes):
            size += 2 + len(one)
        elif isinstance(one, dict):
            size += 2 + 4 * len(one)
            if size <= most:
                unseen += one
                unseen += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            size += 2 * max(1, len(one))
            if size <= most:
                unseen += one
        elif isinstance(one, int):
            size += 1 + one.bit_length() // 4
        else:
            size += 1
    return size


def _cut_string(value: str, most: int) -> str:
    note = f" … cut, {len(value):,} characters in all … "
    half = (most - len(note) - 2) // 2
    if half < 1:
        return cut_text(_json(value[: max(most, 0)]), most, around="")
    head, tail = (_json(part)[1:-1] for part in (value[:half], value[-half:]))
    return f'"{head[:half]}{note}{tail[-half:]}"'


def _cut_container(value: dict[Any, Any] | list[Any] | tuple[Any, ...], most: int) -> str:
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    count = len(value)
    if most >= _LEAST:
        inner = most - 2
        text = _each_item(value, inner) if count <= _FEW else None
        return f"{opening}{_ends(value, inner) if text is None else text}{closing}"
    return cut_text(f"{opening}{_summary(count)}{closing}", most, around="")


def _summary(count: int) -> str:
    return f"… {count:,} item{'s' * (count != 1)} …"


def _each_item(value: Any, most: int) -> str | None:
    """Return all items, each with a fair share of the room, or None if there is too little."""
    items = list(_items(value))
    room = most - 2 * (len(items) - 1) - sum(len(prefix) for prefix, _ in items)
    if room < len(items):
        return None
    wholes = [whole_json(item, room) for _, item in items]
    needs = [room + 1 if one is None else len(one) for one in wholes]
    shares = fair_shares(needs, room)
    if any(share < min(need, _LEAST) for share, need in zip(shares, needs, strict=True)):
        return None
    return ", ".join(
        prefix + (one if one is not None and len(one) <= share else bounded_json(item, share))
        for (prefix, item), one, share in zip(items, wholes, shares, strict=True)
    )


def _ends(value: Any, most: int) -> str:
    """Return the first and the last items, as many as there is room for."""
    count = len(value)
    room = most - len(f"… {count:,} of {count:,} items left out …") - 4
    head = _take(_items(value), room // 2)
    spent = sum(map(len, head)) + 2 * len(head)
    tail = _take(islice(_items(value, reversed), count - len(head)), room - spent)
    left_out = count - len(head) - len(tail)
    note = [f"… {left_out:,} of {count:,} items left out …"] if left_out else []
    if left_out == count:
        note = [_summary(count)]
    return ", ".join([*head, *note, *reversed(tail)])


def _take(items: Iterable[tuple[str, Any]], room: int) -> list[str]:
    """Return the whole items for which there is room; of the very first, at least a part."""
    taken: list[str] = []
    for prefix, item in items:
        left = room - len(prefix)
        text = whole_json(item, left)
        if text is None:
            if taken or left < _LEAST:
                break
            text = bounded_json(item, left)
        taken.append(prefix + text)
        room = left - len(text) - 2
    return taken


def _items(value: Any, order: Callable[[Any], Iterable[Any]] = iter) -> Iterator[tuple[str, Any]]:
    """Yield the text before each item, which is a dict's key, and the item."""
    if isinstance(value, dict):
        for key, item in order(value.items()):
            yield f"{_key(key)}: ", item
    else:
        for item in order(value):
            yield "", item


def _key(key: Any) -> str:
    text = bounded_json(key, _KEY)
    return text if text.startswith('"') else json.dumps(text, ensure_ascii=False)
