"""The attacks are held for executors that have less: no rights of their own, or those of a container."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from codemode.config import Tier
from tests.support.containers import LESSER_HOST, container
from tests.support.hosts import needs_tier
from tests.support.paths import ROOT

_NOBODY: Mapping[str, int] = {"uid": 65534}

pytestmark = [
    pytest.mark.deep,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.geteuid() != 0, reason="these tests are run by an unprivileged user already"
    ),
]


def run(host: Mapping[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python on a host from which something was taken."""
    return subprocess.run(
        [sys.executable, str(LESSER_HOST), json.dumps(host), sys.executable, *arguments],
        cwd=ROOT,
        env={"HOME": "/nonexistent", "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=800,
    )


def needs_readable_checkout(host: Mapping[str, Any]) -> None:
    if run(host, "-c", "import codemode, pytest").returncode:
        pytest.skip("the checkout or its Python is below a folder that only its owner may enter")


def attack(host: Mapping[str, Any], tiers: Sequence[str]) -> None:
    """Run all attacks there: those of each tier have to be made, and to be held."""
    tests = Path(__file__).with_name("test_attacks.py").relative_to(ROOT)
    chosen = " or ".join(f"{tier}-" for tier in tiers)
    options = ("-n0", "-q", "-m", "", "-p", "no:cacheprovider")
    done = run(host, "-m", "pytest", *options, str(tests), "-k", chosen)
    assert done.returncode == 0, done.stdout[-3000:]
    (passed,) = re.findall(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert int(passed) > 90 * len(tiers)
    assert "skipped" not in done.stdout


def test_attacks_are_held_when_nobody_runs_the_executor() -> None:
    needs_tier("A")
    needs_readable_checkout(_NOBODY)
    attack(_NOBODY, "AC")


@pytest.mark.parametrize("who, tier", [({}, "B"), (_NOBODY, "C")], ids=["root", "nobody"])
def test_attacks_are_held_in_a_usual_container(who: Mapping[str, int], tier: Tier) -> None:
    needs_tier(tier)
    host = container(**who)
    needs_readable_checkout(host)
    attack(host, tier)
