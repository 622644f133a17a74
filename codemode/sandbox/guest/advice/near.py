"""Similar names: the known names that an unknown name may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import islice

__all__ = ["cut_name", "listed", "near_names", "similar_names"]

# The time of a comparison grows with the product of the lengths, and the code chooses both.
_CHARACTERS = 100
_NAMES = 5_000

_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")
# Verbs that models use for each other.
_VERBS = {
    one: group[0]
    for group in (
        ("get", "fetch", "load", "read", "retrieve", "find", "lookup"),
        ("list", "search", "query", "all"),
        ("create", "add", "new", "make", "insert"),
        ("update", "edit", "change", "modify", "set"),
        ("delete", "remove", "drop"),
    )
    for one in group
}


def near_names(name: str, names: Iterable[str], *, most: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return up to ``most`` dotted names like this one, best first.

    First come names of the same words in any order, then names that end in this
    one, names whose verb means the same, and names spelled like it.
    """
    known = list(islice(names, _NAMES))
    wanted = words_of(name)
    verbs = frozenset(_VERBS.get(word, word) for word in wanted)
    same, end, meant = [], [], []
    for other in known:
        words = words_of(other)
        if words == wanted:
            same.append(other)
        elif other.rpartition(".")[2] == name:
            end.append(other)
        elif len(verbs) > 1 and frozenset(_VERBS.get(word, word) for word in words) == verbs:
            meant.append(other)
    spelled = similar_names(name, known, most=most, cutoff=cutoff)
    return list(dict.fromkeys([*same, *end, *meant, *spelled]))[:most]


def similar_names(
    name: str, names: Iterable[str], *, most: int = 3, cutoff: float = 0.6
) -> list[str]:
    """Return up to ``most`` names spelled like this one, whatever its case and dots."""
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(_folded(name))
    found: list[tuple[float, str]] = []
    for other in islice(names, _NAMES):
        matcher.set_seq1(_folded(other))
        if (
            matcher.real_quick_ratio() >= cutoff
            and matcher.quick_ratio() >= cutoff
            and (ratio := matcher.ratio()) >= cutoff
        ):
            found.append((-ratio, other))
    return [other for _, other in sorted(found)[:most]]


def words_of(name: str) -> frozenset[str]:
    """Return the words in a name, in the singular: ``getOrders`` has ``get`` and ``order``."""
    words = (word.lower() for word in _WORDS.findall(name[:_CHARACTERS]))
    return frozenset(
        word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] != "s" else word
        for word in words
    )


def cut_name(name: str, most: int = 60) -> str:
    """Return a name of at most so many characters, its end cut off."""
    return name if len(name) <= most else name[: most - 1] + "…"


def listed(names: Sequence[str], most: int) -> str:
    """Return the first ``most`` names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def _folded(name: str) -> str:
    return name[:_CHARACTERS].lower().replace(".", "_")
