"""An executor of this process's own, on a private Unix socket, gone with the process."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path

from codemode.errors import ExecutorConnectionError
from codemode.executor.interpreter import InterpreterNotFoundError, find_python

__all__ = ["EmbeddedExecutor"]

logger = logging.getLogger(__name__)

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 5.0
_LONGEST_FOLDER = 80  # a Unix socket's path has fewer than 108 bytes
_PASSED_ON = ("LIMITS", "CEILINGS", "MAX_CONCURRENCY", "MAX_QUEUED", "POOL_SIZE", "MIN_TIER")


class EmbeddedExecutor:
    """Start an executor on first use, and again when it has died or the process has forked.

    Safe from many threads. ``log_file`` gets the executor's log; without one it
    is ``executor.log`` in the private folder and goes with it.
    """

    def __init__(self, *, log_file: Path | None = None, min_tier: str | None = None) -> None:
        self._log_file = log_file
        self._min_tier = min_tier
        self._lock = threading.Lock()
        self._process: _Process | None = None
        _all_embedded.add(self)

    @property
    def pid(self) -> int | None:
        """Return the process id of the running executor, or None."""
        process = self._process
        return process.pid if process is not None and process.alive() else None

    @property
    def log_path(self) -> Path | None:
        """Return where the log of the running executor is, or None before the first use."""
        return self._process.log_path if self._process is not None else None

    def address(self) -> str:
        """Return the gRPC target, starting the executor when none runs.

        Blocks for the start (some hundred milliseconds). Raises ExecutorConnectionError.
        """
        with self._lock:
            if self._process is not None and not self._process.alive():
                logger.warning("the embedded executor %d has died; starting another", self.pid or 0)
                self._process.close()
                self._process = None
            if self._process is None:
                self._process = _Process(self._log_file, self._min_tier)
            return self._process.address

    def close(self) -> None:
        """Stop the executor and wait for its end. Idempotent."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.close()

    def _forget(self) -> None:
        """Drop the parent's executor in a forked child."""
        self._lock = threading.Lock()
        if self._process is not None:
            self._process.forget()
            self._process = None


class _Process:
    """One executor process."""

    def __init__(self, log_file: Path | None, min_tier: str | None) -> None:
        if not hasattr(os, "pidfd_open") or sys.platform != "linux":
            raise ExecutorConnectionError(
                f"an embedded executor needs Linux, and this is {sys.platform}; run "
                "codemode-executor on a Linux host or in a container and set executor_url"
            )
        self._folder = _private_folder()
        self.log_path = log_file or self._folder / "executor.log"
        self.address = f"unix:{self._folder / 'socket'}"
        self._log_fd = -1
        self._pidfd = -1
        try:
            self._log_fd = os.open(
                self.log_path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            self._log_start = os.lseek(self._log_fd, 0, os.SEEK_END)
            self.pid = self._spawn(min_tier)
        except (OSError, InterpreterNotFoundError) as error:
            self._release()
            raise ExecutorConnectionError(
                f"the embedded executor cannot be started: {error}"
            ) from error
        except BaseException:
            self._release()
            raise
        logger.info("embedded executor %d serves on %s", self.pid, self.address)

    def alive(self) -> bool:
        """Tell whether the process runs."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """End the process, first politely, and reap it."""
        self._signal(signal.SIGTERM)
        if not self._wait(_STOP_TIMEOUT):
            logger.warning("embedded executor %d does not stop; killing it", self.pid)
            self._signal(signal.SIGKILL)
            self._wait(_STOP_TIMEOUT)
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # a server that reaps all its children was faster
        self._release()

    def forget(self) -> None:
        """Let go in a forked child of what belongs to the parent."""
        os.close(self._pidfd)
        os.close(self._log_fd)

    def _spawn(self, min_tier: str | None) -> int:
        ready, ready_write = os.pipe2(os.O_CLOEXEC)
        parent = os.pidfd_open(os.getpid())
        # Moved up, so that no dup2 below overwrites the source of another.
        sources = [_move_up(fd) for fd in (ready_write, parent, self._log_fd)]
        os.close(ready_write)
        os.close(parent)
        command = [find_python(), "-P", "-m", "codemode.executor", "--listen", self.address]
        command += ["--ready-fd", "3", "--parent-pid-fd", "4", "--private-dir", str(self._folder)]
        if min_tier is not None:
            command += ["--min-tier", min_tier]
        try:
            pid = os.posix_spawn(
                command[0],
                command,
                _environment(),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, sources[2], 1),
                    (os.POSIX_SPAWN_DUP2, sources[2], 2),
                    (os.POSIX_SPAWN_DUP2, sources[0], 3),
                    (os.POSIX_SPAWN_DUP2, sources[1], 4),
                ],
                # Ctrl-C in the terminal is for the parent; it decides what ends when.
                setsid=True,
            )
            self._pidfd = os.pidfd_open(pid)
        finally:
            for fd in sources:
                os.close(fd)
        self.pid = pid
        with os.fdopen(ready, "rb", buffering=0) as pipe:
            if not self._await_ready(pipe.fileno()):
                self._signal(signal.SIGKILL)
                self._wait(_STOP_TIMEOUT)
                raise ExecutorConnectionError(
                    f"the embedded executor did not start; its log ends with:\n{self._log_tail()}"
                )
        return pid

    def _await_ready(self, fd: int) -> bool:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        deadline = time.monotonic() + _START_TIMEOUT
        while (left := deadline - time.monotonic()) > 0:
            for ready_fd, _ in poll.poll(left * 1000):
                if ready_fd == fd:
                    return os.read(fd, 16) == b"ready"
            if not self.alive():
                return False
        return False

    def _signal(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            pass

    def _wait(self, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def _log_tail(self) -> str:
        data = os.pread(self._log_fd, 65536, self._log_start)
        return data[-4096:].decode("utf-8", "replace").strip()

    def _release(self) -> None:
        for fd in (self._log_fd, self._pidfd):
            if fd >= 0:
                os.close(fd)
        shutil.rmtree(self._folder, ignore_errors=True)


def _private_folder() -> Path:
    """Make a folder that only this user may enter and whose path is short enough."""
    shared = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # mkdtemp makes it private
    for parent in dict.fromkeys(
        (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), *shared)
    ):
        if parent and len(os.fsencode(parent)) <= _LONGEST_FOLDER and os.access(parent, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="codemode-", dir=parent))
    raise ExecutorConnectionError(
        f"no temporary folder has a path of at most {_LONGEST_FOLDER} bytes that this user may "
        "write to; set TMPDIR to a shorter one"
    )


def _environment() -> dict[str, str]:
    """Return what the executor needs, and none of this process's secrets."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
    names = [*kept, *(f"CODEMODE_EXECUTOR_{name}" for name in _PASSED_ON)]
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    return environment


def _move_up(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


_all_embedded: weakref.WeakSet[EmbeddedExecutor] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for embedded in list(_all_embedded):
        embedded._forget()


os.register_at_fork(after_in_child=_after_fork_in_child)
