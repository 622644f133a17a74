"""The words in which mistakes are reported, before the run and during it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["NOTHING_RAN", "not_awaited", "shorten", "wrong_arguments"]

NOTHING_RAN = "Found before the run: no line was executed, no tool was called."

TEXT_CHARACTERS = 100


def not_awaited(name: str, repair: str, *, inside: str = "") -> str:
    """Return the message on a call of an async function that was not awaited.

    ``repair`` is the code to write. ``inside`` describes the code around the
    call when that cannot await.
    """
    return f"{name}() is async: write {repair}{inside}"


def wrong_arguments(problems: Sequence[str], signature: str) -> str:
    """Return the message on a call whose arguments the tool does not take."""
    return f"{'; '.join(problems)}. The signature is {signature}"


def shorten(text: str) -> str:
    """Return source code of one line and bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARACTERS else f"{line[: TEXT_CHARACTERS - 1]}…"
