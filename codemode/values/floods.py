"""The detection of keys that were chosen to make a dict or a set slow.

CPython hashes numbers without a secret, so an attacker can choose a hundred
thousand integers that collide in a dict: all with the same hash (multiples of
2⁶¹-1), or with different hashes that lead through the same slots. Each such key
then passes all keys before it, and the time grows with the square of their
number.

Text and bytes are hashed with a secret of the process (unless PYTHONHASHSEED
removes it), so only other keys are checked. Equal hashes are found by sorting,
which no choice of keys makes slow. Shared slots are found by following the path
of each key in a table of marks, as ``Objects/dictobject.c`` and
``Objects/setobject.c`` of CPython do in their tables, with an allowance of steps
in proportion to the number of keys.

A few equal hashes are enough where a comparison is slow: ``Decimal == int``
converts the int to decimal digits, which takes seconds for a million bits. A
Decimal may therefore share its hash only with small numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from operator import eq
from typing import Any, Final
from uuid import UUID

from codemode.errors.base import ValueDecodingError

__all__ = ["NUMBERED", "check_dict", "check_list", "check_set"]

NUMBERED: Final = frozenset({int, float, Decimal, datetime, time, timedelta, UUID, date})
"""Types whose hash an attacker can compute; text and bytes are hashed under a secret."""

_SAME_HASH: Final = 16
"""Keys that may share a hash: honest ones do by chance, such as -1 and -2."""
_SMALL: Final = 256
"""Up to so many keys, the worst paths cost no more than building the keys did."""
_SMALL_LIST: Final = 16_384
"""Up to so many members, the worst paths of different hashes take 0.2 s."""
_FEW: Final = 32
_SMALL_BITS: Final = 1_024
_SMALL_FLOAT: Final = 1e30
"""Numbers that a Decimal is compared with within a microsecond or two."""
_STEPS_PER_KEY: Final = 32
"""Honest keys take 1 or 2; multiples of a large power of two up to about 30."""
_SHIFT: Final = 5
_WORD: Final = 2**64 - 1
_SET_NEIGHBOURS: Final = 9


def check_dict(keys: Sequence[Any]) -> None:
    """Raise ValueDecodingError when ``dict(zip(keys, ...))`` would be slow."""
    hashes = _hashes(keys)
    if len(hashes) > _SMALL:
        _check_dict_tables(keys, hashes)


def check_set(members: Sequence[Any]) -> None:
    """Raise ValueDecodingError when ``set(members)`` would be slow."""
    hashes = _hashes(members)
    if len(hashes) > _SMALL:
        _check_set_tables(hashes)


def check_list(values: Sequence[Any], *, every_kind: bool = False) -> None:
    """Raise ValueDecodingError when a dict or set of the list's members would be slow.

    A list may contain a value many times, which costs nothing. Only values of
    the ``NUMBERED`` types are checked, or with ``every_kind`` all values.
    """
    if not every_kind:
        kinds = set(map(type, values))
        if kinds.isdisjoint(NUMBERED):
            return
        if not kinds <= NUMBERED:
            values = [value for value in values if type(value) in NUMBERED]
    hashes = list(map(hash, values))
    ordered = sorted(hashes)
    if any(map(eq, ordered, ordered[1:])):
        # Made unique by their text: a set of the values must not be built yet.
        values = list({_written(value): value for value in values}.values())
        hashes = list(map(hash, values))
        ordered = sorted(hashes)
    _check_equal(values, hashes, ordered)
    if len(hashes) > _SMALL_LIST:
        _check_dict_tables(values, hashes)
        _check_set_tables(hashes)


def _written(value: Any) -> str:
    return hex(value) if type(value) is int else repr(value)


def _hashes(keys: Sequence[Any]) -> list[int]:
    try:
        hashes = list(map(hash, keys))
    except TypeError as error:
        raise ValueDecodingError(f"a key without a hash: {error}") from error
    _check_equal(keys, hashes, sorted(hashes))
    return hashes


def _check_equal(keys: Sequence[Any], hashes: list[int], ordered: list[int]) -> None:
    if any(map(eq, ordered, ordered[_SAME_HASH:])):
        raise _flood()
    if Decimal not in set(map(type, keys)) or not any(map(eq, ordered, ordered[1:])):
        return
    order = sorted(range(len(keys)), key=hashes.__getitem__)
    for _, group in groupby(order, key=hashes.__getitem__):
        same = [keys[index] for index in group]
        if Decimal in map(type, same) and not all(map(_is_small, same)):
            raise _flood()


def _is_small(number: Any) -> bool:
    if type(number) is int:
        return number.bit_length() <= _SMALL_BITS
    if type(number) is float:
        return not number or 1 / _SMALL_FLOAT < abs(number) < _SMALL_FLOAT
    return True


def _flood() -> ValueDecodingError:
    return ValueDecodingError("keys that were chosen to collide; send them as a list of pairs")


def _power_of_two(least: int) -> int:
    return max(8, 1 << (least - 1).bit_length())


def _is_dense(hashes: list[int], size: int) -> bool:
    """Return whether nearly all keys find their first slot free, as consecutive ids do."""
    return len(hashes) - len(set(map((size - 1).__and__, hashes))) <= _FEW


def _check_dict_tables(keys: Sequence[Any], hashes: list[int]) -> None:
    first_other = next((index for index, key in enumerate(keys) if type(key) is not str), 0)
    for size, count in _dict_tables(len(hashes), first_other):
        if count > _SMALL:
            _walk_dict(hashes[:count], size)


def _check_set_tables(hashes: list[int]) -> None:
    for size, count in _set_tables(len(hashes)):
        if count > _SMALL:
            _walk_set(hashes[:count], size)


def _dict_tables(keys: int, first_other: int) -> Iterator[tuple[int, int]]:
    """Yield each table that a growing dict goes through, with the keys put into it.

    A dict grows when it is two thirds full, and when its first key that is not
    text is added.
    """
    size, only_text = 8, first_other > 0
    while True:
        count = min(2 * size // 3, first_other if only_text else keys)
        yield size, count
        if count == keys:
            return
        only_text = only_text and count < first_other
        size = _power_of_two(3 * count)


def _set_tables(members: int) -> Iterator[tuple[int, int]]:
    """Yield each table that a growing set goes through, with the members put into it."""
    size = 8
    while True:
        full = -(-3 * (size - 1) // 5)
        yield size, min(full, members)
        if full > members:
            return
        size = _power_of_two(full * (2 if full > 50_000 else 4) + 1)


def _walk_dict(hashes: list[int], size: int) -> None:
    if _is_dense(hashes, size):
        return
    mask = size - 1
    taken = bytearray(size)
    allowance = _STEPS_PER_KEY * len(hashes)
    for key_hash in hashes:
        slot = key_hash & mask
        if taken[slot]:
            perturb = key_hash & _WORD
            while taken[slot]:
                perturb >>= _SHIFT
                slot = (5 * slot + perturb + 1) & mask
                allowance -= 1
                if allowance < 0:
                    raise _flood()
        taken[slot] = 1


def _walk_set(hashes: list[int], size: int) -> None:
    if _is_dense(hashes, size):
        return
    mask = size - 1
    taken = bytearray(size)
    allowance = _STEPS_PER_KEY * len(hashes)
    for key_hash in hashes:
        slot = key_hash & mask
        if taken[slot]:
            perturb = key_hash & _WORD
            while True:
                # Neighbours are tried first, where they do not extend past the end.
                end = slot + _SET_NEIGHBOURS
                free = taken.find(0, slot, end + 1 if end <= mask else slot + 1)
                if free >= 0:
                    slot = free
                    break
                perturb >>= _SHIFT
                slot = (5 * slot + perturb + 1) & mask
                allowance -= 1
                if allowance < 0:
                    raise _flood()
        taken[slot] = 1
