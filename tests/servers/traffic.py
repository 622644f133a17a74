"""Requests of many tenants over keep-alive connections, with every answer checked."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.servers.server import RunningServer

__all__ = [
    "ASYNC_CODE",
    "SYNC_CODE",
    "TENANTS",
    "Tally",
    "Visitor",
    "Volume",
    "executor_of",
    "judge",
    "visit",
]

TENANTS = ("acme", "globex", "initech", "umbrella", "wayne")

# The code reports what it finds of others before it leaves something for them. Then it reports whom
# it works for.
CODE = """
import builtins, gc, json, os
found = [getattr(builtins, "left", None), getattr(json, "left", None), os.environ.get("LEFT")]
found += [open("left").read() if os.path.exists("left") else None]
if inputs_search:
    dicts = [one for one in gc.get_objects() if isinstance(one, dict)]
    found += [
        value for one in dicts for value in list(one.values())
        if isinstance(value, str) and value.startswith("secret of ") and value != secret
    ]
builtins.left = json.left = os.environ["LEFT"] = secret
with open("left", "w") as file:
    file.write(secret)
try:
    CALL(tenant_id="acme")
    found.append("a tool took a tenant from the code")
except ToolError:
    pass
result = {"seen": CALL() + CALL(), "found": [one for one in found if one is not None]}
"""
SYNC_CODE = CODE.replace("CALL", "whoami")
ASYNC_CODE = CODE.replace("CALL", "await awhoami")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The amount of traffic: connections at once, and requests of each kind."""

    visitors: int
    probes: int
    streams: int
    runs: int
    background: int
    messages: int
    rounds: int


@dataclass(slots=True)
class Tally:
    """A count of requests, and of everything that was wrong with them. Safe from many threads."""

    requests: int = 0
    executions: int = 0
    leaks: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, *, executions: int = 0) -> None:
        with self._lock:
            self.requests += 1
            self.executions += executions

    def compare(self, what: str, seen: Iterable[object], expected: object) -> None:
        """Record everything that was seen and differs from the expected."""
        wrong = [one for one in seen if one != expected]
        if wrong:
            with self._lock:
                self.leaks.append(f"{what}: saw {wrong} instead of {expected!r}")

    def fail(self, what: str) -> None:
        with self._lock:
            self.errors.append(what)

    def check(self) -> None:
        """Raise AssertionError when anything was wrong."""
        assert not self.leaks, f"{len(self.leaks)} leaks: {self.leaks[:5]}"
        assert not self.errors, f"{len(self.errors)} errors: {self.errors[:5]}"


_numbers = itertools.count()


class Visitor:
    """A client on one keep-alive connection, for a different tenant each time."""

    def __init__(self, running: RunningServer, tally: Tally) -> None:
        self._tally = tally
        self._connection = running.connect()
        self.mine = ""

    def ask(
        self,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        tenant: bool = True,
        status: int = 200,
    ) -> str | None:
        """Send one request in the name of a tenant; return the answer's body if all is well.

        ``mine`` is what code of this request must see.
        """
        number = next(_numbers)
        name = TENANTS[number % len(TENANTS)]
        self.mine = f"{name if tenant else None} r{number}"
        headers = {"X-Request-ID": f"r{number}"}
        if tenant:
            headers["X-Tenant"] = name
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = {
                **body,
                "inputs": {"secret": f"secret of {self.mine}", "inputs_search": not number % 4},
            }
        data = None if body is None else json.dumps(body)
        executes = body is not None or "execute" in path or "background" in path
        self._tally.count(executions=int(executes))
        try:
            self._connection.request("POST" if data else "GET", path, data, headers)
            response = self._connection.getresponse()
            text = response.read().decode()
        except OSError as error:
            self._tally.fail(f"{path}: {error!r}")
            self._connection.close()
            return None
        if response.status != status:
            self._tally.fail(f"{path}: status {response.status}: {text[:300]}")
            return None
        return text

    def see(self, path: str, *, tenant: bool = True) -> None:
        """Request what the view sees, and compare."""
        text = self.ask(path, tenant=tenant)
        if text is not None:
            answer = json.loads(text)
            self._tally.compare(f"{path} before", [answer["before"]], None)
            self._tally.compare(path, answer.get("seen", ()), self.mine)

    def read(self, path: str) -> None:
        """Read a streaming body whose every line reports what was seen."""
        text = self.ask(path)
        for line in (text or "").splitlines():
            self._tally.compare(path, json.loads(line), self.mine)
        if text is not None and text.count("\n") != 3:
            self._tally.fail(f"{path}: a body of {text.count(chr(10))} lines")

    def run(self, path: str, code: str) -> None:
        """Execute code, and compare what its tools saw."""
        text = self.ask(path, {"code": code})
        if text is not None:
            judge(self._tally, path, json.loads(text), self.mine)

    def close(self) -> None:
        self._connection.close()


def judge(tally: Tally, what: str, result: dict[str, Any], mine: str) -> None:
    """Compare the outcome of the code with what its request must see."""
    if result.get("status") != "completed":
        tally.fail(f"{what}: {result.get('refused') or result.get('error') or result}")
        return
    tally.compare(f"{what}, tools", result["value"]["seen"], mine)
    tally.compare(f"{what}, left by others", result["value"]["found"], None)


def visit(
    running: RunningServer, tally: Tally, volume: Volume, jobs: Iterable[Callable[[Visitor], None]]
) -> None:
    """Let many visitors work through the jobs, interleaved."""
    queue = iter(list(jobs))
    lock = threading.Lock()

    def work() -> None:
        visitor = Visitor(running, tally)
        try:
            while True:
                with lock:
                    job = next(queue, None)
                if job is None:
                    return
                job(visitor)
        finally:
            visitor.close()

    with ThreadPoolExecutor(volume.visitors) as pool:
        for future in [pool.submit(work) for _ in range(volume.visitors)]:
            future.result()


def executor_of(running: RunningServer) -> int | None:
    """Return the embedded executor of one of the server's processes, started by that process."""
    visitor = Visitor(running, Tally())
    try:
        process = json.loads(visitor.ask("/process/") or "{}")
    finally:
        visitor.close()
    executor: int | None = process["executor"]
    if executor is not None:
        parent = psutil.Process(executor).ppid()
        assert parent == process["pid"], f"the executor of another process: {parent}"
    return executor
