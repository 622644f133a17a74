"""The tool calls of a run that are not awaited, or not answered, and hints about them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count

__all__ = ["UnfinishedCalls"]

_get_frame = sys._getframe

# Executed code decides how many calls it makes and leaves.
_MOST_KEPT = 10_000
_LINES_NAMED = 5
_FRAMES_SEARCHED = 8


class UnfinishedCalls:
    """The calls that the code made and that have not begun, or not ended.

    The coroutine of a call need not exist any more: what counts is that it was
    made and never took its first step. Each change is one operation on a dict,
    so any thread may call.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self.begin_run("")

    def begin_run(self, filename: str) -> None:
        """Forget the calls of the former run; ``filename`` is that of the code."""
        self._filename = filename
        self._not_begun: dict[int, tuple[str, int]] = {}
        self._not_ended: dict[int, str] = {}

    def make(self, tool: str) -> int:
        """Note that the code has made the coroutine of a call; return the call's number."""
        number = next(self._numbers)
        if len(self._not_begun) < _MOST_KEPT:
            self._not_begun[number] = (tool, self._line())
        return number

    def begin(self, tool: str, number: int = 0) -> int:
        """Note that a call begins; return its number."""
        if number:
            self._not_begun.pop(number, None)
        else:
            number = next(self._numbers)
        self._not_ended[number] = tool
        return number

    def end(self, number: int) -> None:
        """Note that a call has its answer, or was given up."""
        self._not_ended.pop(number, None)

    def never_awaited(self) -> dict[str, list[int]]:
        """Return the tools with calls that never began, and the line of each such call."""
        lines: dict[str, list[int]] = {}
        for tool, line in list(self._not_begun.values()):
            lines.setdefault(tool, []).append(line)
        return lines

    def hints(self, failure: str | None = None) -> Iterator[str]:
        """Yield hints about the calls at the end of the code, which failed with this message."""
        for tool, lines in self.never_awaited().items():
            if failure is None or not (tool in failure and "await" in failure):
                yield _never_awaited(tool, lines)
        if failure is None:
            for tool in dict.fromkeys(list(self._not_ended.values())):
                yield (
                    f"{tool}(...) was still running when the code ended, and was cancelled; "
                    "wait for its result before the end"
                )

    def _line(self) -> int:
        """Return the line of the code that makes the call, or 0."""
        frame = _get_frame(2)
        for _ in range(_FRAMES_SEARCHED):
            if frame.f_code.co_filename == self._filename:
                return frame.f_lineno or 0
            if frame.f_back is None:
                break
            frame = frame.f_back
        return 0


def _never_awaited(tool: str, lines: list[int]) -> str:
    numbers = list(dict.fromkeys(line for line in lines if line))
    named = ", ".join(map(str, numbers[:_LINES_NAMED])) + ", ..." * (len(numbers) > _LINES_NAMED)
    where = f" on line{'s' * (len(numbers) > 1)} {named}" if numbers else ""
    times, it_has = ("", "it has") if len(lines) == 1 else (f" {len(lines)} times", "they have")
    return (
        f"{tool}(...){where} was called{times} but never awaited, so {it_has} not run; "
        f"write await {tool}(...)"
    )
