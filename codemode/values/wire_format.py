"""The limits of a value, and the tags that both directions share."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final
from uuid import UUID

__all__ = [
    "KEY_TYPES",
    "MAX_BYTES",
    "MAX_DECIMAL_DIGITS",
    "MAX_DECIMAL_EXPONENT",
    "MAX_DEPTH",
    "MAX_FRACTION_BITS",
    "MAX_INT_BITS",
    "MAX_ITEMS",
    "MAX_KEY_FRACTION_BITS",
    "MAX_ROWS",
    "TAG_COMPLEX",
    "TAG_DATE",
    "TAG_DATETIME",
    "TAG_DECIMAL",
    "TAG_FRACTION",
    "TAG_FROZENSET",
    "TAG_MAP",
    "TAG_NEGATIVE",
    "TAG_POSITIVE",
    "TAG_SET",
    "TAG_TIME",
    "TAG_TIMEDELTA",
    "TAG_TUPLE",
    "TAG_UUID",
]

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 64
MAX_ITEMS: Final = 2 * 1024 * 1024
"""CBOR items in one value: each container, key, member, tag and scalar is one."""
MAX_INT_BITS: Final = 1024 * 1024
MAX_DECIMAL_DIGITS: Final = 100_000
MAX_DECIMAL_EXPONENT: Final = 100_000
MAX_FRACTION_BITS: Final = 8_192
"""Bits of a numerator and of a denominator: reducing to lowest terms takes their square."""
MAX_KEY_FRACTION_BITS: Final = 32
"""The same in a key or a member.

``hash(Fraction)`` looks its two parts up in a cache that lives as long as the
process. Of larger parts, an attacker finds any number of pairs that collide
there. Of so small ones there are about as many as hashes.
"""
MAX_ROWS: Final = 10_000
"""Rows of a DataFrame, each of which travels as a dict."""

KEY_TYPES: Final = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        tuple,
        frozenset,
        Decimal,
        Fraction,
        datetime,
        date,
        time,
        timedelta,
        UUID,
    }
)
"""The exact types of a dict's keys and a set's members, and of what those contain."""

TAG_POSITIVE: Final = 2
TAG_NEGATIVE: Final = 3
TAG_FRACTION: Final = 30
TAG_UUID: Final = 37
TAG_DATE: Final = 1004
TAG_COMPLEX: Final = 43000
TAG_MAP: Final = 49374
TAG_SET: Final = 49375
TAG_DECIMAL: Final = 49376
TAG_DATETIME: Final = 49377
TAG_TIME: Final = 49378
TAG_TIMEDELTA: Final = 49379
TAG_TUPLE: Final = 49380
TAG_FROZENSET: Final = 49381
