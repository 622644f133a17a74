"""The calls of one run that wait for their answers."""

from __future__ import annotations

import asyncio

from codemode.config import Limits

__all__ = ["UnansweredCalls", "most_bytes_in_flight"]

# What they may carry together, in values of the largest size: the client holds the arguments
# of each for as long as its tool runs.
_LARGEST_IN_FLIGHT = 4


def most_bytes_in_flight(limits: Limits) -> int:
    """Return how many bytes of arguments all calls together may have that wait."""
    return _LARGEST_IN_FLIGHT * limits.max_value_bytes


class UnansweredCalls:
    """The calls that wait, and whether there is room for another one."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.max_tool_calls_in_flight
        self._most_bytes = most_bytes_in_flight(limits)
        self._sizes: dict[int, int] = {}  # bytes of arguments by call
        self._bytes = 0
        self._changed = asyncio.Event()

    def __contains__(self, call: int) -> bool:
        return call in self._sizes

    def add(self, call: int, size: int) -> None:
        """Note a call with so many bytes of arguments."""
        self._sizes[call] = size
        self._bytes += size

    def remove(self, call: int) -> None:
        """Note that a call is answered."""
        self._bytes -= self._sizes.pop(call)
        self.wake()

    def has_room(self, size: int) -> bool:
        """Tell whether one more may come; where none waits, one of any size may."""
        return not self._sizes or (
            len(self._sizes) < self._most and self._bytes + size <= self._most_bytes
        )

    def wake(self) -> None:
        """Let whoever waits look again."""
        self._changed.set()

    async def change(self) -> None:
        """Wait until a call is answered, or until somebody else wakes us."""
        self._changed.clear()
        await self._changed.wait()
