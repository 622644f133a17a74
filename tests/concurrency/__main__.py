"""The matrices, run and printed as tables: ``python -m tests.concurrency``.

``styles`` shows who executes code by which tools, ``endings`` how soon sandboxes die with their
execution or process, and ``mutations`` whether the tests notice a missing mechanism.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.concurrency.ended_processes import SIGNALS, once
from tests.concurrency.endings import CELLS, ENDINGS, measure
from tests.support.deaths import PROMISED_SECONDS, STATES
from tests.support.mutations import report
from tests.support.processes import ExecutorProcess
from tests.support.tables import Cells, table


class Outcomes:
    """A pytest plugin that collects the outcome of each cell."""

    def __init__(self) -> None:
        self.cells: Cells = {}
        self._names: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # Read from the parameters, because in pytest's ids a hyphen may be part of a name.
        for item in items:
            assert isinstance(item, pytest.Function)
            style: Any = item.callspec.params["style"]
            column: Any = item.callspec.params["column"]
            self._names[item.nodeid] = (style.name, column.name)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed and report.when != "call":
            return
        self.cells[self._names[report.nodeid]] = "ok" if report.passed else report.outcome


def styles() -> bool:
    """Execute in every style by every kind of tool."""
    outcomes = Outcomes()
    tests = Path(__file__).with_name("test_calling_styles.py")
    test = f"{tests}::test_tools_run_where_the_caller_is"
    code = pytest.main([test, "-n0", "-q", "-p", "no:cacheprovider"], plugins=[outcomes])
    print(f"\n{table(outcomes.cells)}\n")
    counted = sum(outcome == "ok" for outcome in outcomes.cells.values())
    print(f"{counted} of {len(outcomes.cells)} cells hold")
    return code == 0


def endings() -> bool:
    """Time the death of sandboxes, in milliseconds; each cell is one trial."""
    measured: dict[tuple[str, str], float] = {}
    # Code reports its process id, which is unknown inside a PID namespace.
    with ExecutorProcess("--tier", "unsafe") as executor:
        for ending in ENDINGS:
            print(f"{ending} ...", file=sys.stderr, flush=True)
            for state in STATES:
                if (ending, state) in CELLS:
                    measured[ending, state] = measure(executor, ending, state, 1)
        for half in ("sync", "async", "codemode_exec"):
            for name, number in SIGNALS.items():
                print(f"{half}: {name} ...", file=sys.stderr, flush=True)
                for state in STATES:
                    measured[f"{half}: {name}", state] = once(half, state, executor.url, number)
    cells = {cell: f"{seconds * 1000:.1f}" for cell, seconds in measured.items()}
    late = sum(seconds >= PROMISED_SECONDS for seconds in measured.values())
    print(f"\n{table(cells)}\n")
    print(
        f"{len(cells) - late} of {len(cells)} sandboxes were dead within "
        f"{PROMISED_SECONDS * 1000:.0f} ms; the slowest took {max(measured.values()) * 1000:.0f} ms"
    )
    return not late


def mutations() -> bool:
    """Remove each mechanism in turn, and run the test that must notice."""
    return report("concurrency")


MATRICES: dict[str, Callable[[], bool]] = {
    "styles": styles,
    "endings": endings,
    "mutations": mutations,
}


def main() -> int:
    """Print the requested matrices; return 1 when a cell does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.concurrency", description="Run the matrices and print them."
    )
    parser.add_argument(
        "matrix", nargs="*", choices=[[], *MATRICES], help="all of them by default", default=[]
    )
    chosen = parser.parse_args().matrix or MATRICES
    held = [MATRICES[name]() for name in chosen]
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main())
