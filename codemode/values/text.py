"""A value as text for a language model."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from codemode.errors.base import ValueEncodingError
from codemode.values.wire_format import MAX_DEPTH

__all__ = ["to_text"]

_COMPARABLE: Final = frozenset({bool, int, float})
_SORTABLE: Final = frozenset(
    {bool, int, float, str, bytes, datetime, date, time, timedelta, UUID, type(None)}
)
"""What tuples contain that are compared with each other; a Decimal beside an int may be slow."""
_MAX_DIGIT_BITS: Final = 14_284
"""The bits of an integer of 4,300 digits, which is as many as Python writes by default."""


def to_text(value: Any) -> str:
    """Return a ``str`` unchanged, and the JSON of any other value that can travel.

    Decimal, date, datetime, time and UUID become strings, a timedelta becomes
    its ISO 8601 duration (``P1DT2H``), bytes become base64. A Fraction and a
    complex number become the string that Python writes. A tuple becomes a list,
    a set or frozenset a sorted list. nan and the infinities become null. A key
    that is not a string becomes a string; where two keys would become equal,
    the later one gets its type as a suffix. An integer of more than 4,300
    digits, which take long to compute, becomes a hexadecimal string.

    Raises ValueEncodingError for a value that cannot travel.
    """
    if type(value) is str:
        return value
    return json.dumps(_plain(value, 0), ensure_ascii=False, allow_nan=False)


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _digits(value)
    if isinstance(value, float):
        return float.__float__(value) if math.isfinite(value) else None
    if depth > 2 * MAX_DEPTH:
        raise ValueEncodingError(f"a value nested over {2 * MAX_DEPTH} deep has no text")
    if isinstance(value, dict):
        return _plain_dict(value, depth)
    if isinstance(value, set | frozenset):
        return _plain_set(value, depth)
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    return _scalar(value)


def _plain_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    again: dict[str, int] = {}
    for key, item in value.items():
        text = name = _key(key)
        while text in plain:
            again[name] = again.get(name, 0) + 1
            count = f" {again[name]}" if again[name] > 1 else ""
            text = f"{name} ({type(key).__name__}{count})"
        plain[text] = _plain(item, depth + 1)
    return plain


def _scalar(value: Any) -> str:
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID | complex):
        return str(value)
    if isinstance(value, Fraction):
        above, below = _digits(value.numerator), _digits(value.denominator)
        return f"{above}" if below == 1 else f"{above}/{below}"
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise ValueEncodingError(
        f"a {type(value).__name__} object has no text; expected a value that can travel"
    )


def _key(key: Any) -> str:
    plain = _plain(key, 0)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _digits(value: int) -> int | str:
    if value.bit_length() > _MAX_DIGIT_BITS:
        return hex(value)
    try:
        int.__repr__(value)
    except ValueError:  # the project has lowered Python's limit
        return hex(value)
    return int(value)


def _plain_set(members: AbstractSet[Any], depth: int) -> list[Any]:
    plain = _in_natural_order(members, depth)
    return [one for _, one in _by_text(members, depth)] if plain is None else plain


def _in_natural_order(members: AbstractSet[Any], depth: int) -> list[Any] | None:
    """Return members of one level in order, or None where only their texts have an order."""
    kinds = set(map(type, members))
    if kinds.isdisjoint((tuple, frozenset)):
        return [_plain(member, depth + 1) for member in _in_order(members, kinds)]
    if kinds == {tuple} and _kinds_within(members) <= _SORTABLE:
        try:
            return [_plain(member, depth + 1) for member in sorted(members)]
        except TypeError:  # None, or dates with and without a zone
            pass
    return None


def _by_text(members: AbstractSet[Any], depth: int) -> list[tuple[str, Any]]:
    return sorted((_with_text(member, depth + 1) for member in members), key=itemgetter(0))


def _with_text(value: Any, depth: int) -> tuple[str, Any]:
    """Return a text to sort by, and the plain value; each nested value is written once."""
    if depth > 2 * MAX_DEPTH:
        raise ValueEncodingError(f"a value nested over {2 * MAX_DEPTH} deep has no text")
    if isinstance(value, frozenset):
        plain = _in_natural_order(value, depth)
        if plain is not None:
            return f"frozenset {plain}", plain
        pairs = _by_text(value, depth)
    elif isinstance(value, tuple):
        pairs = [_with_text(item, depth + 1) for item in value]
    else:
        plain = _plain(value, depth)
        return f"{type(value).__name__} {plain}", plain
    texts = ", ".join(text for text, _ in pairs)
    return f"{type(value).__name__} [{texts}]", [plain for _, plain in pairs]


def _kinds_within(members: Iterable[Any]) -> set[type]:
    """Return the types of what tuples contain, and the tuples in them."""
    kinds: set[type] = set()
    level = list(members)
    while level:
        items = list(chain.from_iterable(level))
        kinds.update(map(type, items))
        level = [item for item in items if type(item) is tuple]
    return kinds - {tuple}


def _in_order(members: AbstractSet[Any], kinds: set[type]) -> list[Any]:
    # Comparing a Decimal with a large int converts the int to digits, which takes seconds.
    if len(kinds) == 1 or kinds <= _COMPARABLE:
        try:
            return sorted(members)
        except (TypeError, ArithmeticError):  # dates with and without a zone; a nan of Decimal
            pass
    return sorted(members, key=lambda member: (type(member).__name__, str(_plain(member, 0))))


def _duration(value: timedelta) -> str:
    # Not abs(): the most negative timedelta has no positive counterpart.
    total = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    seconds, microseconds = divmod(abs(total), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    date_part = f"{days}D" if days else ""
    clock = f"{hours}H" if hours else ""
    clock += f"{minutes}M" if minutes else ""
    if microseconds:
        clock += f"{seconds}.{microseconds:06d}".rstrip("0") + "S"
    elif seconds or not (date_part or clock):
        clock += f"{seconds}S"
    return f"{'-' if total < 0 else ''}P{date_part}" + (f"T{clock}" if clock else "")
