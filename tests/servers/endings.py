"""Ends of a run with its request and with its server, timed by the kernel."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import select
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tests.servers.server import RunningServer, Server
from tests.servers.traffic import TENANTS
from tests.support.processes import descendants, is_running, wait_until

__all__ = ["Ending", "end_with_the_client", "end_with_the_server", "left_by_clients", "told_to_end"]

# How long servers wait for their requests at shutdown. RUN_SECONDS bounds the requests, because
# some servers wait for them to end: those have no such setting.
IMPATIENT = {
    "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN": "1",
    "GUNICORN_CMD_ARGS": "--graceful-timeout 1",
}
RUN_SECONDS = 4.0
_GIVE_UP_SECONDS = 30.0
# The code prints because a WSGI server notices a departed client only when it writes.
_CODE = """
import os, time
here(os.getpid())
while True:
    print("x", flush=True)
    time.sleep(0.02)
"""


def told_to_end(server: Server) -> dict[str, str]:
    """Return the views whose runs receive SIGTERM, by their paths."""
    views = {"/execute/": "sync view", "/events/": "stream"}
    return views | ({"/aexecute/": "async view"} if server.asgi else {})


def left_by_clients(server: Server) -> dict[str, str]:
    """Return the views that notice a departed client; a sync view does not."""
    return {path: view for path, view in told_to_end(server).items() if view != "sync view"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of one run whose server received SIGTERM.

    ``answered`` is true when the client got its whole answer. ``waited`` is the time from SIGTERM
    to the end of the process that served the run. ``late`` is how much longer the sandbox lived:
    negative when it died earlier, and infinite when it had died before SIGTERM, which proves
    nothing.
    """

    answered: bool
    waited: float
    late: float


class Death(threading.Thread):
    """A wait for the end of a process, which records the instant."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.at = 0.0
        self._fd = os.pidfd_open(pid)
        self.start()

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if poll.poll(_GIVE_UP_SECONDS * 1000):
            self.at = time.monotonic()
        os.close(self._fd)

    def instant(self) -> float:
        self.join(_GIVE_UP_SECONDS + 1)
        assert self.at, "it lives on"
        return self.at


@contextlib.contextmanager
def running(
    server: RunningServer, path: str
) -> Iterator[tuple[http.client.HTTPConnection, Death, Death]]:
    """Hold a run in a request; yield its connection, its sandbox and the process that serves it."""
    before = len(server.notes("run"))
    headers = {"X-Tenant": TENANTS[0], "X-Request-ID": "ending", "Content-Type": "application/json"}
    body = {"code": _CODE, "inputs": {}, "execution_timeout": RUN_SECONDS}
    with contextlib.closing(server.connect()) as connection:
        connection.request("POST", path, json.dumps(body), headers)
        told = wait_until(lambda: len(server.notes("run")) > before, _GIVE_UP_SECONDS)
        assert told, f"no run began:\n{server.log}"
        (note,) = server.notes("run")[before:]
        assert note["seen"] == [note["expected"]] == [f"{TENANTS[0]} ending"]
        assert note["sandbox"] > 1, "in a PID namespace the code cannot tell its process id"
        sandbox, process = Death(note["sandbox"]), Death(note["process"])
        time.sleep(0.1)
        yield connection, sandbox, process


def end_with_the_client(server: RunningServer, path: str) -> float:
    """Leave a request in the middle of its run; return the seconds until the sandbox is dead."""
    with running(server, path) as (connection, sandbox, _):
        left = time.monotonic()
        connection.close()
        return sandbox.instant() - left


def end_with_the_server(server: Server, executor_url: str) -> dict[str, Ending]:
    """Send SIGTERM in the middle of a run of each view; return how each run ended."""
    impatient = replace(server, environment={**server.environment, **IMPATIENT})
    views = list(told_to_end(server))
    # Daphne waits for a sync view. Runs beside it would therefore end by themselves.
    batches = [[view] for view in views] if server.name == "daphne" else [views]
    endings: dict[str, Ending] = {}
    for paths in batches:
        with RunningServer(impatient, executor_url=executor_url) as started:
            endings |= _terminated(started, paths)
    return endings


def _terminated(server: RunningServer, paths: Iterable[str]) -> dict[str, Ending]:
    family = [server.pid, *descendants(server.pid)]
    with contextlib.ExitStack() as stack:
        runs = {path: stack.enter_context(running(server, path)) for path in paths}
        asked = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        endings = {}
        for path, (connection, sandbox, process) in runs.items():
            try:
                answered = b'"timeout"' in connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                answered = False
            ended, died = process.instant(), sandbox.instant()
            late = died - ended if died > asked else math.inf
            endings[path] = Ending(answered=answered, waited=ended - asked, late=late)
        gone = wait_until(lambda: not any(map(is_running, family)), _GIVE_UP_SECONDS)
        assert gone, f"{server.server.name} has left processes behind"
        return endings
