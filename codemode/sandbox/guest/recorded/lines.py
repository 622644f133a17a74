"""Lines and paths: where in a recorded run something happens.

A *line* is what one thread does in order: the main program, a thread of the
code, or one piece of work for a pool of threads. Each line has a clock, draws
its own random bytes, and takes its own steps: within a line everything has one
order, and between lines nothing has.

A *path* is the lineage of a task or line: where it was made, not when. It names
the calls made on it, so that a call has the same label in each replay.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codemode.sandbox.guest.recorded.steps import Step

__all__ = ["Line", "Path", "current_line", "current_path", "enter_line"]

_MOST_CHARACTERS = 120

_get_running_loop = asyncio._get_running_loop
_current_task = asyncio.current_task
_blake2b = hashlib.blake2b


class Path:
    """The lineage of a task or of a line, with the numbers of what was made on it."""

    __slots__ = ("_calls", "_tasks", "_threads", "label", "line")

    def __init__(self, label: str, line: Line) -> None:
        if len(label) > _MOST_CHARACTERS:
            label = "h" + _blake2b(label.encode(), digest_size=16).hexdigest()
        self.label = label
        self.line = line
        self._calls = self._tasks = self._threads = 0

    def call(self) -> str:
        """Return the label of the next call."""
        self._calls += 1
        return f"{self.label}:{self._calls}"

    def task(self) -> Path:
        """Return the path of the next task."""
        self._tasks += 1
        return Path(f"{self.label}.{self._tasks}", self.line)

    def thread(self) -> str:
        """Return the label of the next thread, or piece of work for one."""
        self._threads += 1
        return f"{self.label}.T{self._threads}"


class Line:
    """What one thread does in order.

    Times are in microseconds: ``now`` since the start of the run, and ``wall`` is
    what the wall clock shows above it. ``looks`` counts the looks at the clock
    since the last step. ``upcoming`` has the recorded steps that this line has
    not taken again. A line is ``live`` once it has taken a step that the record
    does not have; until then its clock stands. ``tasks`` counts those
    without a name, and ``own`` has what the line counts and
    draws from, where the process would have one for all.
    """

    __slots__ = (
        "draws",
        "label",
        "live",
        "looks",
        "messages",
        "now",
        "numbers",
        "own",
        "root",
        "tasks",
        "upcoming",
        "wall",
    )

    def __init__(
        self, label: str, *, now: int, wall: int, live: bool, upcoming: deque[Step] | None
    ) -> None:
        self.label = label
        self.now = now
        self.wall = wall
        self.live = live
        self.upcoming = upcoming if upcoming is not None else deque()
        self.looks = 0
        self.draws = 0
        self.numbers = 0
        self.messages = 0
        self.tasks = 0
        self.own: dict[str, Any] = {}
        self.root = Path(label, self)
        self.label = self.root.label

    def number(self) -> int:
        """Return the number of the next task or future that is made on this line."""
        self.numbers += 1
        return self.numbers

    def message(self) -> str:
        """Return the name of the next callback that this line gives to another one's loop."""
        self.messages += 1
        return f"{self.label}-{self.messages}"


class _Local(threading.local):
    line: Line | None = None


_local = _Local()
_strays = iter(range(1, 1 << 62))


def enter_line(line: Line | None) -> Line | None:
    """Make ``line`` that of the current thread; return the former one."""
    former = _local.line
    _local.line = line
    return former


def current_line() -> Line:
    """Return the line of the current thread."""
    line = _local.line
    if line is None:
        # A thread that was not started by the functions of `threading` or `_thread`. It has a
        # label that no replay is sure to give it again.
        line = _local.line = Line(f"X{next(_strays)}", now=0, wall=0, live=True, upcoming=None)
    return line


def current_path() -> Path:
    """Return the path of the current task, or of the line where no task runs."""
    line = current_line()
    loop = _get_running_loop()
    if loop is not None:
        task = _current_task(loop)
        path: Path | None = getattr(task, "recorded_path", None)
        if path is not None and path.line is line:
            return path
    return line.root
