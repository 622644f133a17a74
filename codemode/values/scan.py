"""A walk over CBOR heads that builds nothing.

Only values that are large, deep or odd are walked: for all others, what cbor2
builds is bounded by the number of bytes.
"""

from __future__ import annotations

from typing import Final

from codemode.errors.base import ValueDecodingError
from codemode.values.wire_format import (
    MAX_ITEMS,
    TAG_COMPLEX,
    TAG_DATETIME,
    TAG_FRACTION,
    TAG_TIME,
    TAG_TIMEDELTA,
)

__all__ = ["scan"]

_BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = 2, 3, 4, 5, 6, 7
_ARRAYS_OF_SCALARS: Final = frozenset(
    {TAG_COMPLEX, TAG_DATETIME, TAG_FRACTION, TAG_TIME, TAG_TIMEDELTA}
)


def _length_of(head: int) -> int:
    """Return the length of an item, if its head alone determines it, else 0."""
    major, info = head >> 5, head & 31
    if major in (_BYTES, _TEXT):
        return 1 + info if info < 24 else 0
    if major < _BYTES or (major == _SIMPLE and info in (25, 26, 27)):
        return 1 if info < 24 else {24: 2, 25: 3, 26: 5, 27: 9}.get(info, 0)
    return 1 if major == _SIMPLE and info in (20, 21, 22) else 0


_LENGTHS: Final = tuple(map(_length_of, range(256)))


def scan(data: bytes, *, max_depth: int | None = None) -> None:
    """Raise ValueDecodingError unless the heads are within the limits.

    Checks the number of items, simple values, indefinite and declared lengths,
    and with ``max_depth`` the depth of containers. Takes time in
    proportion to the number of items, up to the limit.
    """
    position, end = 0, len(data)
    # Items still to come in the current container, and in those around it.
    left, around = 1, list[int]()
    budget = MAX_ITEMS
    flat = False
    while True:
        while not left:
            if not around:
                return
            left = around.pop()
        left -= 1
        budget -= 1
        if budget < 0:
            raise ValueDecodingError(f"more than {MAX_ITEMS:,} items; send fewer")
        if position >= end:
            raise ValueDecodingError("the bytes end inside the value")
        head = data[position]
        length = _LENGTHS[head]
        if length:
            position += length
            flat = False
            continue
        major, info = head >> 5, head & 31
        if info > 27 or major == _SIMPLE:
            raise ValueDecodingError(
                f"the byte 0x{head:02x} begins an item that values do not use "
                "(indefinite length, or neither false, true nor null)"
            )
        position += 1
        size = info
        if info > 23:
            width = 1 << (info - 24)
            size = int.from_bytes(data[position : position + width])
            position += width
        if major == _TAG:
            left += 1
            flat = size in _ARRAYS_OF_SCALARS
            continue
        if size > end - position:
            raise ValueDecodingError("the bytes end inside the value")
        if major in (_BYTES, _TEXT):
            position += size
        else:
            if max_depth is not None and not flat and len(around) >= max_depth:
                raise ValueDecodingError(f"nested over {max_depth} deep; flatten it")
            around.append(left)
            left = size if major == _ARRAY else 2 * size
        flat = False
