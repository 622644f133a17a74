"""What the lines of a recorded run wait for, and whether anything can still come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Waiting"]

# Captured at import: a recorded run replaces the clocks in their module.
_process_time_ns = time.process_time_ns

# Threads may wait for each other by locks, which nobody sees. A replay is given up when nothing
# has come and the process has computed nothing for so long.
_STALL_SECONDS = 5.0
_TICK_SECONDS = 0.1
_IDLE_NANOSECONDS = 2_000_000  # of CPU time in a tick


class Waiting:
    """The lines of a run that are alive, and those of them that wait. Any thread may call."""

    def __init__(self) -> None:
        self._change = threading.Condition(threading.Lock())
        self._progress = 0
        self._alive = 1
        self._waiters: list[Callable[[], bool]] = []
        self._expected = 0
        self._works = 0
        self._over = False

    @property
    def has_other_lines(self) -> bool:
        """Whether there are lines beside that of the caller."""
        return self._alive > 1

    def begin_line(self) -> None:
        """Note that there is one line more."""
        with self._change:
            self._alive += 1

    def end_line(self) -> None:
        """Note that a line is at its end."""
        with self._change:
            self._alive -= 1
            self._note()

    def expect(self) -> None:
        """Note that something is to come from outside, such as the answer of a call."""
        with self._change:
            self._expected += 1

    def end_expecting(self) -> None:
        """Note that something expected has come, or will not come any more."""
        with self._change:
            self._expected -= 1
            self._note()

    def begin_work(self) -> None:
        """Note that a loop waits for work of a thread, which may itself wait for others."""
        with self._change:
            self._works += 1

    def end_work(self) -> None:
        """Note that the work that a loop waits for has come to its end."""
        with self._change:
            self._works -= 1
            self._note()

    def note(self) -> None:
        """Note that something has come."""
        with self._change:
            self._note()

    def end(self) -> bool:
        """End all waiting, for ever; return False where another thread has done so."""
        with self._change:
            first, self._over = not self._over, True
            return first

    def until(self, ready: Callable[[], bool]) -> bool:
        """Wait in this thread until ``ready()``; return False when nothing can lead to that."""
        with self._change:
            self._waiters.append(ready)
            try:
                return self._until(ready)
            finally:
                self._waiters.remove(ready)

    def _note(self) -> None:
        self._progress += 1
        self._change.notify_all()

    def _until(self, ready: Callable[[], bool]) -> bool:
        idle = 0.0
        seen, cpu = self._progress, _process_time_ns()
        while not ready():
            if self._over:
                self._change.wait()  # for the end of the process, which another thread brings about
            if len(self._waiters) >= self._alive and not (self._expected or self._works):
                # One of them may be about to wake.
                if not any(waiter() for waiter in self._waiters):
                    return False
                self._change.notify_all()
            self._change.wait(_TICK_SECONDS)
            now = _process_time_ns()
            if self._progress != seen or self._expected or now - cpu > _IDLE_NANOSECONDS:
                idle = 0.0
            else:
                idle += _TICK_SECONDS
                if idle > _STALL_SECONDS:
                    return ready()
            seen, cpu = self._progress, now
        return True
