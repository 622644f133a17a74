"""A real Redis on a private socket, where the host has the program."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.codemode.processes import wait_until

__all__ = ["redis_serves"]


@contextmanager
def redis_serves() -> Iterator[str]:
    """Start a Redis and give its URL; skip the test where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        reason = "there is no redis-server on PATH; Debian has it in the package redis-server"
        if os.environ.get("CODEMODE_TEST_REDIS_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="cm-redis-"))
    socket = folder / "socket"
    command = [
        program,
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        assert wait_until(socket.exists, 20)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder)
