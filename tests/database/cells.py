"""A pytest plugin that writes down the outcome of each cell of a matrix."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

_cells: list[tuple[str, str, str]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record the cell of a test, and whether the test has passed."""
    recorded: Any = dict(report.user_properties).get("cell")
    if recorded is not None and report.when == "call":
        row, column, text = recorded
        _cells.append((row, column, text if report.passed else f"FAILED: {text}"))


def pytest_sessionfinish() -> None:
    """Write all cells for the process that prints the table."""
    Path(os.environ["CODEMODE_TEST_CELLS"]).write_text(json.dumps(_cells))
