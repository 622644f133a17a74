"""Tests that the benchmarks run and report their figures as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from codemode.sandbox.lockdown.layers import LAYERS
from tests.support.frameworks import needs_frameworks
from tests.support.paths import ROOT


def test_benchmark_shows_each_layer_of_the_lock_down() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--quick", "--only", "lockdown", "--json", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = json.loads(finished.stdout)
    tier = printed["conditions"]["isolation"]
    took, total, *layers = printed["figures"]
    assert took["name"] == f"lock-down of a sandbox, tier {tier}"
    assert total["targets"] == ["p50 ≤ 0.6"]
    assert [layer["name"] for layer in layers] == [f"CPU of {one.__name__}" for one in LAYERS[tier]]
    assert sum(layer["min"] for layer in layers) <= total["p50"] <= total["max"]


def test_benchmark_of_the_mcp_server_has_a_floor_for_each_figure() -> None:
    needs_frameworks("mcp")
    finished = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--quick", "--only", "mcp", "--json", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(finished.stdout)["figures"]
    assert [figure["name"] for figure in figures] == [
        f"{what} by MCP, {transport}"
        for transport in ("HTTP", "stdio")
        for what in ("list of the tools", "trivial run")
    ]
    assert all(figure["ratio"] > 0 for figure in figures)


@pytest.mark.quiet
@pytest.mark.timeout(600)
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
