"""The number and the bytes of the pieces in which a recorded run sends its steps."""

from __future__ import annotations

from codemode.config import Limits

__all__ = ["StepCount"]

_MOST_PIECES = 100_000  # besides those of calls; honest code sends one before each output


class StepCount:
    """A count of steps. They are limited as a value is, because the client keeps each piece."""

    def __init__(self, limits: Limits) -> None:
        self._most_bytes = limits.max_value_bytes
        self._most_pieces = _MOST_PIECES + limits.max_tool_calls
        self._pieces = 0
        self._bytes = 0

    def add(self, piece: bytes) -> tuple[str, str] | None:
        """Count a piece; return the type and message of the limit that it exceeds, or None."""
        self._pieces += 1
        self._bytes += len(piece)
        excess = ""
        if self._bytes > self._most_bytes:
            excess = f"has steps of more than max_value_bytes={self._most_bytes}"
        elif self._pieces > self._most_pieces:
            excess = f"sent its steps in more than {self._most_pieces} pieces"
        if not excess:
            return None
        return "RecordLimit", f"the recorded run {excess}: let one run do less"
