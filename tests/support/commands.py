"""Calls of the commands, in this process and as processes of their own."""

from __future__ import annotations

import io
import os
import subprocess
import sys

from django.core.management import CommandError, call_command

from tests.support.paths import ROOT

__all__ = ["FOR_ALL", "call", "run", "start"]


# Passed by a test to every process that it starts.
FOR_ALL: dict[str, str] = {}


def call(command: str, *arguments: str) -> tuple[int, str, str]:
    """Call a command in this process; return exit status, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(command, *arguments, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), f"{err.getvalue()}{error}"
    return 0, out.getvalue(), err.getvalue()


def environment(**variables: str) -> dict[str, str]:
    """Return an environment in which the commands find the project of the tests."""
    path = os.pathsep.join(map(str, [ROOT, ROOT / "example_project"]))
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    # These tests do not depend on how well this host can isolate.
    tier = {k: v for k, v in os.environ.items() if k == "CODEMODE_EXECUTOR_MIN_TIER"}
    return {**base, **tier, "DJANGO_SETTINGS_MODULE": "tests.settings", **FOR_ALL, **variables}


def start(command: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start a command in a new process."""
    return subprocess.Popen(
        [sys.executable, "-m", "django", command, *arguments],
        env=environment(**variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(command: str, *arguments: str, stdin: str = "", **variables: str) -> tuple[int, str, str]:
    """Run a command in a new process; return exit status, stdout and stderr."""
    with start(command, *arguments, **variables) as process:
        out, err = process.communicate(stdin, timeout=60)
    return process.returncode, out, err
