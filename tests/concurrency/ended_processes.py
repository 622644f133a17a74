"""Processes that are ended while code runs for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.deaths import arrive, seconds_until_death
from tests.support.paths import ROOT
from tests.support.watchdog import PATIENCE

__all__ = ["SIGNALS", "once", "working"]

SIGNALS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}


# A process's own executor runs its code without a PID namespace here, so that the code can report
# its process id for the measurement.
PYTHONPATH = os.pathsep.join(map(str, (ROOT, ROOT / "example_project")))

NO_NAMESPACE = {"CODEMODE_EXECUTOR_TIER": "unsafe", "CODEMODE_EXECUTOR_MIN_TIER": "unsafe"}


@contextmanager
def working(half: str, state: str, url: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a process whose code is in the given state; yield it and its sandbox's process id."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.concurrency.ended_process", half, state, url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PYTHONPATH, **NO_NAMESPACE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            arrive(pid, state)
            yield process, pid
        finally:
            process.kill()


def once(half: str, state: str, url: str, number: int) -> float:
    with working(half, state, url) as (process, pid):
        seconds = seconds_until_death(pid, lambda: process.send_signal(number))
        # Closing stdin releases what delays the process, only now.
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode in (-number, 1, 128 + number)
    if half == "codemode_exec" and number == signal.SIGINT:
        assert process.returncode == 130
        assert err.splitlines()[-1] == "CommandError: interrupted"
        assert out.endswith("unwound\n") == (state == "async tool")
    elif number == signal.SIGINT:
        assert err.splitlines()[-1] == "KeyboardInterrupt"
        assert out == ("unwound\n" if state == "async tool" else "")
    else:
        assert err == ""
    return seconds
