"""Bounds on the arguments of typed parameters, checked before any conversion.

A value that travels may have a million bits, or a million records without
fields. Converting such a number to the type of a parameter takes seconds, and
so does the tool's first ``int()``, formatting or query of it:
``Decimal("1E+100000")`` is a short value, and its ``int()`` has 41 KB. The
bounds on numbers are Python's own: the digits of an integer that ``int()``
reads and ``str()`` writes, and the magnitude of a float. An instance of a model
takes a hundred times the memory of the bytes ``{}`` that it is made from.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from codemode.values.shortening import shorten

__all__ = ["MAX_CONTAINERS", "MAX_DIGITS", "MAX_MAGNITUDE", "out_of_bounds"]

MAX_DIGITS: Final = 4_300
"""Digits of an int or a Decimal."""
MAX_MAGNITUDE: Final = 308
"""The largest power of ten of a Decimal; the smallest is its negative."""
MAX_CONTAINERS: Final = 250_000
"""Lists, tuples, sets and dicts within one argument."""

_LIMIT: Final = 10**MAX_DIGITS
_LONGEST: Final = MAX_DIGITS + 20
"""Characters of a number with its sign, point, exponent and some space around it."""
_NUMERIC: Final = re.compile(r"[\d_.eE+\-\s]*+")
_HARMLESS: Final = frozenset({type(None), bool, float, complex, bytes})
_CONTAINERS: Final = frozenset({list, tuple, set, frozenset})
_WORD: Final = 2**63


def out_of_bounds(value: Any, *, texts: bool) -> str | None:
    """Return why no typed parameter accepts an argument, or None when it is within bounds.

    With ``texts``, a string or tuple from which a Decimal would be made counts
    as a number. Takes time in proportion to the size of the value.
    """
    harmless = _HARMLESS if texts else _HARMLESS | {str}
    waiting = [value]
    containers = 0
    while waiting:
        one = waiting.pop()
        kind = type(one)
        parts: tuple[Collection[Any], ...]
        if kind is dict:
            parts = (one, one.values())
        elif kind in _CONTAINERS:
            parts = (one,)
        elif kind not in harmless and _is_oversized(one):
            return _too_large(one)
        else:
            continue
        if texts and kind is tuple and _is_oversized_tuple(one):
            return _too_large(one)
        containers += 1
        if containers > MAX_CONTAINERS:
            return f"has more than {MAX_CONTAINERS:,} lists and dicts; send fewer in each call"
        for part in parts:
            waiting += [
                item
                for item in part
                if (kind := type(item)) not in harmless
                and (kind is not int or not -_WORD < item < _WORD)
            ]
    return None


def _too_large(number: Any) -> str:
    return (
        f"has too large a number, {shorten(number)}; a typed parameter takes numbers of at "
        f"most {MAX_DIGITS:,} digits, and Decimals from 1E-{MAX_MAGNITUDE} to 1E+{MAX_MAGNITUDE}"
    )


def _is_oversized_tuple(one: tuple[Any, ...]) -> bool:
    """Return whether these are the sign, digits and exponent of too large a Decimal."""
    if len(one) != 3 or type(one[1]) not in (tuple, list) or type(one[2]) is not int:
        return False
    try:
        return _is_oversized(Decimal(one))
    except (ValueError, ArithmeticError):
        return False  # not a number


def _is_oversized(one: Any) -> bool:
    if type(one) is Fraction:
        return _is_oversized(one.numerator) or _is_oversized(one.denominator)
    if type(one) is int:
        return not -_LIMIT < one < _LIMIT
    if type(one) is Decimal:
        return abs(one.adjusted()) > MAX_MAGNITUDE or len(str(one)) > _LONGEST
    return type(one) is str and _is_oversized_text(one)


def _is_oversized_text(text: str) -> bool:
    if len(text) <= MAX_MAGNITUDE and "e" not in text and "E" not in text:
        return False
    if not _NUMERIC.fullmatch(text):
        return False
    try:
        return len(text) > _LONGEST or _is_oversized(Decimal(text))
    except ArithmeticError:
        return False  # not a number
