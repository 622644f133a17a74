from __future__ import annotations

import os
from collections.abc import Iterator

import psutil
import pytest

from django_codemode.shared import shared

# The suite runs on any host: with what isolation is told by its last line, and
# tests of a tier that the host lacks are skipped by name.
os.environ.setdefault("CODEMODE_EXECUTOR_MIN_TIER", "unsafe")


@pytest.fixture(scope="session", autouse=True)
def no_process_outlives_the_tests() -> Iterator[None]:
    """Fail the run when something that a test started is still there at its end."""
    yield
    shared.close()
    _, left = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=10)
    assert not left, f"left behind: {[process.as_dict(['pid', 'cmdline']) for process in left]}"
