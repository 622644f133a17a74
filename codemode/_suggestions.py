"""Suggestions of known names for an unknown one, in one phrasing.

The guest has its own: it also ignores case and dots, and imports nothing from here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable

__all__ = ["did_you_mean", "near_names", "some_names"]

# The search takes time in proportion to the name, and a client or executed code may choose it.
_MAX_CHARACTERS = 100


def near_names(name: str, known: Iterable[str], *, most: int = 1) -> list[str]:
    """Return up to ``most`` known names that are similar to a name, best first."""
    return difflib.get_close_matches(name[:_MAX_CHARACTERS], known, n=most)


def did_you_mean(
    name: str,
    known: Iterable[str],
    *,
    most: int = 1,
    show: Callable[[str], str] = repr,
    otherwise: str = "",
) -> str:
    """Return the end of a message about an unknown name: "; did you mean 'name'?".

    Where no known name is similar, the end is ``otherwise``, after a semicolon,
    or empty.
    """
    if near := near_names(name, known, most=most):
        return f"; did you mean {', or '.join(map(show, near))}?"
    return f"; {otherwise}" if otherwise else ""


def some_names(known: Collection[str], most: int) -> str:
    """Return the first ``most`` names in alphabetical order; "none" where there are none."""
    names = ", ".join(sorted(known)[:most]) or "none"
    return f"{names}, ..." if len(known) > most else names
