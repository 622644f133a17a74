"""The pace of taking children's frames, so that the event loop has time for all of them.

A frame costs the executor more than its sender, whether it is small or large.
Each child may send a number of frames and a number of bytes in a short time,
both more than honest code sends. A child that sends more is not read until a
pause is over. The more children pause at the same time, the longer each pause
is.
"""

from __future__ import annotations

import time
from typing import ClassVar

__all__ = ["Allowance"]

_FRAMES = 256
_BYTES = 512 * 1024
_BURST_BYTES = 2 * 1024 * 1024  # after a period of sending less
_PAUSE_SECONDS = 0.006
_RENEWAL_SECONDS = 0.05


class Allowance:
    """The frames and bytes that one child may still send before it must pause."""

    _pausing: ClassVar[int] = 0  # in this process: one event loop serves all children

    def __init__(self) -> None:
        self._frames: float = _FRAMES
        self._bytes: float = _BURST_BYTES
        self._renewed = time.monotonic()
        self._pauses = False

    @property
    def is_used(self) -> bool:
        """Whether the allowance is used up."""
        return self._frames <= 0 or self._bytes <= 0

    def begin(self) -> None:
        """Renew the allowance for the time passed, before frames that came together."""
        now = time.monotonic()
        # Renewed slowly: many children at once may each stop just short of a pause, and only the
        # rate of renewal slows these.
        share = (now - self._renewed) / _RENEWAL_SECONDS
        self._frames = min(_FRAMES, self._frames + share * _FRAMES)
        self._bytes = min(_BURST_BYTES, self._bytes + share * _BYTES)
        self._renewed = now

    def use_frames(self, count: int) -> None:
        """Subtract frames."""
        self._frames -= count

    def use_bytes(self, count: int) -> None:
        """Subtract bytes."""
        self._bytes -= count

    def pause(self) -> float:
        """Begin a pause; return its duration in seconds."""
        if not self._pauses:
            self._pauses = True
            Allowance._pausing += 1
        return _PAUSE_SECONDS * Allowance._pausing

    def go_on(self) -> None:
        """End the pause, with a new allowance."""
        if self._pauses:
            self._pauses = False
            Allowance._pausing -= 1
            self._frames = _FRAMES
            self._bytes = _BYTES
            self._renewed = time.monotonic()
