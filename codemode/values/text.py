"""A value as text for a language model."""

from __future__ import annotations

import base64
import json
import math
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from codemode.errors.base import ValueEncodingError
from codemode.values.wire_format import MAX_DEPTH

__all__ = ["to_text"]

_COMPARABLE: Final = frozenset({bool, int, float})
_MAX_DIGIT_BITS: Final = 14_284
"""The bits of an integer of 4,300 digits, which is as many as Python writes by default."""


def to_text(value: Any) -> str:
    """Return a ``str`` unchanged, and the JSON of any other value that can travel.

    Decimal, date, datetime, time and UUID become strings, a timedelta becomes
    its ISO 8601 duration (``P1DT2H``), bytes become base64. A set becomes a
    sorted list. nan and the infinities become null. A key that is not a string
    becomes a string; where two keys would become equal, the later one gets its
    type as a suffix. An integer of more than 4,300 digits, which take long to
    compute, becomes a hexadecimal string.

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
        plain: dict[str, Any] = {}
        for key, item in value.items():
            text = _key(key)
            if text in plain:
                text = f"{text} ({type(key).__name__})"
            plain[text] = _plain(item, depth + 1)
        return plain
    if isinstance(value, set | frozenset):
        value = _in_order(value)
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
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


def _in_order(members: set[Any] | frozenset[Any]) -> list[Any]:
    kinds = set(map(type, members))
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
