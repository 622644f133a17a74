"""Arrays and tables of numpy, pandas and polars, as these libraries make them."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from fractions import Fraction
from importlib import import_module
from typing import Any

import pytest

from codemode.errors import ValueEncodingError
from codemode.values import decode, encode
from codemode.values.wire_format import MAX_ROWS
from tests.support.value_strategies import identity

NAMES = """
import numpy as np, pandas as pd
frame = pd.DataFrame({"a": [1, 2], "b": [1.5, None], "c": ["x", "y"]})
record = np.array([(1, "x")], dtype=[("n", "i4"), ("s", "U3")])
class Own(np.ndarray): pass
class Frame(pd.DataFrame): pass
"""
ROWS = [{"a": 1, "b": 1.5, "c": "x"}, {"a": 2, "b": math.nan, "c": "y"}]
DAY = datetime(2024, 1, 1)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    found: dict[str, Any] = {"Fraction": Fraction}
    exec(NAMES, found)
    return found


def arrives(source: str, names: dict[str, Any]) -> Any:
    return decode(encode(eval(source, names)))


@pytest.mark.parametrize(
    "source, expected",
    [
        ("np.int64(3)", 3),
        ("np.float32(0.5)", 0.5),
        ("np.float64('nan')", math.nan),
        ("np.bool_(True)", True),
        ("np.str_('x')", "x"),
        ("np.bytes_(b'x')", b"x"),
        ("np.complex64(1 + 2j)", 1 + 2j),
        ("{np.int64(1): np.str_('x'), (np.int8(2), 'a'): {np.uint64(2**64 - 1)}}", {1: "x", (2, "a"): {2**64 - 1}}),
        ("np.array([[1, 2], [3, 4]])", [[1, 2], [3, 4]]),
        ("np.array(5.5)", 5.5),
        ("np.array(['a', b'b', None, Fraction(1, 2)], dtype=object)", ["a", b"b", None, Fraction(1, 2)]),
        ("np.zeros((2, 0))", [[], []]),
        ("np.arange(3).view(Own)", [0, 1, 2]),
        ("np.ma.array([1, 2], mask=[0, 1])", [1, None]),
        ("record", [{"n": 1, "s": "x"}]),
        ("record[0]", {"n": 1, "s": "x"}),
        ("np.datetime64('2024-01-01')", date(2024, 1, 1)),
        ("np.datetime64('2024-01-01T00:00:00.000001', 'ns')", datetime(2024, 1, 1, 0, 0, 0, 1)),
        ("np.array(['2024-01-01', 'NaT'], 'M8[ns]')", [DAY, None]),
        ("np.array([90, 'NaT'], 'm8[ns]') * 1000", [timedelta(microseconds=90), None]),
        ("np.timedelta64(2, 'W')", timedelta(14)),
        ("[pd.NA, pd.NaT]", [None, None]),
        ("pd.Timestamp('2024-01-01', tz='UTC')", DAY.replace(tzinfo=timezone.utc)),  # noqa: UP017 as it arrives
        ("pd.Timedelta('1h')", timedelta(hours=1)),
        ("frame", ROWS),
        ("Frame(frame)", ROWS),
        ("frame[frame.a > 1]", ROWS[1:]),
        ("frame.set_index(['c', 'a'])", [{"c": r["c"], "a": r["a"], "b": r["b"]} for r in ROWS]),
        ("frame.groupby('c')[['a']].sum()", [{"c": "x", "a": 1}, {"c": "y", "a": 2}]),
        ("pd.DataFrame({'n': [1]}, index=['total'])", [{"index": "total", "n": 1}]),
        ("pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([('a', 'b')]))", [{("a", "b"): 1}]),
        ("pd.DataFrame()", []),
        ("pd.DataFrame(index=[0, 1])", [{}, {}]),
        ("frame.a", [1, 2]),
        ("frame.a.rename('other')", [1, 2]),
        ("frame.a[frame.a > 1]", {1: 2}),
        ("frame.c.value_counts()", {"x": 1, "y": 1}),
        ("frame.groupby(['a', 'c']).b.count()", {(1, "x"): 1, (2, "y"): 0}),
        ("pd.Series([1, pd.NA], dtype='Int64')", [1, None]),
        ("pd.Series(pd.to_datetime(['2024-01-01', None]))", [DAY, None]),
        ("frame.index", [0, 1]),
        ("frame.columns", ["a", "b", "c"]),
        ("pd.MultiIndex.from_tuples([(1, 'a')])", [(1, "a")]),
        ("pd.date_range('2024-01-01', periods=1)", [DAY]),
        ("frame.c.unique()", ["x", "y"]),
        ("pd.Categorical(['a', 'b'])", ["a", "b"]),
    ],
)  # fmt: skip
def test_content_arrives_as_native_values(
    source: str, expected: Any, names: dict[str, Any]
) -> None:
    assert identity(arrives(source, names)) == identity(expected)


@pytest.mark.parametrize(
    "source, words",
    [
        ("np.longdouble(1)", "use .astype(float)"),
        ("np.zeros((10**9, 0))", "more than 2,097,152 items"),
        ("np.broadcast_to(1, (3_000_000,))", "more than 2,097,152 items"),
        ("np.datetime64('2024-01-01T00:00:00.000000001')", "use .astype('datetime64[us]')"),
        ("np.array(['NaT', 1], 'm8[ns]')", "use .astype('timedelta64[us]')"),
        ("np.datetime64('20240-01-01')", "outside the years 1 to 9999"),
        ("np.timedelta64(3, 'M')", "not of a fixed length"),
        ("np.array([[(1,)]], dtype=[('n', 'i4')])", "use .ravel()"),
        ("np.random.default_rng()", "a Generator object cannot travel"),
        ("pd.Timestamp(1)", "use .floor('us')"),
        ("pd.Timedelta(1)", "use .floor('us')"),
        ("pd.Series([1, 2], index=['a', 'a'])", "a label twice; use .tolist()"),
        ("pd.DataFrame([[1, 2]], columns=['a', 'a'])", "have one name; rename one"),
        ("pd.DataFrame({'x': [1]}, index=pd.Index([3], name='x'))", "with other names"),
        (f"pd.DataFrame({{'x': range({MAX_ROWS + 1})}})", "of 10,001 rows; at most 10,000 travel"),
        ("pd.DataFrame(0, index=range(10_000), columns=range(210))", "more than 2,097,152 items"),
        ("pd.Period('2024-01')", "use str(...)"),
        ("frame.groupby('a')", "aggregate it"),
    ],
)
def test_what_would_lose_something_is_refused_with_the_fix(
    source: str, words: str, names: dict[str, Any]
) -> None:
    with pytest.raises(ValueEncodingError) as caught:
        encode({"rows": [eval(source, names)]})
    assert words in str(caught.value)
    assert str(caught.value).startswith(("value['rows'][0]: ", "value: more than"))


def test_as_many_rows_as_are_said_travel(names: dict[str, Any]) -> None:
    source = f"pd.DataFrame({{'x': range({MAX_ROWS})}})"
    assert arrives(source, names) == [{"x": number} for number in range(MAX_ROWS)]


def test_an_array_that_contains_itself_is_refused(names: dict[str, Any]) -> None:
    array = eval("np.array(None, dtype=object)", names)
    array[()] = array
    with pytest.raises(ValueEncodingError, match="nested over 64 deep"):
        encode(array)


def test_a_class_of_such_a_name_elsewhere_is_not_taken_for_one() -> None:
    class DataFrame:
        pass

    odd = type("Odd", (), {"__module__": None})
    for value in (DataFrame(), odd()):
        with pytest.raises(ValueEncodingError, match="object cannot travel"):
            encode(value)


def test_nothing_is_imported_to_recognise_them() -> None:
    script = (
        "import sys\nfrom codemode.values import encode\n"
        "class Own: pass\n"
        "try: encode(Own())\nexcept ValueError as error: print(error)\n"
        "print(sorted({'numpy', 'pandas', 'polars', 'pathlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{script}"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "an Own object cannot travel" in done.stdout, done.stderr
    assert not {"numpy", "pandas", "polars"} & set(done.stdout.splitlines()[-1].split("'"))


def test_polars_arrives_as_native_values() -> None:
    pl: Any = import_module("polars")  # here, as it takes long
    frame = pl.DataFrame({"a": [1, None], "t": [DAY, None], "l": [[1], []], "s": ["x", "y"]})
    rows = [{"a": 1, "t": DAY, "l": [1], "s": "x"}, {"a": None, "t": None, "l": [], "s": "y"}]
    assert decode(encode(frame)) == rows
    assert decode(encode({"a": frame["a"], "n": frame["a"].sum()})) == {"a": [1, None], "n": 1}
    exact = frame.with_columns(pl.col("t").dt.cast_time_unit("ns"))
    assert decode(encode(exact)) == rows
    for value, words in (
        (exact.with_columns(pl.col("t").dt.offset_by("1ns")), "the column 't' has nanoseconds"),
        (pl.DataFrame({"x": range(MAX_ROWS + 1)}), "at most 10,000 travel"),
        (pl.Series("x", range(3_000_000)), "more than 2,097,152 items"),
        (frame.lazy(), "use .collect()"),
    ):
        with pytest.raises(ValueEncodingError, match=words.replace("(", r"\(").replace(")", r"\)")):
            encode(value)
