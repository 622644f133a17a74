"""Encoded values as JSON that a person can read, and back to the same bytes.

What JSON has is written as it is. The rest is an object with one key that
begins with ``$``: ``{"$decimal": "1.50"}``, ``{"$tuple": [1, 2]}``. The order of
sets and dicts is that of the bytes. Bytes that ``encode`` would write otherwise
are kept as they are, in ``{"$cbor": "…"}``.
"""

from __future__ import annotations

import base64
import math
import uuid
from collections.abc import Callable
from io import BytesIO
from typing import Any

import cbor2

from codemode.values import MAX_DEPTH
from codemode.values.wire_format import (
    TAG_COMPLEX,
    TAG_DATE,
    TAG_DATETIME,
    TAG_DECIMAL,
    TAG_FRACTION,
    TAG_FROZENSET,
    TAG_MAP,
    TAG_NEGATIVE,
    TAG_POSITIVE,
    TAG_SET,
    TAG_TIME,
    TAG_TIMEDELTA,
    TAG_TUPLE,
    TAG_UUID,
)

__all__ = ["from_json", "to_json"]

_NAMES = {
    TAG_COMPLEX: "$complex",
    TAG_DATE: "$date",
    TAG_DATETIME: "$datetime",
    TAG_DECIMAL: "$decimal",
    TAG_FRACTION: "$fraction",
    TAG_FROZENSET: "$frozenset",
    TAG_SET: "$set",
    TAG_TIME: "$time",
    TAG_TIMEDELTA: "$timedelta",
    TAG_TUPLE: "$tuple",
    TAG_UUID: "$uuid",
}
_TAGS = {name: tag for tag, name in _NAMES.items()}
# A tag and the array in it are two levels of CBOR, and one of a value.
_MOST_LEVELS = 2 * MAX_DEPTH + 8
_MOST_DIGITS = 4_000  # of an integer; Python's json reads no more than 4,300


def to_json(data: bytes) -> Any:
    """Return an encoded value as what ``json.dumps`` takes."""
    try:
        shown = _shown(_items_of(data))
        if from_json(shown) == data:
            return shown
    except (cbor2.CBORDecodeError, ValueError, TypeError):
        pass  # no value: these bytes may be of a sandbox
    return {"$cbor": base64.b64encode(data).decode()}


def from_json(shown: Any) -> bytes:
    """Return the encoded value. Raises ValueError, with what is wrong, for anything else.

    The bytes of hostile text are to be decoded before they are trusted.
    """
    if type(shown) is dict and shown.keys() == {"$cbor"}:
        return _base64(shown["$cbor"])
    return cbor2.dumps(_items(shown, _MOST_LEVELS))


class _Kept(dict[int, Callable[[Any, bool], Any]]):
    """Readers that keep each tag as it is."""

    def __missing__(self, tag: int) -> Callable[[Any, bool], Any]:
        return lambda body, immutable: cbor2.CBORTag(tag, body)


_KEPT = _Kept(
    {
        TAG_POSITIVE: lambda body, immutable: int.from_bytes(body),
        TAG_NEGATIVE: lambda body, immutable: -1 - int.from_bytes(body),
    }
)


def _items_of(data: bytes) -> Any:
    decoder = cbor2.CBORDecoder(
        BytesIO(data),
        semantic_decoders=_KEPT,
        max_depth=_MOST_LEVELS,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    return decoder.decode()


def _shown(item: Any) -> Any:
    match item:
        case None | bool() | str():
            return item
        case int():
            if abs(item) >= 10**_MOST_DIGITS:
                raise ValueError("too large for JSON")
            return item
        case float():
            return item if math.isfinite(item) else {"$float": str(item)}
        case bytes():
            return {"$bytes": base64.b64encode(item).decode()}
        case list():
            return [_shown(one) for one in item]
        case dict():
            if all(type(key) is str and not key.startswith("$") for key in item):
                return {key: _shown(one) for key, one in item.items()}
            return {"$dict": [[_shown(key), _shown(one)] for key, one in item.items()]}
        case cbor2.CBORTag(tag=tag, value=body):
            if tag == TAG_UUID:
                return {"$uuid": str(uuid.UUID(bytes=body))}
            if tag == TAG_MAP:
                pairs = zip(body[::2], body[1::2], strict=True)
                return {"$dict": [[_shown(key), _shown(one)] for key, one in pairs]}
            if tag in _NAMES:
                return {_NAMES[tag]: _shown(body)}
    raise ValueError(f"no value: {type(item).__name__}")


def _items(shown: Any, levels: int) -> Any:
    if levels <= 0:
        raise ValueError("it is nested too deep")
    if type(shown) is list:
        return [_items(one, levels - 1) for one in shown]
    if type(shown) is not dict:
        return shown
    name = next(iter(shown), "")
    if not name.startswith("$"):
        return {key: _items(one, levels - 1) for key, one in shown.items()}
    body = shown[name]
    if len(shown) != 1:
        raise ValueError(f"{name} is not the only key of its object")
    match name:
        case "$bytes":
            return _base64(body)
        case "$float":
            if body not in ("nan", "inf", "-inf"):
                raise ValueError('$float is for "nan", "inf" and "-inf"')
            return float(body)
        case "$uuid":
            if type(body) is not str:
                raise ValueError("$uuid does not hold a text")
            return cbor2.CBORTag(TAG_UUID, uuid.UUID(body).bytes)
        case "$dict":
            return _dict(body, levels)
    if name not in _TAGS:
        expected = ", ".join(sorted([*_TAGS, "$bytes", "$dict", "$float"]))
        raise ValueError(f"{name[:40]} is not known; expected one of {expected}")
    return cbor2.CBORTag(_TAGS[name], _items(body, levels - 1))


def _dict(pairs: Any, levels: int) -> Any:
    if type(pairs) is not list or not all(type(one) is list and len(one) == 2 for one in pairs):
        raise ValueError("$dict does not hold a list of pairs")
    items = [(_items(key, levels - 1), _items(one, levels - 1)) for key, one in pairs]
    if all(type(key) in (str, bytes) for key, _ in items):
        if len(dict(items)) != len(items):
            raise ValueError("$dict has a key twice")
        return dict(items)
    return cbor2.CBORTag(TAG_MAP, [part for pair in items for part in pair])


def _base64(text: Any) -> bytes:
    if type(text) is not str:
        raise ValueError("expected base64 as text")
    return base64.b64decode(text, validate=True)
