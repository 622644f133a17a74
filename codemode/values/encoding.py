"""The encoding of Python values to bytes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import cbor2

from codemode.errors.base import ValueEncodingError
from codemode.values.convert import convert, convert_key
from codemode.values.equal_hashes import has_large_fraction
from codemode.values.refusal import RefusalError, too_many
from codemode.values.shortening import shorten
from codemode.values.wire_format import (
    KEY_TYPES,
    MAX_BYTES,
    MAX_DECIMAL_DIGITS,
    MAX_DECIMAL_EXPONENT,
    MAX_DEPTH,
    MAX_FRACTION_BITS,
    MAX_INT_BITS,
    MAX_ITEMS,
    MAX_KEY_FRACTION_BITS,
    TAG_COMPLEX,
    TAG_DATE,
    TAG_DATETIME,
    TAG_DECIMAL,
    TAG_FRACTION,
    TAG_FROZENSET,
    TAG_MAP,
    TAG_SET,
    TAG_TIME,
    TAG_TIMEDELTA,
    TAG_TUPLE,
    TAG_UUID,
)

__all__ = ["encode"]

_ATOMS: Final = frozenset({type(None), bool, float})
_WORD: Final = 2**63


def encode(
    value: Any,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    path: str = "value",
    order_sets: bool = False,
) -> bytes:
    """Return a value as CBOR bytes, by the rules of ``codemode.values``.

    ``max_bytes`` limits the length of the result, ``max_depth`` the nesting of
    containers, and ``path`` is the name of the value in messages. With
    ``order_sets`` equal sets give the same bytes in each process; else their
    order is that of their hashes. Raises ValueEncodingError with the path to
    what cannot travel.
    """
    try:
        data = _encode(value, max_bytes, max_depth, order_sets)
    except RefusalError as refusal:
        raise ValueEncodingError(refusal.message(path)) from refusal.__cause__
    if len(data) > max_bytes:
        raise ValueEncodingError(f"{path}: {_too_large(max_bytes)}")
    return data


def _encode(value: Any, max_bytes: int, max_depth: int, order_sets: bool) -> bytes:
    if type(value) in _ATOMS:
        return cbor2.dumps(value)
    try:
        return cbor2.dumps(_Preparation(max_bytes, max_depth, order_sets).whole(value))
    except UnicodeEncodeError:
        # The texts are checked one by one only when some text is known to be bad.
        strict = _Preparation(max_bytes, max_depth, order_sets, check_text=True)
        return cbor2.dumps(strict.whole(value))


def _too_large(max_bytes: int) -> str:
    return f"larger than {max_bytes:,} bytes encoded; send less of it, or a summary"


class _Preparation:
    """One walk over a value that turns it into what cbor2 writes without loss.

    cbor2 receives only exact builtin types and tags: by itself it encodes some
    types differently and recurses without a limit.
    """

    __slots__ = ("_check_text", "_items", "_max_bytes", "_max_depth", "_order_sets", "_size")

    def __init__(
        self, max_bytes: int, max_depth: int, order_sets: bool, *, check_text: bool = False
    ) -> None:
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._order_sets = order_sets
        self._check_text = check_text
        self._items = 1
        self._size = 0

    def whole(self, value: Any) -> Any:
        prepared = self.prepare(value, 0)
        self._count(0)
        return prepared

    def prepare(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            return value
        writer = _WRITERS.get(kind)
        if writer is not None:
            return writer(self, value, depth)
        try:
            converted, deeper = convert(value)
        except ValueEncodingError as error:
            raise RefusalError(str(error)) from error
        if depth + deeper > self._max_depth + 1:
            raise self._too_deep(value)
        try:
            return self.prepare(converted, depth + deeper)
        except RefusalError as refusal:
            raise refusal.within(value) from refusal.__cause__

    def _too_deep(self, value: Any) -> RefusalError:
        return RefusalError(f"nested over {self._max_depth} deep; flatten it").within(value)

    def _enter(self, value: Any, items: int, depth: int) -> None:
        """Count a container before its items are prepared."""
        if depth >= self._max_depth:
            raise self._too_deep(value)
        self._count(items)
        self._grow(items)

    def _count(self, items: int) -> None:
        self._items += items
        if self._items > MAX_ITEMS:
            raise too_many()

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._max_bytes:
            raise RefusalError(_too_large(self._max_bytes), whole=True)

    def _list(self, value: list[Any], depth: int) -> Any:
        self._enter(value, len(value), depth)
        return self._in_order(value, depth)

    def _tuple(self, value: tuple[Any, ...], depth: int) -> Any:
        self._enter(value, len(value) + 1, depth)
        return cbor2.CBORTag(TAG_TUPLE, self._in_order(value, depth))

    def _in_order(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        prepared: list[Any] = []
        add = prepared.append
        try:
            for item in value:
                kind = type(item)
                if kind in _ATOMS or (kind is int and -_WORD <= item < _WORD):
                    add(item)
                else:
                    add(self.prepare(item, depth + 1))
        except RefusalError as refusal:
            raise refusal.within(value, f"[{len(prepared)}]") from refusal.__cause__
        return prepared

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        self._enter(value, 2 * len(value), depth)
        prepared: dict[Any, Any] = {}
        written: dict[Any, Any] = {}  # the keys that are written in another form
        only_text = True
        for key, item in value.items():
            if type(key) is str and not self._check_text:
                self._size += len(key)
            else:
                key, as_written = self._key(key, value, "key", depth)
                if type(key) not in (str, bytes):
                    only_text = False
                    written[key] = as_written
            if key in prepared:
                raise RefusalError(f"two keys become {shorten(key)}; make them differ")
            kind = type(item)
            if kind in _ATOMS or (kind is int and -_WORD <= item < _WORD):
                prepared[key] = item
                continue
            try:
                prepared[key] = self.prepare(item, depth + 1)
            except RefusalError as refusal:
                raise refusal.within(value, f"[{shorten(key)}]") from refusal.__cause__
        self._grow(0)
        if only_text:
            return prepared
        self._items += 1
        flat: list[Any] = []
        for key, item in prepared.items():
            flat += (written.get(key, key), item)
        return cbor2.CBORTag(TAG_MAP, flat)

    def _set(self, value: set[Any] | frozenset[Any], depth: int) -> Any:
        self._enter(value, len(value) + 1, depth)
        pairs = [self._key(member, value, "member", depth) for member in value]
        _, prepared = self._unordered(type(value), pairs)
        return prepared

    def _unordered(
        self, kind: type[set[Any] | frozenset[Any]], pairs: list[tuple[Any, Any]]
    ) -> tuple[Any, Any]:
        value = kind(plain for plain, _ in pairs)
        if len(value) != len(pairs):
            raise RefusalError(
                f"two members of the {kind.__name__} become equal; make them differ, or use a list"
            )
        tag = TAG_SET if kind is set else TAG_FROZENSET
        members = [prepared for _, prepared in pairs]
        if self._order_sets:
            members.sort(key=cbor2.dumps)
        return value, cbor2.CBORTag(tag, members)

    def _key(self, key: Any, container: Any, role: str, depth: int) -> tuple[Any, Any]:
        """Return a key or member in the form that arrives, and in the form that is written."""
        try:
            return self._hashable(key, role, depth + 1)
        except RefusalError as refusal:
            refusal.problem = f"the {role} {shorten(key)}: {refusal.problem}"
            raise refusal.within(container) from refusal.__cause__

    def _hashable(self, key: Any, role: str, depth: int) -> tuple[Any, Any]:
        if type(key) not in KEY_TYPES:
            key = convert_key(key, role)
        kind = type(key)
        if kind is tuple or kind is frozenset:
            self._enter(key, len(key) + 1, depth)
            pairs = [self._hashable(one, role, depth + 1) for one in key]
            if kind is frozenset:
                return self._unordered(frozenset, pairs)
            prepared = [prepared for _, prepared in pairs]
            return tuple([plain for plain, _ in pairs]), cbor2.CBORTag(TAG_TUPLE, prepared)
        if kind is Fraction and has_large_fraction((key,)):
            raise RefusalError(
                f"a Fraction in a {role} has at most {MAX_KEY_FRACTION_BITS} bits above and below; "
                "use a float or a str"
            )
        return key, self.prepare(key, depth)

    def _str(self, value: str, depth: int) -> str:
        self._grow(len(value))
        if self._check_text:
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise RefusalError(
                    f"the text has a lone surrogate {value[error.start]!r} at {error.start}, "
                    "which is not a character; "
                    'use text.encode("utf-8", "replace").decode() or send the bytes'
                ) from None
        return value

    def _bytes(self, value: bytes, depth: int) -> bytes:
        self._grow(len(value))
        return value

    def _int(self, value: int, depth: int) -> int:
        bits = value.bit_length()
        if bits > MAX_INT_BITS:
            raise RefusalError(f"an integer of {bits:,} bits; at most {MAX_INT_BITS:,} travel")
        self._items += bits > 63
        self._grow(bits >> 3)
        return value

    def _decimal(self, value: Decimal, depth: int) -> Any:
        _, digits, exponent = value.as_tuple()
        if len(digits) > MAX_DECIMAL_DIGITS:
            raise RefusalError(
                f"a Decimal of {len(digits):,} digits; at most {MAX_DECIMAL_DIGITS:,} travel"
            )
        if isinstance(exponent, int) and abs(exponent) > MAX_DECIMAL_EXPONENT:
            raise RefusalError(
                f"a Decimal with the exponent {exponent}; "
                f"at most {MAX_DECIMAL_EXPONENT:,} either way travels"
            )
        self._items += 1
        self._grow(len(digits))
        return cbor2.CBORTag(TAG_DECIMAL, str(value))

    def _fraction(self, value: Fraction, depth: int) -> Any:
        parts = [value.numerator, value.denominator]
        bits = max(map(int.bit_length, parts))
        if bits > MAX_FRACTION_BITS:
            raise RefusalError(
                f"a Fraction of {bits:,} bits; at most {MAX_FRACTION_BITS:,} travel above and "
                "below; use value.limit_denominator(), a float or a Decimal"
            )
        self._items += 3
        for part in parts:
            self._int(part, depth)
        return cbor2.CBORTag(TAG_FRACTION, parts)

    def _complex(self, value: complex, depth: int) -> Any:
        self._items += 3
        return cbor2.CBORTag(TAG_COMPLEX, [value.real, value.imag])

    def _datetime(self, value: datetime, depth: int) -> Any:
        self._items += 4
        return cbor2.CBORTag(TAG_DATETIME, _moment(value, value.tzinfo))

    def _time(self, value: time, depth: int) -> Any:
        self._items += 4
        return cbor2.CBORTag(TAG_TIME, _moment(value, value.tzinfo))

    def _date(self, value: date, depth: int) -> Any:
        self._items += 1
        return cbor2.CBORTag(TAG_DATE, value.isoformat())

    def _timedelta(self, value: timedelta, depth: int) -> Any:
        self._items += 4
        return cbor2.CBORTag(TAG_TIMEDELTA, [value.days, value.seconds, value.microseconds])

    def _uuid(self, value: UUID, depth: int) -> Any:
        self._items += 1
        return cbor2.CBORTag(TAG_UUID, value.bytes)


_WRITERS: Final[dict[type, Callable[[_Preparation, Any, int], Any]]] = {
    int: _Preparation._int,
    str: _Preparation._str,
    bytes: _Preparation._bytes,
    complex: _Preparation._complex,
    list: _Preparation._list,
    tuple: _Preparation._tuple,
    dict: _Preparation._dict,
    set: _Preparation._set,
    frozenset: _Preparation._set,
    Decimal: _Preparation._decimal,
    Fraction: _Preparation._fraction,
    datetime: _Preparation._datetime,
    date: _Preparation._date,
    time: _Preparation._time,
    timedelta: _Preparation._timedelta,
    UUID: _Preparation._uuid,
}


def _moment(value: datetime | time, zone: tzinfo | None) -> str | list[Any]:
    """Return the text of a datetime or time, in an array with zone and fold where needed."""
    if zone is None:
        return [value.isoformat(), None, 1] if value.fold else value.isoformat()
    key = getattr(zone, "key", None)
    if type(key) is str and _is_zone_info(zone):
        return [value.replace(tzinfo=None).isoformat(), key, value.fold]
    offset = value.utcoffset()
    if offset is None:
        raise RefusalError(
            f"a {type(value).__name__} whose zone {zone!r} has no offset without a date; "
            "use a ZoneInfo, or value.replace(tzinfo=None)"
        )
    if offset.microseconds:
        # fromisoformat() loses an offset of less than a second.
        return [value.replace(tzinfo=None).isoformat(), offset // timedelta.resolution, value.fold]
    return [value.isoformat(), None, 1] if value.fold else value.isoformat()


def _is_zone_info(zone: tzinfo) -> bool:
    from zoneinfo import ZoneInfo  # here: it is slow to load, and most values have no zone

    return isinstance(zone, ZoneInfo)
