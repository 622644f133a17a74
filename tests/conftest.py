from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from django_codemode.shared import shared

# The suite runs on any host: with what isolation is told by its last line, and
# tests of a tier that the host lacks are skipped by name.
os.environ.setdefault("CODEMODE_EXECUTOR_MIN_TIER", "unsafe")

# Tests start Python by the hundred: what one process compiles, the next need not.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell's background ignores Ctrl-C, and what tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What takes most of the suite's time: servers, executors and browsers that are started
# again and again, floods, and attacks by the hundred.
NOT_EVERYDAY = (
    "codemode/executor",
    "codemode/sandbox/attacks",
    "codemode/test_values_hostile.py",
    "concurrency",
    "database/test_on_postgresql.py",
    "django_codemode/test_codemode_exec_session.py",
    "django_codemode/test_websockets.py",
    "playground",
    "servers",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is quick enough for every day, before tests are chosen by their marks."""
    long = [Path(__file__).parent / one for one in NOT_EVERYDAY]
    for item in items:
        extra = any(map(item.get_closest_marker, ("slow", "trial")))
        if not extra and not any(map(item.path.is_relative_to, long)):
            item.add_marker("everyday")


def pytest_configure() -> None:
    """Compile what sandboxes preload, once: they write nothing themselves."""
    spec = find_spec("pandas")
    assert spec is not None
    assert spec.cached is not None
    if not Path(spec.cached).exists():
        subprocess.run([sys.executable, "-c", "import pandas"], check=True)


@pytest.fixture(scope="session", autouse=True)
def no_process_outlives_the_tests() -> Iterator[None]:
    """Fail the run when something that a test started is still there at its end."""
    yield
    shared.close()
    _, left = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=10)
    assert not left, f"left behind: {[process.as_dict(['pid', 'cmdline']) for process in left]}"


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let reports travel between processes whatever the tests have written."""
    return without_surrogates((yield))


def without_surrogates(data: Any) -> Any:
    if isinstance(data, str):
        return data.encode(errors="replace").decode()
    if isinstance(data, dict):
        return {key: without_surrogates(item) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(map(without_surrogates, data))
    return data
