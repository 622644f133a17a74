"""The servers of the matrix, and how each is started, watched and ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import psutil

from tests.support.paths import ROOT
from tests.support.processes import descendants, free_port, is_running, wait_until

__all__ = ["SERVERS", "RunningServer", "Server"]

_START_SECONDS = 90.0
_STOP_SECONDS = 60.0
# Lines that must not be in a server's log. Django's warning about iterators of the other kind is
# allowed: Django consumes them in its own way, and some cells test that.
_BAD_LINE = re.compile(
    r"Traceback|ResourceWarning: unclosed|RuntimeWarning|never awaited|was destroyed but|Exception ignored|"
    r"\bERROR\b|CRITICAL|Address already in use|forcefully|SIGKILL"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server: its command and its abilities.

    ``command`` takes a port and a folder for files of its own. ``greenlets`` means that nothing
    asynchronous runs there.
    """

    name: str
    command: Callable[[int, Path], list[str]]
    asgi: bool = False
    greenlets: bool = False
    reloads: bool = False
    preloads: bool = False
    workers: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)

    def serving(self, app: str) -> Server:
        """Return the same server with another ASGI application."""

        def command(port: int, folder: Path) -> list[str]:
            return [app if one == _ASGI_APP else one for one in self.command(port, folder)]

        return replace(self, command=command)


_ASGI_APP = "tests.servers.project.asgi:application"
_PRELOADED_APP = "tests.servers.project.wsgi_preload:application"


def _uvicorn(*options: str) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        address = ("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning")
        extra = ("--reload-dir", str(folder)) if "--reload" in options else ()
        return ["uvicorn", _ASGI_APP, *address, *options, *extra]

    return command


def _gunicorn(
    *options: str, app: str = "tests.servers.project.wsgi:application"
) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        return [
            *("gunicorn", app, "--bind", f"127.0.0.1:{port}", "--log-level", "warning"),
            *("--no-control-socket", "--worker-tmp-dir", str(folder), *options),
        ]

    return command


def _daphne(port: int, folder: Path) -> list[str]:
    return ["daphne", "--verbosity", "0", "-b", "127.0.0.1", "-p", str(port), _ASGI_APP]


def _hypercorn(port: int, folder: Path) -> list[str]:
    return ["hypercorn", "--bind", f"127.0.0.1:{port}", "--log-level", "warning", _ASGI_APP]


def _runserver(*options: str) -> Callable[[int, Path], list[str]]:
    return lambda port, folder: ["django", "runserver", f"127.0.0.1:{port}", *options]


SERVERS = (
    Server(name="uvicorn", command=_uvicorn(), asgi=True),
    Server(name="uvicorn, 2 workers", command=_uvicorn("--workers", "2"), asgi=True, workers=2),
    Server(name="uvicorn --reload", command=_uvicorn("--reload"), asgi=True, reloads=True),
    Server(name="daphne", command=_daphne, asgi=True),
    Server(name="hypercorn", command=_hypercorn, asgi=True),
    Server(name="gunicorn sync", command=_gunicorn("--workers", "2"), workers=2),
    Server(name="gunicorn gthread", command=_gunicorn("--threads", "4")),
    Server(name="gunicorn gevent", command=_gunicorn("-k", "gevent"), greenlets=True),
    Server(
        name="gunicorn uvicorn-worker",
        command=_gunicorn("-k", "uvicorn_worker.UvicornWorker", app=_ASGI_APP),
        asgi=True,
    ),
    Server(name="gunicorn asgi", command=_gunicorn("-k", "asgi", app=_ASGI_APP), asgi=True),
    Server(
        name="gunicorn --preload",
        command=_gunicorn("--preload", "--workers", "2", "--threads", "2", app=_PRELOADED_APP),
        workers=2,
        preloads=True,
    ),
    Server(
        name="runserver",
        command=_runserver(),
        reloads=True,
        environment={"SERVERS_DEBUG": "1"},
    ),
    Server(name="runserver --noreload", command=_runserver("--noreload")),
)


class RunningServer:
    """One server process on loopback, with all that it has started.

    Without ``executor_url`` each of its processes starts an executor of its own. ``environment`` is
    for these processes. ``patience`` is the number of seconds after which a request counts as
    hanging.
    """

    def __init__(
        self,
        server: Server,
        *,
        executor_url: str | None = None,
        key: str = "",
        environment: Mapping[str, str] = MappingProxyType({}),
        patience: float = 60.0,
    ) -> None:
        self.server = server
        self._environment = environment
        self._patience = patience
        self.folder = Path(tempfile.mkdtemp(prefix="cm-server-"))
        self.touched = self.folder / "servers_touched.py"
        self.log_path = self.folder / "log"
        self.port = 0
        self._notes = self.folder / "notes"
        self._executor = {"CODEMODE_EXECUTOR_URL": executor_url} if executor_url else {}
        if key:
            self._executor["CODEMODE_EXECUTOR_API_KEY"] = key
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def start(self) -> Self:
        self.touched.write_text("from __future__ import annotations\n")
        self.port = free_port()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CODEMODE_")}
        path = os.pathsep.join(map(str, (ROOT, self.folder)))
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self.server.command(self.port, self.folder)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **inherited,
                    "PYTHONPATH": path,
                    "PYTHONWARNINGS": "default",
                    "DJANGO_SETTINGS_MODULE": "tests.servers.project.settings",
                    "SERVERS_NOTES": str(self._notes),
                    "TMPDIR": str(self.folder),
                    "CODEMODE_EXECUTOR_MIN_TIER": "unsafe",
                    **self._executor,
                    **self.server.environment,
                    **self._environment,
                },
            )
        if not wait_until(self.answers, _START_SECONDS):
            self._log_stacks()
            processes = "\n".join(map(str, psutil.Process(self.pid).children(recursive=True)))
            raise AssertionError(f"no answer from {self.server.name}:\n{processes}\n{self.log}")
        return self

    def _log_stacks(self) -> None:
        """Have each process with the project's settings log the stacks of its threads."""
        asked = 0
        for pid in (self.pid, *descendants(self.pid)):
            with contextlib.suppress(ProcessLookupError):
                if _catches(pid, signal.SIGRTMIN):
                    os.kill(pid, signal.SIGRTMIN)
                    asked += 1
        wait_until(lambda: self.log.count("most recent call first") >= asked, 5.0)
        time.sleep(0.5)  # for the processes' other threads

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=self._patience)

    def notes(self, kind: str) -> list[dict[str, Any]]:
        """Return what the project reported outside of responses."""
        if not self._notes.exists():
            return []
        lines = map(json.loads, self._notes.read_text().splitlines())
        return [line for line in lines if line["kind"] == kind]

    def complaints(self) -> list[str]:
        """Return the lines of the log that should not be there."""
        # Masters of several workers leave closing the listening socket to the system.
        listening = f"laddr=('127.0.0.1', {self.port})>"
        return [
            line
            for line in self.log.splitlines()
            if _BAD_LINE.search(line) and not line.endswith(listening)
        ]

    def terminate(self) -> float:
        """Send SIGTERM; return the seconds until the server and all processes below it are gone."""
        assert self._process is not None
        below = descendants(self.pid)
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.server.name} ignores SIGTERM:\n{self.log}") from None
        gone = wait_until(lambda: not any(map(is_running, below)), _STOP_SECONDS)
        assert gone, f"{self.server.name} has left processes behind: {below}"
        return time.monotonic() - started

    def close(self) -> None:
        """Kill the processes that are left, and remove the folder."""
        if self._process is not None and self._process.poll() is None:
            # Without a message: terminate() has reported anything wrong with the server's end.
            for pid in (self.pid, *descendants(self.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.server.name} did not start:\n{self.log}"
        connection = self.connect()
        try:
            connection.request("GET", "/probe/")
            return connection.getresponse().status == 200
        except OSError:
            time.sleep(0.05)
            return False
        finally:
            connection.close()


def _catches(pid: int, signal_number: int) -> bool:
    """Return whether a process has a handler of its own for a signal."""
    with contextlib.suppress(FileNotFoundError):
        status = Path(f"/proc/{pid}/status").read_text()
        caught = re.search(r"^SigCgt:\s*(\w+)", status, re.MULTILINE)
        return caught is not None and bool(int(caught[1], 16) >> (signal_number - 1) & 1)
    return False
