"""Bytes made to cost time or memory, each compared with an honest value of its size."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any
from uuid import UUID

import cbor2
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemode.errors import ValueDecodingError, ValueEncodingError
from codemode.values import MAX_BYTES, MAX_DECIMAL_EXPONENT, MAX_INT_BITS, MAX_ITEMS, decode, encode
from codemode.values.wire_format import (
    MAX_FRACTION_BITS,
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
from tests.support.collisions import (
    PRIME,
    cached_hashes,
    colliding_slots,
    fractions_of_one_hash,
)
from tests.support.marks import deep_except
from tests.support.value_strategies import identity, values


def tag(number: int, value: Any) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(number, value))


def array(count: int, body: bytes) -> bytes:
    return b"\x9a" + count.to_bytes(4) + body


def pairs(keys: Any) -> bytes:
    flat: list[Any] = []
    for key in keys:
        flat += (key, None)
    return tag(TAG_MAP, flat)


def refused(data: bytes) -> str:
    with pytest.raises(ValueDecodingError) as caught:
        decode(data)
    return str(caught.value)


@pytest.mark.parametrize(
    "number", [0, 1, 4, 5, 24, 25, 28, 29, 35, 36, 52, 54, 100, 256, 258, 260, 49382, 55799]
)
def test_a_tag_that_values_do_not_use_is_refused(number: int) -> None:
    assert f"the tag {number} is not" in refused(tag(number, []))
    assert f"the tag {number} is not" in refused(cbor2.dumps([{"a": cbor2.CBORTag(number, [])}]))
    with pytest.raises(ValueDecodingError):
        decode(tag(number, []), trusted=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x00",  # two values
        b"\x82\x00",  # cut short
        b"\x1c",  # a reserved initial byte
        b"\xff",  # a break without a start
        b"\xf7",  # undefined
        b"\x81\xe5",  # a simple value
        b"\x81\xf8\xff",
        b"\x9f\x00\xff",  # indefinite lengths
        b"\xbf\xff",
        b"\x5f\x41a\xff",
        b"\x7f\x61a\xff",
        b"\x61\xff",  # not UTF-8
        b"\x63\xed\xa0\x80",  # UTF-8 of a surrogate
        b"\xa2\x61a\x00\x61a\x01",  # a duplicate key
        b"\xa1\x01\x00",  # an integer key without our tag
        b"\xa1\x80\x00",  # containers as keys
        b"\xa1\xa0\x00",
        b"\xa1\xf6\x00",
        pairs([[1]]),
        pairs([{"a": 1}]),
        pairs([cbor2.CBORTag(TAG_TUPLE, [1, []])]),
        pairs([cbor2.CBORTag(TAG_TUPLE, [{"a": 1}])]),
        pairs([cbor2.CBORTag(TAG_TUPLE, [1]), cbor2.CBORTag(TAG_TUPLE, [1.0])]),
        pairs([cbor2.CBORTag(TAG_SET, [1])]),
        pairs([cbor2.CBORTag(TAG_FRACTION, [1, 2**32])]),
        pairs([cbor2.CBORTag(TAG_TUPLE, [cbor2.CBORTag(TAG_FRACTION, [2**32, 1])])]),
        pairs([cbor2.CBORTag(TAG_FRACTION, [1, 2]), 0.5]),
        b"\xa1" + tag(TAG_TUPLE, [1]) + b"\x00",  # as a key without our tag
        b"\xa1" + tag(TAG_FROZENSET, [1]) + b"\x00",
        b"\xa1" + tag(TAG_COMPLEX, [1.0, 1.0]) + b"\x00",
        tag(TAG_TUPLE, {"a": 1}),
        tag(TAG_TUPLE, "abc"),
        tag(TAG_FROZENSET, 5),
        tag(TAG_FROZENSET, [[]]),
        tag(TAG_FROZENSET, [1, True]),
        tag(TAG_FROZENSET, [cbor2.CBORTag(TAG_FROZENSET, []), cbor2.CBORTag(TAG_FROZENSET, [])]),
        tag(TAG_FRACTION, [1]),
        tag(TAG_FRACTION, [1, 0]),
        tag(TAG_FRACTION, [1, -2]),
        tag(TAG_FRACTION, [2, 4]),
        tag(TAG_FRACTION, [True, 2]),
        tag(TAG_FRACTION, [1.0, 2]),
        tag(TAG_FRACTION, [1, 2**MAX_FRACTION_BITS]),
        tag(TAG_COMPLEX, [1, 2]),
        tag(TAG_COMPLEX, [1.0]),
        tag(TAG_COMPLEX, 1.0),
        pairs([1, 1.0]),
        pairs([Decimal(1), 1]),
        tag(TAG_MAP, [1]),
        tag(TAG_MAP, {"a": 1}),
        tag(TAG_MAP, 5),
        tag(TAG_SET, [1, True]),
        tag(TAG_SET, [[]]),
        tag(TAG_SET, "abc"),
        tag(TAG_SET, [cbor2.CBORTag(TAG_DECIMAL, "sNaN")]),
        tag(2, "text"),
        tag(TAG_UUID, b"short"),
        tag(TAG_UUID, "0" * 16),
        tag(TAG_DATE, "2024-13-01"),
        tag(TAG_DATE, 5),
        tag(TAG_DATETIME, "now"),
        tag(TAG_DATETIME, "2024-01-01T00:00:00" + "0" * 1000),
        tag(TAG_DATETIME, ["2024-01-01T00:00:00", None, 2]),
        tag(TAG_DATETIME, ["2024-01-01T00:00:00", None, [1]]),
        tag(TAG_DATETIME, ["2024-01-01T00:00:00", "../../../etc/passwd", 0]),
        tag(TAG_DATETIME, ["2024-01-01T00:00:00", "/etc/passwd", 0]),
        tag(TAG_DATETIME, ["2024-01-01T00:00:00", "Europe", 0]),
        tag(TAG_DATETIME, ["2024-01-01T00:00:00", "No/Where", 0]),
        tag(TAG_DATETIME, ["2024-01-01T00:00:00", 10**11, 0]),
        tag(TAG_DATETIME, ["2024-01-01T00:00:00", 1.5, 0]),
        tag(TAG_TIME, "25:00"),
        tag(TAG_TIMEDELTA, [1, 2]),
        tag(TAG_TIMEDELTA, [10**9, 0, 0]),
        tag(TAG_TIMEDELTA, [2**70, 0, 0]),
        tag(TAG_TIMEDELTA, [0, -1, 0]),
        tag(TAG_TIMEDELTA, [0, 1.0, 0]),
        tag(TAG_DECIMAL, "1E+999999999"),
        tag(TAG_DECIMAL, "0E-999999999"),
        tag(TAG_DECIMAL, "1E-99999999999999999999"),
        tag(TAG_DECIMAL, "1_0"),
        tag(TAG_DECIMAL, "\u0661"),
        tag(TAG_DECIMAL, 5),
        tag(TAG_DECIMAL, ""),
    ],
    ids=lambda data: data[:40].hex() + f"-{len(data)}",
)
def test_bytes_that_are_no_value_are_refused(data: bytes) -> None:
    refused(data)


@given(st.binary(max_size=60))
def test_random_bytes_are_a_value_or_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except ValueDecodingError:
        return
    assert identity(decode(encode(value))) == identity(value)


@given(values, st.data())
def test_damaged_bytes_are_a_value_or_refused(value: Any, draw: st.DataObject) -> None:
    data = bytearray(encode(value))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] = draw.draw(st.integers(0, 255))
    try:
        back = decode(bytes(data))
    except ValueDecodingError:
        return
    assert identity(decode(encode(back))) == identity(back)


@pytest.mark.parametrize("deep", [64, 65])
@pytest.mark.parametrize(
    "level",
    [
        b"\x81",
        b"\xa1\x61a",
        b"\xd9\xc0\xde\x82\x01",
        b"\xd9\xc0\xde\x82\x61a",
        b"\xd9\xc0\xe4\x81",
        b"\xd9\xc0\xe5\x81",
    ],
    ids=["list", "dict", "dict of int keys", "dict tagged without need", "tuple", "frozenset"],
)
@pytest.mark.parametrize(
    "leaf",
    [date(2024, 1, 1), Fraction(2**100, 2**100 - 1), 1j],
    ids=["date", "fraction", "complex"],
)
def test_depth_is_counted_as_people_count_it(level: bytes, deep: int, leaf: Any) -> None:
    if level == b"\xd9\xc0\xe5\x81" and type(leaf) is Fraction:
        leaf = Fraction(1, 3)
    data = level * deep + encode(leaf)
    if deep == 64:
        decode(data)
    else:
        assert "nested over 64 deep" in refused(data)


def test_text_with_odd_bytes_is_not_mistaken_for_odd_items() -> None:
    value = {"日本語 😀": [b"\xe0\xf7\xf8" * 10, 1.1, "ã"]}
    assert decode(encode(value)) == value


def test_equal_hashes_are_allowed_as_far_as_they_occur_by_chance() -> None:
    few = dict.fromkeys(PRIME * factor for factor in range(10))
    assert decode(encode(few)) == few
    assert "collide" in refused(pairs(PRIME * factor for factor in range(100)))


def test_keys_of_different_hashes_that_share_their_slots_are_refused() -> None:
    keys = colliding_slots(13)
    assert len(set(map(hash, keys))) == len(keys) > 4000
    assert "collide" in refused(pairs(keys))
    # The keys are refused, and not their number.
    decode(pairs(range(len(keys))))


def test_frozensets_that_contain_others_must_differ_in_their_hashes() -> None:
    def nested(*numbers: int) -> Any:
        return frozenset({frozenset(numbers), 5})

    assert decode(encode({nested(1), nested(2)})) == {nested(1), nested(2)}
    with pytest.raises(ValueDecodingError, match="collide"):
        decode(encode({nested(-1), nested(-2)}))
    # Frozensets of scalars and tuples may share a hash, as edges of a grid do.
    corners = [(x, y) for x in (-1, -2) for y in (-1, -2)]
    edges = {frozenset({one, other}) for one in corners for other in corners if one != other}
    assert len(set(map(hash, edges))) == 1
    assert decode(encode(edges)) == edges
    with pytest.raises(ValueDecodingError, match="collide"):
        decode(encode({frozenset({1 + PRIME * n}) for n in range(9)}))


def test_few_fractions_may_share_a_hash() -> None:
    same = fractions_of_one_hash(Fraction(645319841, 103250875))
    assert len(same) > 4
    assert decode(encode(set(same[:4]))) == set(same[:4])
    for keys in (set(same), {(one,) for one in same}, {(0, frozenset({one})) for one in same}):
        with pytest.raises(ValueDecodingError, match="collide"):
            decode(encode(keys))


def test_a_decimal_in_a_key_shares_its_hash_with_small_numbers_only() -> None:
    small, large = (Decimal(7),), (7 + PRIME * 2**2000,)
    assert hash(small) == hash(large)
    for keys in ({small, large}, {frozenset(small), frozenset(large)}):
        with pytest.raises(ValueDecodingError, match="collide"):
            decode(encode(keys))
    assert decode(encode({small, (7 + PRIME,)})) == {small, (7 + PRIME,)}


def test_no_fraction_of_a_sandbox_fills_the_cache_of_hashes() -> None:
    large = [Fraction(PRIME * n + 1, PRIME * n + 2) for n in range(1, 100)]
    held = cached_hashes()
    decode(encode(large))
    decode(encode({"a": (large, [large])}))
    for number in large:
        body = cbor2.CBORTag(TAG_FRACTION, [number.numerator, number.denominator])
        for key in (body, cbor2.CBORTag(TAG_TUPLE, [1, body])):
            for data in (pairs([key]), tag(TAG_SET, [key]), tag(TAG_FROZENSET, [key])):
                assert "a Fraction in a key" in refused(data)
    assert cached_hashes() == held


def honest_rows(size: int) -> bytes:
    row = {"id": 123456, "name": "a name of a customer", "total": 12.5, "open": True}
    return encode([row] * min(size // (len(encode(row)) + 1), MAX_ITEMS // 10))


def honest_keys(size: int) -> bytes:
    return encode(dict.fromkeys(range(100_000, 100_000 + min(size // 6, MAX_ITEMS // 3))))


def beside_decimals(large: int, count: int) -> list[Any]:
    """Return Decimals, and as many integers of the same hash close to ``large``."""
    first = large - large % PRIME + 7
    decimals = [cbor2.CBORTag(TAG_DECIMAL, str(7 + PRIME * n)) for n in range(min(count, 8))]
    return decimals + [first + PRIME * n for n in range(1, min(count, 8) + 1)]


def tuple_of(*items: Any) -> cbor2.CBORTag:
    return cbor2.CBORTag(TAG_TUPLE, list(items))


def frozen(*members: Any) -> cbor2.CBORTag:
    return cbor2.CBORTag(TAG_FROZENSET, list(members))


def repeated(size: int, part: bytes, most: int = MAX_ITEMS) -> bytes:
    """Return an array of as many equal parts as fit, of at most ``most`` items in all."""
    count = min((size - 8) // len(part), most)
    return array(count, part * count)


FRACTIONS = [
    cbor2.CBORTag(TAG_FRACTION, [one.numerator, one.denominator])
    for one in fractions_of_one_hash(Fraction(645319841, 103250875))[:4]
]


SHAPES: dict[str, Callable[[int], bytes]] = {
    "integers of one hash": lambda size: pairs(PRIME * n for n in range(min(size // 10, 400_000))),
    "negative integers of one hash": lambda size: pairs(
        -PRIME * n for n in range(min(size // 10, 400_000))
    ),
    "set of integers of one hash": lambda size: tag(
        TAG_SET, [PRIME * n for n in range(min(size // 10, 400_000))]
    ),
    "big integers of one hash": lambda size: pairs(
        PRIME * (n + 2**100) for n in range(min(size // 24, 200_000))
    ),
    "uuids of one hash": lambda size: pairs(
        cbor2.CBORTag(TAG_UUID, (PRIME * (n + 1)).to_bytes(16)) for n in range(size // 24)
    ),
    "decimals of one hash": lambda size: pairs(
        cbor2.CBORTag(TAG_DECIMAL, f"{PRIME * n}") for n in range(min(size // 24, 300_000))
    ),
    "mixed keys of one hash": lambda size: pairs(
        PRIME * n if n % 2 else float(2 ** (61 * (n % 16))) if n % 3 else f"text {n}"
        for n in range(min(size // 12, 300_000))
    ),
    "decimals beside integers of one hash": lambda size: tag(
        TAG_SET, beside_decimals(PRIME << MAX_INT_BITS - 70, size // (MAX_INT_BITS // 8 + 24))
    ),
    "decimals beside floats of one hash": lambda size: tag(
        TAG_SET,
        [
            member
            for mantissa in range(3, 3 + min(size // 300, 20_000))
            for power in range(8)
            for member in (
                mantissa * 2.0 ** (61 * power - 900),
                cbor2.CBORTag(
                    TAG_DECIMAL, str(hash(mantissa * 2.0**-900) + PRIME * (power + 1))
                ),
            )
        ],
    ),
    "small floods in a long list": lambda size: array(
        count := min(size // 2900, 700), pairs(PRIME * n for n in range(255)) * count
    ),
    "one key all over": lambda size: array_map(min(size // 2, MAX_ITEMS // 2), b"\x01\x00"),
    "one text all over": lambda size: (
        b"\xba" + (size // 3).to_bytes(4) + b"\x61a\x00" * (size // 3)
    ),
    "powers of two": lambda size: pairs(n << 44 for n in range(min(size // 10, 130_000))),
    "empty lists": lambda size: array(size, b"\x80" * size),
    "empty dicts": lambda size: array(size, b"\xa0" * size),
    "empty sets": lambda size: array(
        count := min(size // 4, MAX_ITEMS // 2 - 1), b"\xd9\xc0\xdf\x80" * count
    ),
    "as many lists as are let in": lambda size: array(
        count := min(size, MAX_ITEMS - 2), b"\x80" * count
    ),
    "nested lists": lambda size: b"\x81" * size,
    "nested tags": lambda size: b"\xc2" * size,
    "nested sets": lambda size: b"\xd9\xc0\xdf\x81" * (size // 4),
    "lists that claim more than there is": lambda size: b"\x9b\x7f" + b"\xff" * size,
    "claims in each other": lambda size: b"\x9a\xff\xff\xff\xff" * (size // 5),
    "text that claims more than there is": lambda size: b"\x7b" + b"\x7f" * size,
    "simple values": lambda size: array(size, b"\xe0" * size),
    "one integer": lambda size: b"\xc2\x5a" + size.to_bytes(4) + b"\xff" * size,
    "integers as large as are let in": lambda size: array(
        count := max(1, size // (MAX_INT_BITS // 8 + 8)),
        tag(2, b"\xff" * (MAX_INT_BITS // 8)) * count,
    ),
    "keys as large as are let in": lambda size: pairs(
        (PRIME << MAX_INT_BITS - 70) + n for n in range(size // (MAX_INT_BITS // 8 + 8))
    ),
    "one decimal": lambda size: tag(TAG_DECIMAL, "9" * size),
    "decimals as large as are let in": lambda size: array(
        count := max(1, size // 100_016), tag(TAG_DECIMAL, "9" * 99_990 + "E-100000") * count
    ),
    "decimal keys of large exponents": lambda size: pairs(
        cbor2.CBORTag(TAG_DECIMAL, f"{n}E+{MAX_DECIMAL_EXPONENT}")
        for n in range(min(size // 20, 200_000))
    ),
    "broken text": lambda size: b"\x7a" + size.to_bytes(4) + b"\xc3" * size,
    "dates that are none": lambda size: array(
        size // 4, (b"\xd9\x03\xec" + b"\x60") * (size // 4)
    ),
    "moments": lambda size: array(
        count := min(size // 23, 400_000), tag(TAG_DATETIME, "2024-01-01T00:00:00") * count
    ),
    "moments in many zones": lambda size: array(
        count := min(size // 37, 100_000),
        tag(TAG_DATETIME, ["2024-01-01T00:00:00", "Europe/Oslo", 0]) * count,
    ),
    "tuples of one hash": lambda size: tag(
        TAG_SET, [tuple_of(PRIME * n, 1) for n in range(min(size // 16, 300_000))]
    ),
    "long tuples of few hashes": lambda size: tag(
        TAG_SET, [tuple_of(*b"x" * 900, n // 16, PRIME * (n % 16)) for n in range(size // 1900)]
    ),
    "frozensets of one hash": lambda size: pairs(
        frozen(PRIME * n, 1) for n in range(min(size // 16, 300_000))
    ),
    "frozensets of few hashes of members of few hashes": lambda size: tag(
        TAG_SET,
        [
            frozen(*(g + PRIME * m for g in range(100, 104) for m in range(14)), n // 8 + PRIME * (n % 8))
            for n in range(min(size // 620, 30_000))
        ],
    ),
    "frozensets in frozensets of two hashes": lambda size: repeated(
        size,
        tag(
            TAG_SET,
            [
                frozen(*(frozen(*(1 + PRIME * m for m in range(8)), PRIME * n) for n in range(2)), k)
                for k in (-1, -2)
            ],
        ),
        50_000,
    ),
    "frozensets around each other": lambda size: (
        b"\xd9\xc0\xe5\x82\x01" * 60 + tag(TAG_TUPLE, [1] * min(size - 400, MAX_ITEMS - 400))
    ),
    "a deep tuple as a member": lambda size: (
        b"\xd9\xc0\xdf\x81" + b"\xd9\xc0\xe4\x81" * 60
        + tag(TAG_TUPLE, [1] * min(size - 400, MAX_ITEMS - 400))
    ),
    "empty tuples": lambda size: repeated(size, b"\xd9\xc0\xe4\x80", MAX_ITEMS // 2 - 1),
    "frozensets of one member": lambda size: repeated(
        size, b"\xd9\xc0\xe5\x81\x01", MAX_ITEMS // 3 - 1
    ),
    "fractions of one hash": lambda size: repeated(size, tag(TAG_SET, FRACTIONS), 50_000),
    "fractions of one hash in frozensets of one hash": lambda size: repeated(
        size, tag(TAG_SET, [frozen(*FRACTIONS, 5 + PRIME * n) for n in range(4)]), 15_000
    ),
    "fractions that a cache of hashes would hold": lambda size: array(
        count := min(size // 26, 300_000),
        b"".join(tag(TAG_FRACTION, [PRIME * n + 1, PRIME * n + 2]) for n in range(count)),
    ),
    "fractions as large as are let in": lambda size: repeated(
        size, tag(TAG_FRACTION, [3**5168 - 2, 2**MAX_FRACTION_BITS - 1])
    ),
    "fractions not in lowest terms": lambda size: repeated(size, tag(TAG_FRACTION, [2, 4])),
    "complex numbers of one hash": lambda size: pairs(
        cbor2.CBORTag(TAG_COMPLEX, [1e13 - 1000003 * n, float(n)])
        for n in range(min(size // 24, 300_000))
    ),
    "seconds of one hash": lambda size: pairs(
        cbor2.CBORTag(TAG_DATETIME, f"2024-01-01T00:00:00.{n:06d}+00:00")
        for n in range(min(size // 40, 200_000))
    ),
}  # fmt: skip


# The dearest shapes of each kind of object that they create: hashes, objects, texts.
FEW_SHAPES = (
    "integers of one hash",
    "decimals beside integers of one hash",
    "as many lists as are let in",
    "moments",
    "one key all over",
)


def array_map(count: int, body: bytes) -> bytes:
    return b"\xd9\xc0\xde\x9a" + (2 * count).to_bytes(4) + body * count


def attempt(data: bytes) -> None:
    try:
        decode(data)
    except ValueDecodingError:
        pass


def cost(data: bytes) -> float:
    """Return the CPU seconds of decoding the bytes, or of refusing them."""
    gc.collect()
    began = time.thread_time()
    attempt(data)
    return time.thread_time() - began


@cache
def honest_cost() -> float:
    return max(cost(honest_rows(MAX_BYTES)), cost(honest_keys(MAX_BYTES)))


@pytest.mark.parametrize("name", deep_except(SHAPES, *FEW_SHAPES))
def test_hostile_bytes_cost_what_honest_ones_cost(name: str) -> None:
    data = SHAPES[name](MAX_BYTES - 64)
    assert len(data) <= MAX_BYTES
    assert cost(data) < 10 * honest_cost() + 0.5


@pytest.mark.parametrize("name", deep_except(SHAPES, *FEW_SHAPES))
def test_hostile_bytes_need_memory_in_proportion_to_their_length(name: str) -> None:
    data = SHAPES[name](MAX_BYTES // 128)
    tracemalloc.start()
    try:
        attempt(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # An empty list is one byte on the wire and 64 bytes in memory.
    assert peak < 100 * len(data) + 2**20


@pytest.mark.deep
@pytest.mark.parametrize("name", ["as many lists as are let in", "empty sets"])
def test_the_most_memory_that_any_bytes_need_is_bounded(name: str) -> None:
    data = SHAPES[name](MAX_BYTES)
    # Measured by the process's own count: tracemalloc takes ten seconds for so many objects.
    process = psutil.Process()
    before = process.memory_info().rss
    value = decode(data)
    assert len(value) > 1_000_000
    assert process.memory_info().rss - before < 25 * MAX_BYTES


def test_a_few_numbers_of_equal_hash_are_accepted() -> None:
    # -1 and -2 have the same hash, as any type of number.
    for value in ({Decimal(-1), -2, 3}, {-1.0, -2, Decimal("1E+9")}, {0.1: Decimal("0.1")}):
        assert decode(encode(value)) == value


def test_more_bytes_than_allowed_are_not_decoded() -> None:
    assert "over the limit of 16,777,216" in refused(b"\x60" * (MAX_BYTES + 1))
    with pytest.raises(ValueDecodingError, match="over the limit of 3"):
        decode(b"\x83\x00\x00\x00", max_bytes=3)


def test_decode_accepts_everything_that_encode_returns() -> None:
    most = MAX_ITEMS - 1
    assert decode(encode([0] * most)) == [0] * most
    with pytest.raises(ValueEncodingError, match="items"):
        encode([0] * (most + 1))
    keys = dict.fromkeys(range((MAX_ITEMS - 2) // 2))
    assert len(decode(encode(keys))) == len(keys)


@pytest.mark.parametrize(
    "value",
    [
        ["x" * 2**20] * 1000,
        {f"{number}": b"x" * 2**20 for number in range(20)},
        [list(range(1000))] * 1_000_000,
        [2 ** (2**20 - 1)] * 10_000,
    ],
    ids=["text", "bytes", "lists", "integers"],
)
def test_a_value_far_too_large_is_refused_before_it_is_written(value: Any) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueEncodingError, match=r"^value: (larger|more) than"):
            encode(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_BYTES


def test_a_limit_is_exact_in_bytes() -> None:
    for value in (
        {2**62 + number: 0 for number in range(100)},
        {b"x" * 100: "y" * 100},
        [Decimal("1.5")] * 10,
        {UUID(int=5), datetime.max, timedelta.max},
    ):
        data = encode(value)
        assert encode(value, max_bytes=len(data)) == data
        assert decode(data, max_bytes=len(data)) == value
        with pytest.raises(ValueEncodingError, match="larger"):
            encode(value, max_bytes=len(data) - 1)


def test_a_smaller_limit_holds() -> None:
    with pytest.raises(ValueEncodingError, match=r"^result: larger than 10 bytes"):
        encode(["é" * 5], max_bytes=10, path="result")


def test_many_aware_datetimes_travel_as_keys() -> None:
    start = datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    value = {start + timedelta(seconds=number): UUID(int=number) for number in range(2_000)}
    assert decode(encode(value)) == value
