"""Bounds on the comparisons that keys of equal hashes cost each other.

A dict or set compares a key with each other key of its hash. Honest keys share
a hash by chance, such as -1 and -2, or (1, -1) and (1, -2): so a few may. How
many depends on what one comparison costs.

* Scalars and tuples of them are compared in time linear in their size.
* ``Decimal == int`` converts the int to decimal digits, which takes seconds for
  a million bits. A Decimal may share its hash only with small numbers. So may a
  Fraction, whose comparison is Python code.
* Two frozensets look each member of the one up in the other, and compare it
  there with the members of its hash. With frozensets in frozensets, that
  multiplies at each level: to the square of their size. So frozensets that
  contain others must all differ in their hashes.

A tuple computes its hash from its items each time; a frozenset keeps its own.
The walks here therefore go through tuples and end at frozensets, which were
checked when they were built: whatever is nested, each item is visited a bounded
number of times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import chain, groupby
from operator import eq
from typing import Any, Final

from codemode.errors.base import ValueDecodingError
from codemode.values.wire_format import MAX_KEY_FRACTION_BITS

__all__ = ["check_equal_hashes", "flood", "has_large_fraction"]

_SAME_HASH: Final = 16
_SAME_HASH_OF_FROZENSETS: Final = 8
_SAME_HASH_OF_FRACTIONS: Final = 4
"""Keys that may share a hash; the smaller numbers hold for keys that contain one of these."""
_SMALL_BITS: Final = 1_024
_SMALL_FLOAT: Final = 1e30
"""Numbers that a Decimal or Fraction is compared with within a microsecond or two."""
_LARGE_PART: Final = 1 << MAX_KEY_FRACTION_BITS
_TO_LOOK_INTO: Final = frozenset({Decimal, Fraction, tuple, frozenset})


def check_equal_hashes(keys: Sequence[Any], hashes: list[int], ordered: list[int]) -> None:
    """Raise ValueDecodingError when keys of equal hashes cost much; ``ordered`` is sorted."""
    if any(map(eq, ordered, ordered[_SAME_HASH:])):
        raise flood()
    if _TO_LOOK_INTO.isdisjoint(map(type, keys)) or not any(map(eq, ordered, ordered[1:])):
        return
    order = sorted(range(len(keys)), key=hashes.__getitem__)
    for _, group in groupby(order, key=hashes.__getitem__):
        same = [keys[index] for index in group]
        if len(same) > 1:
            _check_comparisons(same)


def _check_comparisons(keys: list[Any]) -> None:
    scalars, frozensets = _contents(keys)
    if frozensets:
        members, nested = _contents(chain.from_iterable(frozensets))
        if nested:
            raise flood()
        scalars += members
    kinds = set(map(type, scalars))
    if frozensets and len(keys) > _SAME_HASH_OF_FROZENSETS:
        raise flood()
    if Fraction in kinds and len(keys) > _SAME_HASH_OF_FRACTIONS:
        raise flood()
    if not kinds.isdisjoint((Decimal, Fraction)) and not all(map(_is_small, scalars)):
        raise flood()


def _contents(keys: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """Return the scalars and the frozensets among keys and in their tuples."""
    scalars: list[Any] = []
    frozensets: list[Any] = []
    level = list(keys)
    while level:
        deeper: list[Any] = []
        for one in level:
            kind = type(one)
            if kind is tuple:
                deeper += one
            elif kind is frozenset:
                frozensets.append(one)
            else:
                scalars.append(one)
        level = deeper
    return scalars, frozensets


def has_large_fraction(keys: Sequence[Any]) -> bool:
    """Return whether a Fraction is among keys or in their tuples whose hash is not safe."""
    level = keys
    while True:
        kinds = set(map(type, level))
        if Fraction in kinds and any(
            type(one) is Fraction and max(abs(one.numerator), one.denominator) >= _LARGE_PART
            for one in level
        ):
            return True
        if tuple not in kinds:
            return False
        level = list(chain.from_iterable(one for one in level if type(one) is tuple))


def _is_small(number: Any) -> bool:
    kind = type(number)
    if kind is int:
        small: bool = number.bit_length() <= _SMALL_BITS
        return small
    if kind is complex:
        return _is_small(number.real) and _is_small(number.imag)
    if kind is float:
        return not number or 1 / _SMALL_FLOAT < abs(number) < _SMALL_FLOAT
    return True


def flood() -> ValueDecodingError:
    """Return the refusal of keys that collide."""
    return ValueDecodingError("keys that were chosen to collide; send them as a list of pairs")
