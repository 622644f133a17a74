"""Values that travel, and the definition of two equal ones."""

from __future__ import annotations

import math
from datetime import datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

ZONES = ("Europe/Oslo", "America/St_Johns", "UTC", "Asia/Kolkata", "Etc/GMT+5")


def identity(value: Any) -> Any:
    """Return a key that two values share exactly when they have the same type and value."""
    kind = type(value)
    if kind in (list, tuple):
        return (kind, tuple(map(identity, value)))
    if kind is dict:
        return (kind, [(identity(key), identity(item)) for key, item in value.items()])
    if kind is complex:
        return (kind, identity(value.real), identity(value.imag))
    if kind in (set, frozenset):
        return (kind, frozenset(map(identity, value)))
    if kind is float:
        return (kind, "nan" if math.isnan(value) else value.hex())
    if kind is Decimal:
        return (kind, value.as_tuple())
    if kind in (datetime, time):
        return (kind, value.replace(tzinfo=None, fold=0), value.fold, zone(value.tzinfo))
    return (kind, value)


def zone(info: tzinfo | None) -> Any:
    return info.key if isinstance(info, ZoneInfo) else info and info.utcoffset(None)


offsets = st.timedeltas(
    min_value=timedelta(hours=-23, minutes=-59), max_value=timedelta(hours=23, minutes=59)
).map(timezone)
zones = st.none() | offsets | st.sampled_from(ZONES).map(ZoneInfo)
text = st.text(st.characters(exclude_categories=["Cs"]))
decimals = st.decimals() | st.builds(
    Decimal,
    st.tuples(
        st.integers(0, 1),
        st.lists(st.integers(0, 9), min_size=1, max_size=40).map(tuple),
        st.integers(-9000, 9000) | st.sampled_from(("F", "n", "N")),
    ),
)
small = st.integers(1 - 2**32, 2**32 - 1)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**400), 2**400)
    | st.floats()
    | text
    | st.binary()
    | decimals.filter(lambda value: not value.is_snan())
    | st.datetimes(timezones=zones)
    | st.datetimes().map(lambda moment: moment.replace(fold=1))
    | st.dates()
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.uuids()
    | st.complex_numbers()
    | st.builds(Fraction, small, st.integers(1, 2**32 - 1))
)
hashable = scalars | st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.lists(inner, max_size=3).map(frozenset)
    ),
    max_leaves=6,
)
values = st.recursive(
    hashable | decimals | st.fractions(),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.lists(inner, max_size=6).map(tuple)
        | st.dictionaries(hashable, inner, max_size=6)
        | st.dictionaries(text, inner, max_size=6)
        | st.sets(hashable, max_size=6)
        | st.frozensets(hashable, max_size=6)
    ),
    max_leaves=20,
)
