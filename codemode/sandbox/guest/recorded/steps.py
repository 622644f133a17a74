"""The steps of a recorded run: what its lines took in, in which order and when.

A step is a line of ASCII, ``LINE|KIND ARGUMENT+MICROSECONDS*ROUNDS^WALL``: whose
step it is (nothing for the main line), what it was, how far it moved the line's
clock, after how many rounds a loop that never rested took it, and how far it
moved the wall clock besides. The last two are left out where they are 0.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

__all__ = ["MAIN", "Step", "StepsOut", "read_steps", "write_step"]

MAIN = "0"
"""The label of the main line."""

_STEP = re.compile(r"([\w.]*)\|([a-z])([^+]*)\+(\d{1,18})(?:\*(\d{1,18}))?(?:\^(-?\d{1,18}))?")


class Step(NamedTuple):
    """One step. Kinds:

    ``b``: the line began.
    ``e``: a loop took an event from outside, with this name.
    ``t``: a loop's timers of these numbers fired.
    ``c``: a call returned to the thread that waited for it.
    ``z``: a sleep of the thread ended.
    ``k``: the clock moved, at the look of this number since the step before.
    ``f``: of several pieces of work, these had ended; ``-`` for no more of them.
    ``w``: the line began to print where as many characters had been printed.
    ``a``: the line gave a file when as many had been given.
    """

    kind: str
    argument: str
    microseconds: int
    rounds: int = 0
    wall: int = 0


def write_step(line: str, step: Step) -> str:
    """Return a step as text, with a newline."""
    rounds = f"*{step.rounds}" if step.rounds else ""
    wall = f"^{step.wall}" if step.wall else ""
    whose = "" if line == MAIN else line
    return f"{whose}|{step.kind}{step.argument}+{step.microseconds}{rounds}{wall}\n"


def read_steps(text: str) -> tuple[dict[str, deque[Step]], list[tuple[str, Step]]]:
    """Return the steps of each line, and those of any line that put something out.

    Raises ValueError.
    """
    steps: dict[str, deque[Step]] = {}
    put_out: list[tuple[str, Step]] = []
    for one in text.splitlines():
        found = _STEP.fullmatch(one)
        if found is None:
            raise ValueError(f"{one[:100]!r} is not a step of a recorded run")
        line, kind, argument, moved, rounds, wall = found.groups()
        step = Step(kind, argument, int(moved), int(rounds or 0), int(wall or 0))
        if kind in "wa":
            put_out.append((line or MAIN, step))
        else:
            steps.setdefault(line or MAIN, deque()).append(step)
    return steps, put_out


class StepsOut:
    """The steps that have not been sent yet. Any thread may add; one at a time takes."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self.add: Callable[[str], None] = self._waiting.append

    def take(self) -> Iterable[str]:
        """Remove and return what has been added."""
        waiting = self._waiting
        # Counted once: a list exchanged for another would lose what a thread adds meanwhile.
        return [waiting.popleft() for _ in range(len(waiting))]
