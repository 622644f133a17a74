"""How fast the frames of children are taken, so that the loop which serves all has time for all.

A frame of a few bytes costs the executor more than its sender. Each child may
send so many in a short while, which is more than honest code does; one that
sends more is not read until a pause is over. The more children pause at a
time, the longer each of them does.
"""

from __future__ import annotations

import time
from typing import ClassVar

__all__ = ["Allowance"]

_FRAMES = 256
_PAUSE_SECONDS = 0.006


class Allowance:
    """Count what one child may still send before it has to pause."""

    _pausing: ClassVar[int] = 0  # of this process: one loop serves them all

    def __init__(self) -> None:
        self._pauses = False
        self._renew(time.monotonic())

    def begin(self) -> None:
        """Renew the allowance when that was some time ago; before frames that came together."""
        now = time.monotonic()
        if now - self._renewed >= _PAUSE_SECONDS:
            self._renew(now)

    def take(self, cost: int) -> bool:
        """Use the allowance; False when there is none left."""
        if self._left <= 0:
            return False
        self._left -= cost
        return True

    def pause(self) -> float:
        """Begin a pause; return its seconds."""
        if not self._pauses:
            self._pauses = True
            Allowance._pausing += 1
        return _PAUSE_SECONDS * Allowance._pausing

    def go_on(self) -> None:
        """End the pause."""
        if self._pauses:
            self._pauses = False
            Allowance._pausing -= 1
            self._renew(time.monotonic())

    def _renew(self, now: float) -> None:
        self._left = _FRAMES
        self._renewed = now
