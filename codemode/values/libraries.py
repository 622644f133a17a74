"""Conversions of arrays and tables of numpy, pandas and polars.

Nothing is imported: a type is recognised by its package and its name, or by
those of a base, and converted by its own methods. So the conversions exist
where a value of the library does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from codemode.values.refusal import RefusalError, too_many
from codemode.values.wire_format import MAX_ITEMS, MAX_ROWS

__all__ = ["conversion_of"]

type Conversion = Callable[[Any], Any]

_DOUBLE_BYTES: Final = {"f": 8, "c": 16}


def conversion_of(kind: type) -> Conversion | None:
    """Return the conversion of a library's type or of its subclass, else None."""
    for base in kind.__mro__:
        package = str(base.__module__).partition(".")[0]
        conversion = _CONVERSIONS.get((package, base.__name__))
        if conversion is not None:
            return conversion
    return None


def _array(value: Any) -> Any:
    """Return the content of an array or of a scalar of numpy, which have the same methods."""
    dtype = value.dtype
    items = 1
    for length in value.shape:
        items *= length
        if items > MAX_ITEMS:
            raise too_many()
    if dtype.names is not None:
        return _records(value)
    if dtype.kind in "mM":
        return _moments(value)
    if dtype.itemsize > _DOUBLE_BYTES.get(dtype.kind, dtype.itemsize):
        raise RefusalError(
            f"numbers of the type {dtype} have more digits than a float; use .astype(float)"
        )
    return value.tolist()


def _records(value: Any) -> Any:
    """Return a dict for each record of a structured array."""
    names = value.dtype.names
    if not value.shape:
        return {name: value[name] for name in names}
    if len(value.shape) > 1:
        raise RefusalError("an array of records has one dimension; use .ravel()")
    return [dict(zip(names, (row[name] for name in names), strict=True)) for row in value]


def _moments(value: Any) -> Any:
    """Return datetimes and dates, or timedeltas; NaT becomes None."""
    name = "datetime64" if value.dtype.kind == "M" else "timedelta64"
    unit = value.dtype.str.partition("[")[2].rstrip("]").lstrip("0123456789")
    if unit in ("ns", "ps", "fs", "as"):
        rounded = value.astype(f"{name}[us]")
        if ((rounded != value) & (value == value)).any():
            raise RefusalError(f"a {name} below a microsecond; use .astype('{name}[us]')")
        value = rounded
    content = value.tolist()
    # Where Python has no such moment, numpy writes a bare number.
    if any(type(one) is int for one in value.ravel().tolist()):
        raise RefusalError(
            "a datetime64 outside the years 1 to 9999; use .astype(str)"
            if name == "datetime64"
            else "a timedelta64 that is not of a fixed length, or too long; use .astype(int)"
        )
    return content


def _timestamp(value: Any) -> Any:
    if value.nanosecond:
        raise RefusalError("a Timestamp with nanoseconds; use .floor('us')")
    return value.to_pydatetime()


def _timedelta(value: Any) -> Any:
    if value.nanoseconds:
        raise RefusalError("a Timedelta with nanoseconds; use .floor('us')")
    return value.to_pytimedelta()


def _nothing(value: Any) -> None:
    return None


def _listed(value: Any) -> Any:
    if len(value) > MAX_ITEMS:
        raise too_many()
    return value.tolist()


def _series(value: Any) -> Any:
    """Return the values in a list, or by label where the labels are not 0, 1, 2, …"""
    items = _listed(value)
    index = value.index
    if index.name is None and getattr(index, "start", None) == 0 and index.step == 1:
        return items
    keyed = dict(zip(index.tolist(), items, strict=True))
    if len(keyed) != len(items):
        raise RefusalError("the index of the Series has a label twice; use .tolist()")
    return keyed


def _frame(value: Any) -> Any:
    """Return a dict for each row; an index with a name, or not of integers, is in the dicts."""
    index = value.index
    if any(name is not None for name in index.names) or index.dtype.kind not in "iu":
        try:
            value = value.reset_index()
        except ValueError as error:
            raise RefusalError(f"{error}; use .reset_index() with other names") from error
    columns = value.columns.tolist()
    _check_table(len(value), columns)
    cells = [value.iloc[:, number].tolist() for number in range(len(columns))]
    if not cells:
        return [{} for _ in range(len(value))]
    return [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]


def _check_table(rows: int, columns: list[Any]) -> None:
    if rows > MAX_ROWS:
        raise RefusalError(
            f"a DataFrame of {rows:,} rows; at most {MAX_ROWS:,} travel: "
            "use .head(...), aggregate it, or send columns as lists"
        )
    if rows * len(columns) > MAX_ITEMS:
        raise too_many()
    if len(set(columns)) != len(columns):
        raise RefusalError("two columns of the DataFrame have one name; rename one")


def _polars_series(value: Any) -> Any:
    if len(value) > MAX_ITEMS:
        raise too_many()
    _check_polars(value)
    return value.to_list()


def _polars_frame(value: Any) -> Any:
    _check_table(value.height, value.columns)
    for column in value.get_columns():
        _check_polars(column)
    return value.to_dicts()


def _check_polars(column: Any) -> None:
    if getattr(column.dtype, "time_unit", None) != "ns":
        return
    rounded = column.dt.cast_time_unit("us").dt.cast_time_unit("ns")
    if (rounded != column).any():
        raise RefusalError(
            f"the column {column.name!r} has nanoseconds; use .dt.cast_time_unit('us')"
        )


_CONVERSIONS: Final[dict[tuple[str, str], Conversion]] = {
    ("numpy", "ndarray"): _array,
    ("numpy", "generic"): _array,
    ("pandas", "Timestamp"): _timestamp,
    ("pandas", "Timedelta"): _timedelta,
    ("pandas", "NaTType"): _nothing,
    ("pandas", "NAType"): _nothing,
    ("pandas", "Index"): _listed,
    ("pandas", "ExtensionArray"): _listed,
    ("pandas", "Series"): _series,
    ("pandas", "DataFrame"): _frame,
    ("polars", "Series"): _polars_series,
    ("polars", "DataFrame"): _polars_frame,
}
"""By package and name of the type."""
