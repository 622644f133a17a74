"""The detection of keys that were chosen to make a dict or a set slow.

CPython hashes numbers without a secret, so an attacker can choose a hundred
thousand integers that collide in a dict: all with the same hash (multiples of
2⁶¹-1), or with different hashes that lead through the same slots. Each such key
then passes all keys before it, and the time grows with the square of their
number.

Text and bytes are hashed with a secret of the process (unless PYTHONHASHSEED
removes it, as it does in a sandbox, whose code can only lose its own CPU time),
so only other keys are checked. Equal hashes are found by sorting,
which no choice of keys makes slow. Shared slots are found by following the path
of each key in a table of marks, as ``Objects/dictobject.c`` and
``Objects/setobject.c`` of CPython do in their tables, with an allowance of steps
in proportion to the number of keys.

A few equal hashes are enough where a comparison is slow; ``equal_hashes`` has
the rules for those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from operator import eq
from typing import Any, Final
from uuid import UUID

from codemode.errors.base import ValueDecodingError
from codemode.values.equal_hashes import check_equal_hashes, flood, has_large_fraction
from codemode.values.wire_format import MAX_KEY_FRACTION_BITS

__all__ = ["NUMBERED", "check_dict", "check_list", "check_set"]

NUMBERED: Final = frozenset(
    {
        int,
        float,
        complex,
        Decimal,
        Fraction,
        datetime,
        date,
        time,
        timedelta,
        UUID,
        tuple,
        frozenset,
    }
)
"""Types whose hash an attacker can compute; text and bytes are hashed under a secret."""

_SMALL: Final = 256
"""Up to so many keys, the worst paths cost no more than building the keys did."""
_SMALL_LIST: Final = 16_384
"""Up to so many members, the worst paths of different hashes take 0.2 s."""
_FEW: Final = 32
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
    the ``NUMBERED`` types that have a hash are checked, or with ``every_kind``
    all values, which must have one. Raises TypeError when one has none.
    """
    if every_kind:
        _check_fractions(values)
    else:
        kinds = set(map(type, values))
        if kinds.isdisjoint(NUMBERED):
            return
        if not kinds <= NUMBERED or not kinds.isdisjoint(_CAREFUL):
            values = [value for value in values if _is_hashable(value)]
    hashes = list(map(hash, values))
    ordered = sorted(hashes)
    if any(map(eq, ordered, ordered[1:])):
        # Made unique by their text: a set of the values must not be built yet.
        values = list({_written(value): value for value in values}.values())
        hashes = list(map(hash, values))
        ordered = sorted(hashes)
    check_equal_hashes(values, hashes, ordered)
    if len(hashes) > _SMALL_LIST:
        _check_dict_tables(values, hashes)
        _check_set_tables(hashes)


_CAREFUL: Final = frozenset({tuple, frozenset, Fraction})
"""Types of which some values have no hash, or none that is safe to compute."""


def _is_hashable(value: Any) -> bool:
    kind = type(value)
    if kind not in _CAREFUL:
        return kind in NUMBERED
    if has_large_fraction((value,)):
        return False
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _written(value: Any) -> str:
    kind = type(value)
    if kind is int:
        return hex(value)
    if kind is tuple:
        return f"({','.join(map(_written, value))})"
    if kind is frozenset:
        return f"{{{','.join(sorted(map(_written, value)))}}}"
    return repr(value)


def _check_fractions(keys: Sequence[Any]) -> None:
    if has_large_fraction(keys):
        raise ValueDecodingError(
            "a Fraction in a key or a member of a set has at most "
            f"{MAX_KEY_FRACTION_BITS} bits above and below; use a float or a str"
        )


def _hashes(keys: Sequence[Any]) -> list[int]:
    _check_fractions(keys)
    try:
        hashes = list(map(hash, keys))
    except TypeError as error:
        raise ValueDecodingError(f"a key without a hash: {error}") from error
    check_equal_hashes(keys, hashes, sorted(hashes))
    return hashes


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
                    raise flood()
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
                    raise flood()
        taken[slot] = 1
