"""The output of ``--probe``, before an executor is trusted with anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from codemode.config import ExecutorConfig
from codemode.executor.host.isolation import GAPS
from codemode.executor.serving.probe import ProbeReport, probe
from codemode.executor.streams.canaries import CANARIES
from codemode.sandbox.lockdown.layers import LAYERS
from tests.support.hosts import needs_tier
from tests.support.marks import deep_except
from tests.support.paths import ROOT


def ask(*options: str, command: tuple[str, ...] = ("-m", "codemode.executor")) -> Any:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CODEMODE_")}
    return subprocess.run(
        [sys.executable, *command, "--probe", *options],
        capture_output=True,
        text=True,
        timeout=100,
        env={**inherited, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("tier", deep_except(["A", "C"], "A"))
def test_probe_is_one_object_for_programs(tier: Any) -> None:
    needs_tier(tier)
    said = ask("--json", "--tier", tier, "--min-tier", tier)
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert (report["ok"], report["tier"], report["min_tier"]) == (True, tier, tier)
    assert list(report["layers"]) == [layer.__name__ for layer in LAYERS[tier]]
    assert report["canaries"] == {canary.name: {"passed": True} for canary in CANARIES}
    assert report["gaps"] == list(GAPS[tier])
    assert report["reasons"] == {}
    assert isinstance(report["landlock_abi"], int)


def test_probe_is_a_table_for_people() -> None:
    needs_tier("A")
    said = ask()
    assert said.returncode == 0, said.stderr
    for part in ("tier      A; with min_tier A the executor serves", "seccomp_filter", "0 failed"):
        assert part in said.stdout
    for text in (*(canary.name for canary in CANARIES), *GAPS["A"]):
        assert text in said.stdout


@pytest.mark.parametrize("tier", deep_except(["C", "unsafe"], "C"))
def test_probe_fails_below_the_minimum(tier: Any) -> None:
    needs_tier(tier)
    said = ask("--json", "--tier", tier)
    assert said.returncode == 3
    assert json.loads(said.stdout)["ok"] is False
    assert "REFUSES to serve" in ask("--tier", tier).stdout


def test_probe_through_manage_py() -> None:
    needs_tier("A")
    command = (str(ROOT / "example_project" / "manage.py"), "codemode_executor")
    said = ask("--json", command=command)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["tier"] == "A"


def test_json_without_probe_is_refused() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "codemode.executor", "--json"],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
    )
    assert said.returncode == 3
    assert "--json is for --probe" in said.stderr


async def test_failed_canary_is_named_and_fails_the_probe() -> None:
    needs_tier("C")
    report = await probe(ExecutorConfig(tier="C", min_tier="C"))
    assert report.ok
    canaries = {**report.canaries, "no network": "got 'it worked'"}
    broken = ProbeReport(
        isolation=report.isolation, min_tier="C", cgroups="none", canaries=canaries
    )
    assert not broken.ok
    said = json.loads(broken.as_json())["canaries"]["no network"]
    assert said == {"passed": False, "detail": "got 'it worked'"}
    assert "1 failed" in broken.as_table()
