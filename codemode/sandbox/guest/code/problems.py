"""Mistakes that the look found in code, and the refusal of that code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from codemode.sandbox.guest.code.wording import NOTHING_RAN

__all__ = ["MOST_PROBLEMS", "Problem", "RefusedCodeError", "problem_at"]

MOST_PROBLEMS = 5


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One certain mistake: where it stands, what Python would raise there, and its repair."""

    line: int
    column: int
    type: str
    message: str


def problem_at(node: Any, type: str, message: str) -> Problem:
    """Return the problem of a node."""
    return Problem(node.lineno, node.col_offset, type, message)


class RefusedCodeError(Exception):
    """Refusal of code before its run. The first problem gives the type and the line."""

    def __init__(self, problems: Iterable[Problem], source: str, filename: str) -> None:
        shown = sorted(problems)[:MOST_PROBLEMS]
        first, *others = shown
        lines = [first.message, *(f"Line {one.line}: {one.message}" for one in others)]
        super().__init__("\n".join([*lines, NOTHING_RAN]))
        self.type = first.type
        self.line = first.line
        self.traceback = f'  File "{filename}", line {first.line}\n'
        text = _line(source, first.line)
        if text:
            self.traceback += f"    {text}\n"
        self.traceback += f"{first.type}: {self}\n"


def _line(source: str, number: int) -> str:
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[number - 1].strip()[:200] if 0 < number <= len(lines) else ""
