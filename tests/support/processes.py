"""Real executor processes for tests, and what /proc shows about them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import psutil

__all__ = [
    "WHO",
    "ExecutorProcess",
    "becomes",
    "descendants",
    "ending_all_it_starts",
    "free_port",
    "is_running",
    "open_descriptors",
    "process_named",
    "threads_of_executions",
    "wait_until",
]

WHO = (
    "import ctypes, uuid; who = lambda name=uuid.uuid4().hex[:12]:"
    " ctypes.CDLL(None).prctl(15, name.encode()) or name\n"
)
"""A prologue by which sandboxed code names its process, by ``who()``. Inside a PID namespace the
process id would mean nothing outside."""


_OF_THE_CLIENT = re.compile(r"codemode/core/_(grpc/apart|link/\w+)\.py")
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


class ExecutorProcess:
    """One ``python -m codemode.executor`` on a Unix socket, or where ``listen`` says.

    It may be killed, and started again at the same address.
    """

    def __init__(
        self,
        *options: str,
        listen: str | None = None,
        environment: Mapping[str, str] | None = None,
        group: Path | None = None,
    ) -> None:
        # Not tmp_path: its name is too long for a socket.
        self.folder = Path(tempfile.mkdtemp(prefix="cm-test-"))
        self.url = listen or f"unix:{self.folder / 'socket'}"
        self.log_path = self.folder / "log"
        self._options = options
        self._group = group
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def zygote(self) -> int:
        """Return the process id of the only zygote, once it exists."""
        assert wait_until(lambda: len(self.zygotes()) == 1), self.log
        (zygote,) = self.zygotes()
        return zygote

    def zygotes(self) -> list[int]:
        """Return the process ids of all zygotes, even of one that is dead and not yet reaped."""
        return [child.pid for child in psutil.Process(self.pid).children()]

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def start(self) -> Self:
        ready, ready_write = os.pipe()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CODEMODE_")}
        enter = ("sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self._group))
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(enter if self._group else ()),
                    *(sys.executable, "-m", "codemode.executor", "--min-tier", "unsafe"),
                    *("--tier", os.environ.get("CODEMODE_TEST_TIER", "unsafe")),
                    *("--listen", self.url, "--ready-fd", str(ready_write), *self._options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(ready_write,),
                # Removes, with the folder, what a killed executor leaves behind.
                env={**inherited, "TMPDIR": str(self.folder), **self._environment},
            )
        os.close(ready_write)
        with os.fdopen(ready, "rb") as pipe:
            # The line is empty (end of file) when the executor ends before it is ready.
            if pipe.read(5) != b"ready":
                self._process.wait(_START_SECONDS)
                raise AssertionError(f"the executor did not start: {self.log}")
        return self

    def kill(self) -> None:
        """Kill the executor process alone, as the kernel does when memory runs out."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(_STOP_SECONDS)

    def stop(self) -> int:
        """Stop the executor by SIGTERM, and check that nothing of it remains."""
        assert self._process is not None
        below = descendants(self.pid)
        self._process.terminate()
        status = self._process.wait(_STOP_SECONDS)
        assert wait_until(lambda: not any(map(is_running, below)))
        shutil.rmtree(self.folder)
        return status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        assert self.stop() in (0, -signal.SIGKILL)


def threads_of_executions() -> list[str]:
    """Return the stacks of the client's threads, other than those of its callers."""
    stacks = [
        traceback.format_stack(frame)
        for thread, frame in sys._current_frames().items()
        if thread != threading.get_ident()
    ]
    return ["".join(stack) for stack in stacks if _OF_THE_CLIENT.search("".join(stack[:3]))]


def descendants(pid: int) -> list[int]:
    """Return the process ids below a process."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@contextlib.contextmanager
def ending_all_it_starts() -> Iterator[None]:
    """Check that every process that this process starts in the block has ended with it.

    Only this process's own children count. Below the children that existed before, such as an
    executor that tests share, processes come and go meanwhile.
    """
    before = set(psutil.Process().children())
    yield
    # A process that was being forked while all was stopped is killed, and gone a moment later.
    started = set(psutil.Process().children()) - before
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive


def process_named(name: str) -> int | None:
    """Return the id of the process that has named itself so."""
    named = (each.pid for each in psutil.process_iter(["name"]) if each.info["name"] == name)
    return next(named, None)


def free_port() -> int:
    """Return an unused port of loopback, for a server that needs a port number."""
    # Below the ports that the system gives to connections, and outside other workers' ranges.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    for port in random.sample(range(20_000 + worker, 32_000, 8), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port on loopback")


def is_running(process: int | str) -> bool:
    """Return whether a process, by its id or its name, exists and is not a zombie."""
    pid = process_named(process) if isinstance(process, str) else process
    if pid is None:
        return False
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def open_descriptors(pid: int) -> int:
    """Return how many file descriptors a process has open."""
    return psutil.Process(pid).num_fds()


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait for a condition; return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


async def becomes(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait for a condition in an event loop; return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True
