"""Rows as CSV that a spreadsheet may open: no cell from untrusted code becomes a formula."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from django_codemode.playground.shown import text_of

__all__ = ["csv_url"]

MAX_CSV = 1024 * 1024
"""Characters; there is no CSV of a larger table."""

# How the cells begin that spreadsheets take for formulas; the last four are their wide forms.
_FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


def csv_url(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a ``data:`` URL of the rows as CSV, "" if that is longer than MAX_CSV.

    A text that a spreadsheet would take for a formula gets an apostrophe in
    front. Numbers stay numbers; None and a missing key are empty.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(map(_harmless, columns))
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
        if text.tell() > MAX_CSV:
            return ""
    # Spreadsheets take the text for UTF-8 only if it begins with this mark.
    data = text.getvalue().encode("utf-8-sig", "replace")
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(data).decode('ascii')}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return _harmless(value) if isinstance(value, str) else text_of(value)


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
