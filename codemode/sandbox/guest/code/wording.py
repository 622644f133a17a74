"""The words in which mistakes are reported, before the run and during it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "NOTHING_RAN",
    "given_twice",
    "not_async",
    "not_awaited",
    "shorten",
    "too_many_by_position",
    "wrong_arguments",
]

NOTHING_RAN = "Found before the run: no line was executed, no tool was called."

TEXT_CHARACTERS = 100


def not_awaited(name: str, repair: str, *, inside: str = "") -> str:
    """Return the message on a call of an async function that was not awaited.

    ``repair`` is the code to write. ``inside`` describes the code around the
    call when that cannot await.
    """
    return f"{name}() is async: write {repair}{inside}"


def not_async(name: str, value: str) -> str:
    """Return the message on the ``await`` of a call that gives its value at once."""
    return f"{name} is not async: write {value} without await"


def too_many_by_position(tool: str, most: int, given: int) -> str:
    """Return the problem of a call with more arguments by position than the tool takes."""
    takes = f"at most {most} argument{'s' * (most > 1)}" if most else "no arguments"
    were = "were" if given > 1 else "was"
    return f"{tool}() takes {takes} by position, but {given} {were} given"


def given_twice(tool: str, argument: str) -> str:
    """Return the problem of an argument that a call gives by position and by name."""
    return f"{tool}() got multiple values for argument {argument!r}"


def wrong_arguments(problems: Sequence[str], signature: str) -> str:
    """Return the message on a call whose arguments the tool does not take."""
    return f"{'; '.join(problems)}. The signature is {signature}"


def shorten(text: str) -> str:
    """Return source code of one line and bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARACTERS else f"{line[: TEXT_CHARACTERS - 1]}…"
