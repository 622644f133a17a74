"""The moment of a sandbox's death as the kernel reports it, and the states in which it may die."""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from codemode import Codemode
from tests.support.processes import descendants, wait_until
from tests.support.watchdog import PATIENCE

__all__ = [
    "PROLOGUE",
    "PROMISED_SECONDS",
    "STATES",
    "Sandbox",
    "arrive",
    "best_of",
    "seconds_until_death",
]

PROMISED_SECONDS = 0.2
_STILL_SECONDS = 0.1

# What the code does when it is ended. Without an end it would run longer than any test. Each code
# first reports its process.
STATES = {
    "loop": "while True: pass",
    "sleep": "import time\ntime.sleep(600)",
    "sync tool": "hold()",
    "async tool": "await endless()",
    "output": "while True: print('x' * 10_000)",
}
PROLOGUE = "import os\nhere(os.getpid())\n"
_TICKER = """
import threading, time
def tick():
    while True:
        print("tick", flush=True)
        time.sleep(0.05)
threading.Thread(target=tick, daemon=True).start()
"""


class Sandbox:
    """Tools by which code reports its process and is held, and a watch on that process.

    A thread waits for the death, so the caller's thread and its loop need not be on time.
    """

    def __init__(self, codemode: Codemode, executor_pid: int) -> None:
        self.arrived = threading.Event()
        self.in_tool = threading.Event()
        self.ended = threading.Event()
        self.let_go = threading.Event()
        self.died_at = 0.0
        self.unwound: list[str] = []
        self.pid = 0
        self._executor_pid = executor_pid
        for tool in (self.here, self.hold, self.endless):
            codemode.registry.register_tool(tool.__name__, tool, overwrite=True)

    def code(self, state: str, *, ticking: bool = False) -> str:
        """Return code that reaches one of the states; with ``ticking`` it prints meanwhile."""
        return PROLOGUE + (_TICKER if ticking else "") + STATES[state]

    def here(self, pid: int) -> None:
        self.pid = pid
        fds = [os.pidfd_open(one) for one in self._suspects(pid)]
        threading.Thread(target=self._watch, args=(fds,), daemon=True).start()
        self.arrived.set()

    def hold(self) -> str:
        """Hold a sync tool that cannot be stopped and ends only after its sandbox."""
        self.in_tool.set()
        self.ended.wait(PATIENCE)
        self.let_go.set()
        return "too late"

    async def endless(self) -> None:
        """Wait without end in an async tool, which unwinds for a moment when it is cancelled."""
        self.in_tool.set()
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0.02)
            self.unwound.append("finally")

    def is_in(self, state: str) -> bool:
        """Return whether the code has reached its state."""
        return self._entry(state).is_set()

    def wait_in(self, state: str) -> None:
        """Wait until the code has reached its state, with time for the state to settle."""
        assert self._entry(state).wait(PATIENCE)
        arrive(self.pid, state)

    def _entry(self, state: str) -> threading.Event:
        return self.in_tool if "tool" in state else self.arrived

    def seconds_after(self, cause: float) -> float:
        """Return how long after an instant of ``time.monotonic()`` the sandbox died."""
        assert self.ended.wait(PATIENCE), "the sandbox lives on"
        return self.died_at - cause

    def _suspects(self, pid: int) -> list[int]:
        # In a PID namespace the code's own process id is 1. The sandbox is the first of the
        # executor's present children to die: the others are idle and warm.
        return [pid] if pid > 1 else descendants(self._executor_pid)

    def _watch(self, fds: list[int]) -> None:
        _wait_for_death(fds)
        self.died_at = time.monotonic()
        for fd in fds:
            os.close(fd)
        self.ended.set()


def arrive(pid: int, state: str) -> None:
    """Give the code in process ``pid`` time to reach its state."""
    if state == "output" and pid > 1:
        assert wait_until(lambda: _stands_still(pid), PATIENCE)
    else:
        time.sleep(0.1)


def seconds_until_death(pid: int, cause: Callable[[], Any]) -> float:
    """Cause the end of a process; return how many seconds later it was dead."""
    fd = os.pidfd_open(pid)
    try:
        began = time.monotonic()
        cause()
        _wait_for_death([fd])
        return time.monotonic() - began
    finally:
        os.close(fd)


def best_of(attempts: int, measure: Callable[[], float]) -> float:
    """Return the first time that keeps the promise, else the shortest: the machine may be busy."""
    best = float("inf")
    for _ in range(attempts):
        best = min(best, measure())
        if best < PROMISED_SECONDS:
            break
    return best


def _wait_for_death(fds: list[int]) -> None:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    assert poll.poll(PATIENCE * 1000), "the sandbox lives on"


def _stands_still(pid: int) -> bool:
    """Return whether a process uses no CPU because it waits in the kernel, e.g. for a reader."""
    before = sum(psutil.Process(pid).cpu_times()[:2])
    time.sleep(_STILL_SECONDS)
    process = psutil.Process(pid)
    return process.status() == psutil.STATUS_SLEEPING and sum(process.cpu_times()[:2]) == before
