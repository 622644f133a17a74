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

from tests.support.processes import wait_until

__all__ = ["Redis", "redis_serves"]


class Redis:
    """A Redis that keeps nothing when it is stopped."""

    def __init__(self, program: str, folder: Path) -> None:
        self._socket = folder / "socket"
        self._command = [program, "--port", "0", "--unixsocket", str(self._socket)]
        self._command += ["--save", "", "--dir", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        assert wait_until(self._socket.exists, 60)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)


@contextmanager
def redis_serves() -> Iterator[Redis]:
    """Start a Redis; skip the test where the program is missing."""
    program = shutil.which("redis-server")
    if program is None:
        reason = "there is no redis-server on PATH; Debian has it in the package redis-server"
        if os.environ.get("CODEMODE_TEST_REDIS_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="cm-redis-"))
    redis = Redis(program, folder)
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()
        shutil.rmtree(folder)
