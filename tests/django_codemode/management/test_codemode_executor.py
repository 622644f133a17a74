from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil
import pytest

from tests.support.commands import environment, run
from tests.support.paths import ROOT


def test_the_command_serves_without_the_projects_secrets() -> None:
    path = os.pathsep.join(map(str, [ROOT, ROOT / "example_project"]))
    command = [sys.executable, "-m", "django", "codemode_executor", "--settings", "tests.settings"]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--pool-size", "1"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": path,
            "DATABASE_URL": "secret",
            "CODEMODE_EXECUTOR_API_KEY": "the-key-of-the-tests",
        },
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "serving on" in line)
            environment = psutil.Process(process.pid).environ()
            children = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.terminate()
        process.communicate(timeout=60)

    assert f"(process {process.pid})" in line
    assert "DATABASE_URL" not in environment
    assert "DJANGO_SETTINGS_MODULE" not in environment
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


def test_the_help_shows_examples() -> None:
    status, out, _ = run("codemode_executor", "--help")

    assert status == 0
    assert "--max-concurrency" in out
    assert "codemode-executor --probe\n" in out
    assert "exit status:\n  0    stopped by SIGTERM or SIGINT" in out


def test_the_command_probes_the_host_and_accepts_djangos_own_options() -> None:
    own = ("--probe", "--json", "--min-tier", "unsafe")
    djangos = ("--no-color", "--force-color", "--traceback", "--skip-checks", "-v", "2")
    status, out, err = run("codemode_executor", *own, *djangos)
    report = json.loads(out)
    assert (status, report["ok"], report["min_tier"]) == (0, True, "unsafe"), err
    assert report["tier"] in ("A", "B", "C", "none")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--no-such"], 2, "unrecognized arguments: --no-such"),
        (["--listen", "127.0.0.1:0"], 3, "needs an API key"),
        (["--json"], 3, "--json is for --probe"),
    ],
)
def test_the_exit_status_shows_why_it_does_not_serve(
    arguments: list[str], status: int, message: str
) -> None:
    ended, _, err = run("codemode_executor", *arguments)
    assert ended == status
    assert message in err


def test_call_command_becomes_the_executor_too() -> None:
    code = (
        "import django; django.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('codemode_executor', '--', '--version')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("codemode-executor ")
