"""How fast the frames of children are taken, so that the loop which serves all has time for all.

A frame of a few bytes costs the executor more than its sender, and so does a
large one. Each child may send so many frames and so many bytes in a short
while, which is more than honest code does; one that sends more is not read
until a pause is over. The more children pause at a time, the longer each of
them does.
"""

from __future__ import annotations

import time
from typing import ClassVar

__all__ = ["Allowance"]

_FRAMES = 256
_BYTES = 512 * 1024
_BURST_BYTES = 2 * 1024 * 1024  # after a while of sending less
_PAUSE_SECONDS = 0.006
_RENEWAL_SECONDS = 0.05


class Allowance:
    """What one child may still send before it has to pause."""

    _pausing: ClassVar[int] = 0  # of this process: one loop serves them all

    def __init__(self) -> None:
        self._frames: float = _FRAMES
        self._bytes: float = _BURST_BYTES
        self._renewed = time.monotonic()
        self._pauses = False

    @property
    def is_used(self) -> bool:
        """Tell whether nothing is left."""
        return self._frames <= 0 or self._bytes <= 0

    def begin(self) -> None:
        """Renew the allowance by what time has passed; before frames that came together."""
        now = time.monotonic()
        # Slowly: who stops short of a pause each time, as many at once may, is not slowed by it.
        share = (now - self._renewed) / _RENEWAL_SECONDS
        self._frames = min(_FRAMES, self._frames + share * _FRAMES)
        self._bytes = min(_BURST_BYTES, self._bytes + share * _BYTES)
        self._renewed = now

    def use_frames(self, count: int) -> None:
        """Count frames."""
        self._frames -= count

    def use_bytes(self, count: int) -> None:
        """Count bytes."""
        self._bytes -= count

    def pause(self) -> float:
        """Begin a pause; return its seconds."""
        if not self._pauses:
            self._pauses = True
            Allowance._pausing += 1
        return _PAUSE_SECONDS * Allowance._pausing

    def go_on(self) -> None:
        """End the pause, with an allowance for what comes next."""
        if self._pauses:
            self._pauses = False
            Allowance._pausing -= 1
            self._frames = _FRAMES
            self._bytes = _BYTES
            self._renewed = time.monotonic()
