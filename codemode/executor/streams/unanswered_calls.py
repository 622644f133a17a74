"""The calls of one run that wait for their answers."""

from __future__ import annotations

import asyncio

from codemode.config import Limits

__all__ = ["UnansweredCalls", "most_bytes_in_flight"]

# How much they may carry together, in values of the largest size: the client keeps the
# arguments of each call while its tool runs.
_LARGEST_IN_FLIGHT = 4


def most_bytes_in_flight(limits: Limits) -> int:
    """Return how many bytes of arguments all waiting calls may have together."""
    return _LARGEST_IN_FLIGHT * limits.max_value_bytes


class UnansweredCalls:
    """The waiting calls of one run, limited in number and in bytes."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.max_tool_calls_in_flight
        self._most_bytes = most_bytes_in_flight(limits)
        self._sizes: dict[int, int] = {}  # bytes of arguments by call
        self._bytes = 0
        self._changed = asyncio.Event()

    def __contains__(self, call: int) -> bool:
        return call in self._sizes

    def __bool__(self) -> bool:
        return bool(self._sizes)

    def add(self, call: int, size: int) -> None:
        """Add a call with ``size`` bytes of arguments."""
        self._sizes[call] = size
        self._bytes += size

    def remove(self, call: int) -> None:
        """Remove a call that is answered."""
        self._bytes -= self._sizes.pop(call)
        self.wake()

    def has_room(self, size: int) -> bool:
        """Return whether another call fits; when none waits, a call of any size does."""
        return not self._sizes or (
            len(self._sizes) < self._most and self._bytes + size <= self._most_bytes
        )

    def wake(self) -> None:
        """Make the waiters of ``change()`` look again."""
        self._changed.set()

    async def change(self) -> None:
        """Wait until a call is answered or ``wake()`` is called."""
        self._changed.clear()
        await self._changed.wait()
