"""Promises for macOS and Windows, which have no sandbox and lack other features of Linux."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ExecutorProcess, free_port

PROGRAM = Path(__file__).with_name("other_system.py")
KEY = "a key of sixteen or more characters"
EMBEDDED = (
    "an embedded executor needs Linux, and this is {system}; run codemode-executor in a "
    "Linux container or host and set executor_url"
)
COMMAND = (
    "codemode-executor needs Linux, and this is {system}; run it in a Linux container or "
    "host, and let clients reach it by their executor_url\n"
)


@pytest.fixture(scope="module")
def remote_executor() -> Iterator[ExecutorProcess]:
    with ExecutorProcess(
        listen=f"127.0.0.1:{free_port()}", environment={"CODEMODE_EXECUTOR_API_KEY": KEY}
    ) as process:
        yield process


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_clients_work_with_a_remote_executor_and_name_what_needs_linux(
    remote_executor: ExecutorProcess, system: str
) -> None:
    command = [sys.executable, str(PROGRAM), system, f"http://{remote_executor.url}", KEY]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.stdout.splitlines() == [
        "System check identified no issues (0 silenced).",
        "42",
        "44",
        EMBEDDED.format(system=system),
    ], ended.stderr
    assert ended.returncode == 3
    assert ended.stderr == COMMAND.format(system=system)
