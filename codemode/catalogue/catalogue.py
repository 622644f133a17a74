"""The catalogue: the tools as a model reads them, in the richest form that fits a budget."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from codemode.catalogue.compact import render_compact, render_lines
from codemode.catalogue.outline import cut_to_fit, names, namespaces, services, written
from codemode.catalogue.tokens import check_max_tokens, count_tokens, counts_exactly
from codemode.errors.base import ConfigurationError
from codemode.tools.tool import Tool

__all__ = ["Catalogue", "Tier", "catalogue_of"]

Tier = Literal["full", "lines", "names", "namespaces"]

_MOST_CATALOGUES = 64
# Fewer characters make a token of Python than these.
_LONGEST_TOKEN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The tools as a model reads them.

    ``tier`` is "full" (types, functions, notes), "lines" (signatures), "names"
    or "namespaces". ``tokens`` are those of ``text``: ``counted`` by a tokenizer
    (o200k), or about that many.
    """

    text: str
    tier: Tier
    tokens: int
    counted: bool


def catalogue_of(
    tools: Mapping[str, Tool], *, max_tokens: int | None = None, notes: bool = True
) -> Catalogue:
    """Return the catalogue of these tools in the richest tier that fits ``max_tokens``.

    The same tools give the same bytes, in whatever order they were registered.
    ``notes`` are those on arguments and fields; they are left out as well where
    the full tier fits only without them. Cached for the tools and arguments.
    Raises ConfigurationError when not even a line fits.
    """
    check_max_tokens(max_tokens)
    ordered = tuple(tools[name] for name in sorted(tools))
    return _catalogue(_SameTools(ordered), max_tokens, bool(notes))


class _SameTools:
    """A key for these very records; keeps them, so that their ids stay theirs."""

    __slots__ = ("_ids", "tools")

    def __init__(self, tools: tuple[Tool, ...]) -> None:
        self.tools = tools
        self._ids = tuple(map(id, tools))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameTools) and self._ids == other._ids

    def __hash__(self) -> int:
        return hash(self._ids)


@functools.lru_cache(maxsize=_MOST_CATALOGUES)
def _catalogue(key: _SameTools, max_tokens: int | None, notes: bool) -> Catalogue:
    tools = key.tools
    if not tools:
        return _catalogue_from("", "full")
    for tier, render in _forms(tools, max_tokens, notes):
        text = render()
        if _fits(text, max_tokens):
            return _catalogue_from(text, tier)
    cut = cut_to_fit(services(tools), lambda text: _fits(text, max_tokens))
    if cut is None:
        least = count_tokens(cut_to_fit(services(tools), lambda text: "\n" not in text) or "")
        raise ConfigurationError(
            f"max_tokens={max_tokens} is too few for a catalogue of {len(tools):,} tools; even "
            f"one line takes {least}, and a useful catalogue some hundred"
        )
    return _catalogue_from(cut, "namespaces")


def _forms(
    tools: tuple[Tool, ...], max_tokens: int | None, notes: bool
) -> Iterator[tuple[Tier, Callable[[], str]]]:
    """Yield the forms of a catalogue that is not cut, the richest first."""
    whole = len(tools)
    if max_tokens is None or _least_characters(tools) <= max_tokens * _LONGEST_TOKEN:
        if notes:
            yield "full", lambda: render_compact(tools, notes=True)
        yield "full", lambda: render_compact(tools, notes=False)
        yield "lines", lambda: render_lines(tools)
    yield "names", lambda: written(names(tools), whole=whole, names_only=True)
    yield "namespaces", lambda: written(namespaces(tools), whole=whole)


def _least_characters(tools: Iterable[Tool]) -> int:
    """Return fewer characters than the signatures have, to skip what cannot fit."""
    return sum(
        len(tool.name.rpartition(".")[2]) + sum(map(len, tool.arguments.parameters))
        for tool in tools
    )


def _fits(text: str, max_tokens: int | None) -> bool:
    return max_tokens is None or count_tokens(text) <= max_tokens


def _catalogue_from(text: str, tier: Tier) -> Catalogue:
    return Catalogue(text=text, tier=tier, tokens=count_tokens(text), counted=counts_exactly())
