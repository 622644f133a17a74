"""Keys that were chosen to make a dict or a set slow.

CPython hashes numbers without a secret, so a stranger can choose a hundred
thousand integers that meet in a dict: all of one hash (multiples of 2⁶¹-1),
or of different hashes that lead through the same slots. Each such key then
passes all before it, and the time grows with the square of their number.

Text and bytes are hashed under a secret of the process (unless
PYTHONHASHSEED takes it away), so only other keys are looked at. Equal hashes
are found by sorting, which no choice of keys makes slow. Slots are found by
taking the path of each key in a table of marks, as ``Objects/dictobject.c``
and ``Objects/setobject.c`` of CPython do in theirs, with an allowance of steps in
proportion to the number of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import eq
from typing import Any, Final

from codemode.errors import ValueDecodingError

__all__ = ["check_dict", "check_set"]

_SAME_HASH: Final = 16
"""Keys that may share a hash: honest ones do by chance, such as -1 and -2."""
_SMALL: Final = 256
"""Up to so many keys, the worst paths cost no more than building the keys did."""
_STEPS_PER_KEY: Final = 32
"""Honest keys take 1 or 2; multiples of a large power of two up to about 30."""
_SHIFT: Final = 5
_WORD: Final = 2**64 - 1
_SET_NEIGHBOURS: Final = 9


def check_dict(keys: Sequence[Any]) -> None:
    """Raise ValueDecodingError when ``dict(zip(keys, ...))`` would be slow."""
    hashes = _hashes(keys)
    if len(hashes) > _SMALL:
        first_other = next(index for index, key in enumerate(keys) if type(key) is not str)
        for size, count in _dict_tables(len(hashes), first_other):
            if count > _SMALL:
                _walk_dict(hashes[:count], size)


def check_set(members: Sequence[Any]) -> None:
    """Raise ValueDecodingError when ``set(members)`` would be slow."""
    hashes = _hashes(members)
    if len(hashes) > _SMALL:
        for size, count in _set_tables(len(hashes)):
            if count > _SMALL:
                _walk_set(hashes[:count], size)


def _hashes(keys: Sequence[Any]) -> list[int]:
    try:
        hashes = list(map(hash, keys))
    except TypeError as error:
        raise ValueDecodingError(f"a key without a hash: {error}") from error
    if len(hashes) > _SAME_HASH:
        ordered = sorted(hashes)
        if any(map(eq, ordered, ordered[_SAME_HASH:])):
            raise _flood()
    return hashes


def _flood() -> ValueDecodingError:
    return ValueDecodingError("keys that were chosen to collide; send them as a list of pairs")


def _power_of_two(least: int) -> int:
    return max(8, 1 << (least - 1).bit_length())


def _dict_tables(keys: int, first_other: int) -> Iterator[tuple[int, int]]:
    """Yield each table that a growing dict goes through, with the keys put into it.

    A dict grows when two thirds are full, and when the first key that is no
    text comes.
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
    mask = size - 1
    taken = bytearray(size)
    allowance = _STEPS_PER_KEY * len(hashes)
    for key_hash in hashes:
        slot = key_hash & mask
        if taken[slot]:
            perturb = key_hash & _WORD
            while True:
                # Neighbours are tried first, where they do not run over the end.
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
