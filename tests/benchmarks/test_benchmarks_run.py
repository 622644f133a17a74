"""The benchmarks can be run, and say what they measured as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_quick_benchmark_of_a_trivial_run_prints_json() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--quick", "--only", "trivial", "--json", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = json.loads(finished.stdout)
    assert printed["conditions"]["cores"] > 0
    with_floor = [figure for figure in printed["figures"] if figure["floor"] is not None]
    assert {figure["group"] for figure in with_floor} == {"trivial"}
    for figure in with_floor:
        assert 0 < figure["min"] <= figure["p50"] <= figure["p95"] <= figure["max"]
        assert figure["ratio"] > 0
        assert isinstance(figure["reached"], bool) or not figure["targets"]
    names = [figure["name"] for figure in printed["figures"]]
    assert any("async half" in name for name in names)
    assert any("sync half" in name.replace("async half", "") for name in names)
    assert "| trivial run, async half, warm pool " in finished.stderr
