"""The tools in outline: their names by namespace, or the namespaces alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codemode.tools.tool import Tool

__all__ = ["Entry", "cut_to_fit", "names", "namespaces", "services", "written"]

_SEARCH = 'tools.search("words") finds tools'
_NAMES = f"Names only: await each call; help(name) shows how to call it; {_SEARCH}."
_NAMESPACES = f"Namespaces and how many tools each has: {_SEARCH}, help(namespace) lists them."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of an outline, and how many tools it stands for."""

    text: str
    count: int


def names(tools: Sequence[Tool]) -> list[Entry]:
    """Return a line for each namespace, with the names of its functions."""
    groups: dict[str, list[str]] = {}
    for tool in tools:
        namespace, _, last = tool.name.rpartition(".")
        groups.setdefault(namespace, []).append(last)
    return [
        Entry(text=f"{namespace}{': ' * bool(namespace)}{' '.join(group)}", count=len(group))
        for namespace, group in sorted(groups.items())
    ]


def namespaces(tools: Sequence[Tool]) -> list[Entry]:
    """Return a line for each outermost namespace, with the namespaces in it."""
    return _outermost(tools, inner=True)


def services(tools: Sequence[Tool]) -> list[Entry]:
    """Return a line for each outermost namespace."""
    return _outermost(tools, inner=False)


def written(entries: Sequence[Entry], *, whole: int, names_only: bool = False) -> str:
    """Return an outline as a Python string, with a line about those left out of ``whole``."""
    lines = [_NAMES if names_only else _NAMESPACES, *(one.text for one in entries)]
    left_out = whole - sum(one.count for one in entries)
    if left_out:
        lines.append(f"… and {left_out:,} more; {_SEARCH}")
    return '"""' + "\n".join(lines) + '\n"""'


def cut_to_fit(entries: Sequence[Entry], fits: Callable[[str], bool]) -> str | None:
    """Return the outline with as many of the first entries as fit, or None if no line does."""
    whole = sum(one.count for one in entries)
    if fits(uncut := written(entries, whole=whole)):
        return uncut

    def misfits(number: int) -> bool:
        return not fits(written(entries[:number], whole=whole))

    most = bisect_right(range(len(entries)), False, key=misfits) - 1
    if most < 1:
        shortest = f'"""{whole:,} tools; {_SEARCH}"""'
        return shortest if fits(shortest) else None
    return written(entries[:most], whole=whole)


def _outermost(tools: Sequence[Tool], *, inner: bool) -> list[Entry]:
    groups: dict[str, dict[str, None]] = {}
    counts: dict[str, int] = {}
    flat = []
    for tool in tools:
        first, *path = tool.name.split(".")
        if not path:
            flat.append(first)
            continue
        within = groups.setdefault(first, {})
        counts[first] = counts.get(first, 0) + 1
        if path[:-1]:
            within[".".join(path[:-1])] = None
    entries = [
        Entry(
            text=f"{first} ({counts[first]}){': ' * bool(inner and within)}"
            f"{' '.join(within) if inner else ''}",
            count=counts[first],
        )
        for first, within in sorted(groups.items())
    ]
    if flat:
        shown = " ".join(flat) if inner else f"without a namespace ({len(flat)})"
        entries.insert(0, Entry(text=shown, count=len(flat)))
    return entries
