"""Run the matrix of calling styles and tools, and print it: ``python -m tests.concurrency``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

__all__ = ["main", "table"]

_CELL = re.compile(r"\[(?P<style>.+)-(?P<column>[^-]+)\]$")


class Results:
    """Collect what became of each cell, as pytest reports it."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cell = _CELL.search(report.nodeid)
        if cell is None or (report.passed and report.when != "call"):
            return
        self.cells[cell["style"], cell["column"]] = "ok" if report.passed else report.outcome


def table(cells: dict[tuple[str, str], str]) -> str:
    """Return the cells as a table of styles by columns, in Markdown."""
    columns = list(dict.fromkeys(column for _, column in cells))
    rows = [["", *columns]] + [
        [style, *(cells.get((style, column), "") for column in columns)]
        for style in dict.fromkeys(style for style, _ in cells)
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns) + 1)]
    rows.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def main(*options: str) -> int:
    """Run the matrix, print it and return pytest's exit code."""
    results = Results()
    tests = Path(__file__).with_name("test_calling_styles.py")
    code = pytest.main(
        [f"{tests}::test_tools_run_where_the_caller_is", "-q", *options], plugins=[results]
    )
    print(f"\n{table(results.cells)}\n")
    counted = sum(outcome == "ok" for outcome in results.cells.values())
    print(f"{counted} of {len(results.cells)} cells hold")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
