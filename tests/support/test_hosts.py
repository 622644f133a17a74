"""Tests of a tier that the host lacks are skipped by its name, and fail where it is required."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest

from tests.support.containers import LESSER_HOST
from tests.support.paths import ROOT

TEST = "tests/codemode/executor/host/test_isolation.py::test_best_tier_needs_no_excuse"


@pytest.mark.parametrize("required", ["A", None])
def test_missing_tier_skips_its_tests_unless_it_is_required(required: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "CODEMODE_TEST_TIER_REQUIRED"}
    if required is not None:
        environment["CODEMODE_TEST_TIER_REQUIRED"] = required
    spec = json.dumps({"answers": {"unshare": errno.EPERM}})
    done = subprocess.run(
        [
            *(sys.executable, str(LESSER_HOST), spec),
            *(sys.executable, "-m", "pytest", "-n0", "-q", "-ra", "-m", ""),
            *("-p", "no:cacheprovider", TEST),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "tier A is not offered here: Sandbox unavailable: A: prepare" in done.stdout
    assert (done.returncode, "1 skipped" in done.stdout) == ((1, False) if required else (0, True))
