"""The calls of a run that are not awaited, or not answered, and hints about them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from types import CodeType, FrameType
from typing import Any
from weakref import ref

__all__ = ["UnfinishedCalls"]

_get_frame = sys._getframe
# Which asyncio.run() calls when its main coroutine has ended.
_SHUTDOWN = getattr(getattr(asyncio.runners, "_cancel_all_tasks", None), "__code__", None)

# Executed code decides how many calls it makes and leaves.
_MOST_KEPT = 10_000
_LINES_NAMED = 5
_FRAMES_SEARCHED = 100
_MOST_CHARACTERS = 200


class UnfinishedCalls:
    """The calls that the code made and that have not begun, or not ended.

    The coroutine of a tool's call need not exist any more: what counts is that
    it was made and never took its first step. One that Python deletes in that
    state was never awaited; one that is gone or closed without this was thrown
    an exception instead of the first step, as the cancelled task around it does.
    Each change is one operation on a dict, so any thread may call.
    ``tools_code`` is the code object of those coroutines; its argument
    ``number`` is what ``make`` returned.
    """

    def __init__(self, tools_code: CodeType) -> None:
        self._tools_code = tools_code
        self._numbers = count(1)
        self.begun_on = 0
        """The line on which the coroutine was made that has begun last, or 0."""
        self.begin_run("")

    def begin_run(self, filename: str) -> None:
        """Forget the calls of the former run; ``filename`` is that of the code."""
        self._filename = filename
        self._not_begun: dict[int, tuple[str, int]] = {}
        self._coroutines: dict[int, Callable[[], Any]] = {}
        self._not_ended: dict[int, str] = {}
        self._cut_off: dict[str, None] = {}

    def make(self, tool: str) -> int:
        """Note that the code makes the coroutine of a call; return the call's number."""
        number = next(self._numbers)
        self._keep(number, tool)
        return number

    def note_made(self, number: int, coroutine: Any) -> None:
        """Note the coroutine of a call."""
        if number in self._not_begun:
            self._coroutines[number] = ref(coroutine)

    def note_deleted(self, coroutine: Any) -> None:
        """Note that a coroutine was deleted that has not begun."""
        if coroutine.cr_code is self._tools_code:
            self._coroutines.pop(coroutine.cr_frame.f_locals["number"], None)
        else:
            self._keep(next(self._numbers), _name(coroutine.__qualname__))

    def begin(self, tool: str, number: int = 0) -> int:
        """Note that a call begins; return its number."""
        if number:
            _, self.begun_on = self._not_begun.pop(number, ("", 0))
            self._coroutines.pop(number, None)
        else:
            number = next(self._numbers)
        self._not_ended[number] = tool
        return number

    def end(self, number: int) -> None:
        """Note that a call has its answer, or was given up."""
        self._not_ended.pop(number, None)

    def note_cancelled(self, tool: str) -> None:
        """Note that a call was cancelled, unless the code did so itself."""
        if any(frame.f_code is _SHUTDOWN for frame in _frames()):
            self._cut_off[tool] = None

    def hints(self, failure: str | None = None) -> Iterator[str]:
        """Yield hints about the calls at the end of the code, which failed with this message."""
        never_awaited, cancelled = self._lines()
        for function, lines in never_awaited.items():
            if failure is None or not (function in failure and "await" in failure):
                yield _never_awaited(function, lines)
        for function, lines in cancelled.items():
            yield _cancelled(function, lines)
        if failure is None:
            for tool in self._cut_off | dict.fromkeys(list(self._not_ended.values())):
                yield (
                    f"{tool}(...) was still running when the code ended, and was cancelled; "
                    "wait for its result before the end"
                )

    def hints_about_variables(self, coroutines: Iterable[tuple[str, str]]) -> Iterator[str]:
        """Yield a hint for each variable with a coroutine that has not begun, but for tools.

        ``coroutines`` has the name of the variable and of the function that was called.
        """
        known = {function for function, _ in self._not_begun.values()}
        for variable, function in coroutines:
            if function not in known:
                yield _hint(_name(function), f" in {variable}")

    def _keep(self, number: int, function: str) -> None:
        if len(self._not_begun) < _MOST_KEPT:
            self._not_begun[number] = (function, self.line())

    def _lines(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """Return the functions with calls that have not begun, and the line of each call.

        Those that were never awaited come first, those that were cancelled second.
        """
        never_awaited: dict[str, list[int]] = {}
        cancelled: dict[str, list[int]] = {}
        for number, (function, line) in list(self._not_begun.items()):
            lines = cancelled if self._was_cancelled(number) else never_awaited
            lines.setdefault(function, []).append(line)
        return never_awaited, cancelled

    def _was_cancelled(self, number: int) -> bool:
        find = self._coroutines.get(number)
        if find is None:
            return False
        coroutine = find()
        return coroutine is None or coroutine.cr_frame is None

    def line(self) -> int:
        """Return the line of the code that is at work in this thread, or 0."""
        for frame in _frames():
            if frame.f_code.co_filename == self._filename:
                return frame.f_lineno or 0
        return 0


def _frames() -> Iterator[FrameType]:
    """Yield the innermost frames of this thread."""
    frame: FrameType | None = _get_frame(1)
    for _ in range(_FRAMES_SEARCHED):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _name(qualified: str) -> str:
    # The code may have set a name of a class of its own.
    return str.__str__(qualified).rpartition("<locals>.")[2][:_MOST_CHARACTERS]


def _never_awaited(function: str, lines: list[int]) -> str:
    return _hint(function, _where(lines), times=len(lines))


def _cancelled(function: str, lines: list[int]) -> str:
    where, times = _where(lines), len(lines)
    if times == 1:
        return f"{function}(...){where} was cancelled before it began, so it has not run"
    return (
        f"{function}(...){where} was cancelled {times} times before it began, so these calls "
        "have not run"
    )


def _where(lines: list[int]) -> str:
    numbers = list(dict.fromkeys(line for line in lines if line))
    named = ", ".join(map(str, numbers[:_LINES_NAMED])) + ", ..." * (len(numbers) > _LINES_NAMED)
    return f" on line{'s' * (len(numbers) > 1)} {named}" if numbers else ""


def _hint(function: str, where: str, *, times: int = 1) -> str:
    often, it_has = ("", "it has") if times == 1 else (f" {times} times", "they have")
    return (
        f"{function}(...){where} was called{often} but never awaited, so {it_has} not run; "
        f"write await {function}(...)"
    )
