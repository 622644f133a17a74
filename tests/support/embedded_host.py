"""Programs that own an embedded executor, for tests of its lifetime."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from codemode import Codemode
from codemode.embedded.executor import EmbeddedExecutor
from tests.support.paths import ROOT
from tests.support.processes import descendants, is_running, wait_until

__all__ = [
    "all_gone",
    "command",
    "embedded",
    "environment",
    "family",
    "leftovers",
    "run_program",
    "running",
]


def command(source: str, *arguments: str) -> list[str]:
    """Return the command that runs a program with every warning as an error."""
    return [sys.executable, "-X", "dev", "-W", "error", "-c", source, *arguments]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment whose temporary folder is the test's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CODEMODE_")}
    return {**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), **more}


def run_program(source: str, folder: Path, *arguments: str, says: str = "") -> str:
    """Run a program to its end; return what it printed.

    On stderr, only lines that contain ``says`` are allowed.
    """
    done = subprocess.run(
        command(source, *arguments),
        env=environment(folder),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    said = [
        line
        for line in done.stderr.splitlines()
        if not (says and says in line)
        # An older gRPC prints this before its first log line.
        and not (says and "absl::InitializeLog" in line)
        # asyncio's debug mode prints this on a busy machine.
        and not line.startswith("Executing <")
    ]
    assert (done.returncode, said) == (0, []), (done.returncode, done.stderr)
    return done.stdout


def family(pid: int) -> list[int]:
    """Return the executor's process and all processes below it."""
    return [pid, *descendants(pid)]


def all_gone(pids: list[int], seconds: float = 60.0) -> bool:
    """Wait until none of the processes is running."""
    return wait_until(lambda: not any(map(is_running, pids)), seconds)


def leftovers(folder: Path) -> list[str]:
    """Return what an executor has left in a temporary folder."""
    return [path.name for path in folder.glob("codemode-*")]


def embedded(codemode: Codemode) -> EmbeddedExecutor:
    """Return the facade's own executor."""
    assert codemode.client.embedded is not None
    return codemode.client.embedded


def running(codemode: Codemode) -> int:
    """Return the process id of the facade's own executor, which must run."""
    pid = embedded(codemode).pid
    assert pid is not None
    return pid
