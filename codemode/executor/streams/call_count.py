"""The number of calls that the code of a run has made, and its limits."""

from __future__ import annotations

from codemode.wire.constants import LOOKUPS, MOST_LOOKUPS

__all__ = ["CallCount"]


class CallCount:
    """A count of tool calls, and of questions about tools, which are no tool calls."""

    def __init__(self, before: int, most: int) -> None:
        self.tool_calls = before
        self._most = most
        self._lookups = 0

    def add(self, name: str) -> tuple[str, str] | None:
        """Count a call; return the type and message of the limit that it exceeds, or None."""
        if name in LOOKUPS:
            self._lookups += 1
            if self._lookups > MOST_LOOKUPS:
                return "SearchLimit", f"the code searched for tools more than {MOST_LOOKUPS} times"
            return None
        self.tool_calls += 1
        return None if self.tool_calls <= self._most else self.too_many("calls")

    def too_many(self, which: str) -> tuple[str, str]:
        """Return the type and message of the limit of tool calls."""
        return "ToolCallLimit", f"the code made more than max_tool_calls={self._most} {which}"
