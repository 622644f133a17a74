"""The decoding of untrusted bytes to Python values."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from io import BytesIO
from typing import Any, Final
from uuid import UUID

import cbor2

from codemode.errors.base import ValueDecodingError
from codemode.values.floods import NUMBERED, check_dict, check_set
from codemode.values.scan import scan
from codemode.values.wire_format import (
    KEY_TYPES,
    MAX_BYTES,
    MAX_DECIMAL_DIGITS,
    MAX_DECIMAL_EXPONENT,
    MAX_DEPTH,
    MAX_FRACTION_BITS,
    MAX_INT_BITS,
    MAX_ITEMS,
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

__all__ = ["decode"]

_ODD_SIMPLE: Final = re.compile(rb"[\xe0-\xf3\xf7\xf8]")
"""A head of a simple value that is not false, true or null, if it is a head."""
_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]{1,40}(?:/[A-Za-z0-9_+-]{1,40}){0,3}")
_MAX_MOMENT: Final = 64
_MAX_TAGS: Final = 3
"""Levels that tags and arrays add inside the innermost container: a Fraction of bignums."""
_DAY: Final = 86_400_000_000
_DIGITS: Final = f"[0-9]{{1,{MAX_DECIMAL_DIGITS}}}"
_DECIMAL: Final = re.compile(
    rf"-?(?:{_DIGITS}(?:\.{_DIGITS})?(?:[Ee][+-][0-9]{{1,7}})?|Infinity|s?NaN(?:{_DIGITS})?)"
)


def decode(
    data: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    trusted: bool = False,
) -> Any:
    """Return the value that ``encode`` has turned into these bytes.

    ``trusted=True`` skips the checks against bytes that were made to cost time
    or memory: use it only for bytes from the host. Raises ValueDecodingError
    when the bytes are not a value within the limits.
    """
    if len(data) > max_bytes:
        raise ValueDecodingError(
            f"{len(data):,} bytes are over the limit of {max_bytes:,}; send a smaller value"
        )
    if not trusted and (len(data) > MAX_ITEMS or _ODD_SIMPLE.search(data)):
        scan(data)
    tags = _TRUSTED_TAGS if trusted else _TAGS
    try:
        return _decode(data, tags, max_depth)
    except cbor2.CBORDecodeError as error:
        if "nesting depth" not in str(error):
            raise _reason(error) from error
    # cbor2 counts a tag as a level and we do not: count exactly, then allow for tags.
    scan(data, max_depth=max_depth)
    try:
        return _decode(data, tags, 2 * max_depth + _MAX_TAGS)
    except cbor2.CBORDecodeError as error:
        raise _reason(error) from error


def _decode(data: bytes, tags: _Tags, max_depth: int) -> Any:
    source = BytesIO(data)
    decoder = cbor2.CBORDecoder(
        source,
        semantic_decoders=tags,
        max_depth=max_depth,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    value = decoder.decode()
    left = len(data) - source.tell()
    if left:
        raise ValueDecodingError(f"{left} bytes follow the value; expected none")
    return value


def _reason(error: BaseException) -> ValueDecodingError:
    """Return the innermost reason: cbor2 wraps the error of a tag's reader at each level."""
    cause: BaseException | None = error
    text = str(error)
    while cause is not None:
        if isinstance(cause, ValueDecodingError):
            return cause
        text = str(cause) or text
        cause = cause.__cause__
    return ValueDecodingError(f"not a value: {text}")


class _Tags(dict[int, Callable[[Any, bool], Any]]):
    """The readers by tag; any other tag is refused, even one that cbor2 knows."""

    def __missing__(self, tag: int) -> Callable[[Any, bool], Any]:
        raise ValueDecodingError(
            f"the tag {tag} is not one that values use; "
            "both sides need the same version of codemode"
        )


def _map(checked: bool) -> Callable[[Any, bool], Any]:
    def read(flat: Any, immutable: bool) -> dict[Any, Any]:
        if type(flat) is not list or len(flat) % 2:
            raise ValueDecodingError("a dict's tag does not hold an array of keys and values")
        keys = flat[::2]
        _check_keys(keys, check_dict if checked else None)
        value = dict(zip(keys, flat[1::2], strict=True))
        if len(value) != len(keys):
            raise ValueDecodingError("a dict has a key twice")
        return value

    return read


def _set(kind: type[set[Any] | frozenset[Any]], checked: bool) -> Callable[[Any, bool], Any]:
    def read(members: Any, immutable: bool) -> set[Any] | frozenset[Any]:
        if type(members) is not list:
            raise ValueDecodingError(f"a {kind.__name__}'s tag does not hold an array")
        _check_keys(members, check_set if checked else None)
        value = kind(members)
        if len(value) != len(members):
            raise ValueDecodingError(f"a {kind.__name__} has a member twice")
        return value

    return read


def _tuple(items: Any, immutable: bool) -> tuple[Any, ...]:
    if type(items) is not list:
        raise ValueDecodingError("a tuple's tag does not hold an array")
    return tuple(items)


def _check_keys(keys: list[Any], check: Callable[[list[Any]], None] | None) -> None:
    kinds = set(map(type, keys))
    if not kinds <= KEY_TYPES:
        names = ", ".join(sorted(kind.__name__ for kind in kinds - KEY_TYPES))
        raise ValueDecodingError(f"{names} cannot be a key or a member of a set")
    if check is not None and not kinds.isdisjoint(NUMBERED):
        check(keys)


def _positive(body: Any, immutable: bool) -> int:
    if type(body) is not bytes or len(body) > MAX_INT_BITS // 8:
        raise ValueDecodingError(f"no integer of at most {MAX_INT_BITS:,} bits")
    return int.from_bytes(body)


def _negative(body: Any, immutable: bool) -> int:
    return -1 - _positive(body, immutable)


def _decimal(text: Any, immutable: bool) -> Decimal:
    if type(text) is not str or not _DECIMAL.fullmatch(text):
        raise ValueDecodingError(f"not a Decimal as str() writes it: {str(text)[:40]!r}")
    value = Decimal(text)
    if value.is_finite() and abs(value.adjusted()) > MAX_DECIMAL_EXPONENT + MAX_DECIMAL_DIGITS:
        raise ValueDecodingError(
            f"a Decimal of the magnitude 1E{value.adjusted():+}; "
            f"exponents travel up to {MAX_DECIMAL_EXPONENT:,} either way"
        )
    return value


def _fraction(parts: Any, immutable: bool) -> Fraction:
    if type(parts) is list and list(map(type, parts)) == [int, int]:
        numerator, denominator = parts
        if max(map(int.bit_length, parts)) <= MAX_FRACTION_BITS and denominator > 0:
            value = Fraction(numerator, denominator)
            if value.denominator == denominator:
                return value
    raise ValueDecodingError(
        f"no Fraction in lowest terms, of at most {MAX_FRACTION_BITS:,} bits above and below"
    )


def _complex(parts: Any, immutable: bool) -> complex:
    if type(parts) is list and list(map(type, parts)) == [float, float]:
        return complex(*parts)
    raise ValueDecodingError("a complex number's tag does not hold two floats")


def _moment[T: (datetime, time)](kind: type[T]) -> Callable[[Any, bool], T]:
    def read(body: Any, immutable: bool) -> T:
        text, key, fold = body if type(body) is list and len(body) == 3 else (body, None, 0)
        if type(text) is not str or len(text) > _MAX_MOMENT or fold not in (0, 1):
            raise ValueDecodingError(f"no {kind.__name__}: {str(body)[:80]!r}")
        try:
            value = kind.fromisoformat(text)
        except ValueError as error:
            raise ValueDecodingError(f"no {kind.__name__}: {error}") from None
        if key is not None:
            value = value.replace(tzinfo=_zone(key))
        return value.replace(fold=fold) if fold else value

    return read


def _zone(key: Any) -> tzinfo:
    if type(key) is int and abs(key) < _DAY:
        return timezone(timedelta(microseconds=key))
    from zoneinfo import ZoneInfo  # here: it is slow to load, and most values have no zone

    if type(key) is str and _ZONE_KEY.fullmatch(key):
        try:
            return ZoneInfo(key)
        except (ValueError, OSError, LookupError, ImportError):
            # LookupError: no such zone. OSError: a directory such as "Europe".
            raise ValueDecodingError(
                f"the time zone {key!r} is not known here; install tzdata, or send an offset"
            ) from None
    raise ValueDecodingError(f"no key of a time zone: {str(key)[:40]!r}")


def _date(text: Any, immutable: bool) -> date:
    if type(text) is not str or len(text) > _MAX_MOMENT:
        raise ValueDecodingError("a date's tag does not hold a date")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueDecodingError(f"no date: {error}") from None


def _timedelta(parts: Any, immutable: bool) -> timedelta:
    if type(parts) is list and list(map(type, parts)) == [int, int, int]:
        days, seconds, microseconds = parts
        if abs(days) < 10**9 and 0 <= seconds < 86_400 and 0 <= microseconds < 10**6:
            return timedelta(days, seconds, microseconds)
    raise ValueDecodingError("no timedelta of days, seconds and microseconds in their ranges")


def _uuid(body: Any, immutable: bool) -> UUID:
    if type(body) is not bytes or len(body) != 16:
        raise ValueDecodingError("a UUID's tag does not hold 16 bytes")
    return UUID(bytes=body)


_SCALARS: Final[dict[int, Callable[[Any, bool], Any]]] = {
    TAG_POSITIVE: _positive,
    TAG_NEGATIVE: _negative,
    TAG_UUID: _uuid,
    TAG_DATE: _date,
    TAG_DECIMAL: _decimal,
    TAG_FRACTION: _fraction,
    TAG_COMPLEX: _complex,
    TAG_DATETIME: _moment(datetime),
    TAG_TIME: _moment(time),
    TAG_TIMEDELTA: _timedelta,
}


def _tags(checked: bool) -> _Tags:
    return _Tags(
        {
            **_SCALARS,
            TAG_TUPLE: _tuple,
            TAG_MAP: _map(checked),
            TAG_SET: _set(set, checked),
            TAG_FROZENSET: _set(frozenset, checked),
        }
    )


_TAGS: Final = _tags(checked=True)
_TRUSTED_TAGS: Final = _tags(checked=False)
