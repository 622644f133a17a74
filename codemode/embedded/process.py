"""One executor process that belongs to this process."""

from __future__ import annotations

import json
import logging
import os
import select
import shutil
import signal
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

from codemode.errors import ExecutorConnectionError
from codemode.interpreter import InterpreterNotFoundError, find_python

if sys.platform != "win32":
    import fcntl

__all__ = ["SpawnedExecutor"]

logger = logging.getLogger("codemode.executor")

_DEFAULT_MIN_TIER = "C"  # the best tier that the host offers, but never no isolation
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 5.0
_LONGEST_FOLDER = 80  # bytes of its parent's path: a Unix socket's path must have fewer than 108
_LOG_TAIL = 4096
_LAST_RESORTS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mkdtemp makes it private

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
_SETTINGS = (
    *("LIMITS", "CEILINGS", "MAX_CONCURRENCY", "MAX_CONCURRENCY_PER_KEY", "MAX_QUEUED"),
    *("MAX_QUEUED_BYTES", "POOL_SIZE", "MIN_TIER", "TIER"),
    *("PACKAGES", "WARM_PROFILES"),
)

# What the executor imports. The project's own folders come after these and
# after the standard library, so that no module of the project can hide one of them.
_IMPORTED = ("codemode", "grpc", "google.protobuf", "pydantic", "pydantic_settings", "cbor2")
_LAUNCHER = (
    "import json, os, sys; sys.path += json.loads(sys.argv.pop(1)); os.chdir('/'); "
    "from codemode.executor.__main__ import main; sys.exit(main())"
)


class SpawnedExecutor:
    """A started executor process, with its folder, its log and its descriptors.

    Raises ExecutorConnectionError, with the end of the log, when it does not serve.
    """

    def __init__(self, log_file: Path | None, min_tier: str | None) -> None:
        if sys.platform != "linux":
            raise ExecutorConnectionError(
                f"an embedded executor needs Linux, and this is {sys.platform}; run "
                "codemode-executor in a Linux container or host and set executor_url"
            )
        _reap_abandoned()
        self._descriptors = threading.RLock()  # as that of the EmbeddedExecutor
        self._pidfd = self._log_fd = -1
        self.pid = 0
        self._folder = _private_folder()
        self.log_path = log_file or self._folder / "executor.log"
        self.address = f"unix:{self._folder / 'socket'}"
        try:
            self._log_fd = os.open(
                self.log_path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            self._log_start = os.lseek(self._log_fd, 0, os.SEEK_END)
            self._start(min_tier)
        except BaseException as error:
            self._end(signal.SIGKILL)
            self._release()
            if isinstance(error, OSError | InterpreterNotFoundError):
                raise ExecutorConnectionError(
                    f"the embedded executor cannot be started: {error}"
                ) from error
            raise
        logger.info("embedded executor %d serves on %s", self.pid, self.address)

    def alive(self) -> bool:
        """Return whether the process runs. Safe from any thread."""
        with self._descriptors:
            return self._pidfd >= 0 and not _readable(self._pidfd, 0)

    def log_tail(self) -> str:
        """Return the end of what the executor has logged since its start."""
        size = os.fstat(self._log_fd).st_size
        data = os.pread(self._log_fd, _LOG_TAIL, max(self._log_start, size - _LOG_TAIL))
        return data.decode("utf-8", "replace").strip()

    def close(self) -> None:
        """End the process, with SIGTERM first and then SIGKILL, and reap it."""
        if not self._end(signal.SIGTERM):
            logger.warning("embedded executor %d does not stop; killing it", self.pid)
            self._end(signal.SIGKILL)
        self._release()
        _reap_abandoned()

    def abandon(self) -> None:
        """End the process without waiting; it is reaped when another one starts or is closed."""
        self._signal(signal.SIGTERM)
        _abandoned.append(self)

    def reap(self) -> bool:
        """Clean up after an abandoned process; return False while it still runs."""
        if self.alive():
            return False
        self._wait(0)
        self._release()
        return True

    def forget(self) -> None:
        """Close, in a forked child, the descriptors that belong to the parent."""
        self._descriptors = threading.RLock()
        self._close_descriptors()

    def _start(self, min_tier: str | None) -> None:
        ready, ready_write = os.pipe2(os.O_CLOEXEC)
        try:
            self._spawn(ready_write, min_tier)
            poll = select.poll()
            poll.register(ready, select.POLLIN)
            poll.register(self._pidfd, select.POLLIN)
            deadline = time.monotonic() + _START_TIMEOUT
            ended = False
            while not ended and (left := deadline - time.monotonic()) > 0:
                events = dict(poll.poll(left * 1000))
                if events.get(ready, 0) & select.POLLIN:
                    return
                ended = self._pidfd in events
        finally:
            # An executor that is ready too late fails to write here, and stops.
            os.close(ready)
        how = "ended" if ended else f"did not serve within {_START_TIMEOUT:g} s"
        self._end(signal.SIGKILL)
        raise ExecutorConnectionError(
            f"the embedded executor did not start: its process {how}, and its log "
            f"ends with:\n{self.log_tail() or '(nothing)'}"
        )

    def _spawn(self, ready_write: int, min_tier: str | None) -> None:
        parent = os.pidfd_open(os.getpid())
        # Moved up, so that no dup2 below overwrites the source of another.
        sources = [_move_up(fd) for fd in (ready_write, parent, self._log_fd)]
        os.close(ready_write)
        os.close(parent)
        # No site, environment or working folder: the launcher receives sys.path as an argument.
        command = [find_python(), "-I", "-S", "-c", _LAUNCHER, json.dumps(_import_path())]
        command += ["--listen", self.address, "--private-dir", str(self._folder)]
        command += ["--ready-fd", "3", "--parent-pid-fd", "4"]
        if min_tier is not None:
            command += ["--min-tier", min_tier]
        elif "CODEMODE_EXECUTOR_MIN_TIER" not in os.environ:
            command += ["--min-tier", _DEFAULT_MIN_TIER]
        try:
            self.pid = os.posix_spawn(
                command[0],
                command,
                _environment(self._folder),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, sources[2], 1),
                    (os.POSIX_SPAWN_DUP2, sources[2], 2),
                    (os.POSIX_SPAWN_DUP2, sources[0], 3),
                    (os.POSIX_SPAWN_DUP2, sources[1], 4),
                    *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable_descriptors() if fd > 4),
                ],
                # Ctrl-C in the terminal is for the parent, which decides when the executor ends.
                setsid=True,
                # A web server's threads may block signals, and its master process may ignore some.
                setsigmask=(),
                setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP),
            )
            self._pidfd = os.pidfd_open(self.pid)
        finally:
            for fd in sources:
                os.close(fd)

    def _end(self, number: int) -> bool:
        """Send a signal and reap the process; return False when it has not ended in time."""
        self._signal(number)
        return self._wait(_STOP_TIMEOUT)

    def _signal(self, number: int) -> None:
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                pass

    def _wait(self, timeout: float) -> bool:
        if self._pidfd < 0:
            return True
        if not _readable(self._pidfd, timeout):
            return False
        try:
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except ChildProcessError:
            pass  # already reaped, by a web server that reaps all its children
        return True

    def _release(self) -> None:
        self._close_descriptors()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _close_descriptors(self) -> None:
        with self._descriptors:
            for fd in (self._log_fd, self._pidfd):
                if fd >= 0:
                    os.close(fd)
            self._log_fd = self._pidfd = -1


def _private_folder() -> Path:
    """Make a folder that only this user may enter, with a path short enough for a socket."""
    refusals = []
    for parent in dict.fromkeys(
        (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), *_LAST_RESORTS)
    ):
        if not parent:
            continue
        if len(os.fsencode(os.path.abspath(parent))) > _LONGEST_FOLDER:
            refusals.append(f"the path {parent!r} has more than {_LONGEST_FOLDER} bytes")
            continue
        try:
            return Path(tempfile.mkdtemp(prefix="codemode-", dir=os.path.abspath(parent)))
        except OSError as error:
            refusals.append(str(error))
    raise ExecutorConnectionError(
        "the embedded executor has no folder for its socket; set TMPDIR to one that this user may "
        f"write to ({'; '.join(refusals)})"
    )


def _environment(folder: Path) -> dict[str, str]:
    """Return the variables that the executor needs, without this process's secrets."""
    settings = tuple(f"CODEMODE_EXECUTOR_{name}" for name in _SETTINGS)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.partition("__")[0] in settings
    }
    # What the executor leaves behind, even when it is killed, is removed with the folder.
    environment["TMPDIR"] = str(folder)
    return environment


def _import_path() -> list[str]:
    """Return the folders that an executor of this installation imports from."""
    roots = [_root(name) for name in _IMPORTED]
    rest = [os.path.abspath(entry) for entry in sys.path if os.path.exists(entry or ".")]
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return [path for path in dict.fromkeys((*roots, *rest)) if path and path not in standard]


def _root(name: str) -> str | None:
    """Return the folder from which this process has imported a package."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return str(Path(os.path.abspath(file)).parents[name.count(".") + 1]) if file else None


def _inheritable_descriptors() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:
            pass  # closed meanwhile, such as the descriptor of this listing
    return found


def _move_up(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _readable(fd: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


_abandoned: list[SpawnedExecutor] = []


def _reap_abandoned() -> None:
    for executor in list(_abandoned):
        if executor.reap() and executor in _abandoned:
            _abandoned.remove(executor)


def _after_fork_in_child() -> None:
    while _abandoned:
        _abandoned.pop().forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
