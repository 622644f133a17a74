"""Search of tools by plain words: the best namespaces, each with its functions.

By words alone the right function is hard to tell from its neighbours, while
the right namespace is not. Namespaces are therefore what is ranked, by BM25
over weighted fields, and each one found is given with all its functions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from codemode.catalogue.search_words import Synonyms, Term, stems
from codemode.tools.tool import Tool

__all__ = ["MOST_FUNCTIONS", "SearchIndex", "namespace_of"]

MOST_FUNCTIONS = 40
"""The number of functions with which one namespace is shown; of more, the best."""

# Weights of the fields. The words of a namespace's own name say most.
_NAME = 5.0
_PREFIX = 3.0
_FUNCTION = 2.0
_TAG = 3.0
_DESCRIPTION = 1.5
_ARGUMENT = 0.7

_SYNONYM = 0.8  # of the weight of the word itself
_K1 = 1.2
_B = 0.3

_CONVENTIONAL = ".codemode_tools"


def namespace_of(tool: Tool) -> str:
    """Return the namespace of a tool; of a name without dots, the app that defines the tool."""
    prefix, _, _ = tool.name.rpartition(".")
    if prefix:
        return prefix
    module = tool.origin.rpartition(".")[0]
    return module.partition(_CONVENTIONAL)[0]


class SearchIndex:
    """An index of tools; what it finds depends on these tools alone. Immutable."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._groups: dict[str, list[Tool]] = defaultdict(list)
        self._stems: dict[str, frozenset[str]] = {}
        for tool in tools:
            self._groups[namespace_of(tool)].append(tool)
        postings: dict[str, list[tuple[str, float]]] = defaultdict(list)
        weights = {name: self._weights(name, members) for name, members in self._groups.items()}
        lengths = {name: math.fsum(found.values()) for name, found in weights.items()}
        average = sum(lengths.values()) / max(len(lengths), 1)
        for name, found in weights.items():
            norm = _K1 * (1 - _B + _B * lengths[name] / average)
            for term, weight in found.items():
                postings[term].append((name, weight * (_K1 + 1) / (weight + norm)))
        count = len(self._groups)
        self._postings = {
            term: [(name, score * _rarity(len(found), count)) for name, score in found]
            for term, found in postings.items()
        }

    def search(self, text: str, limit: int, synonyms: Synonyms) -> list[Tool]:
        """Return the functions of the ``limit`` namespaces that fit a text, best first.

        A text without words that carry meaning finds the first namespaces.
        """
        wanted = synonyms.expand(text)
        if not wanted:
            return [tool for name in list(self._groups)[:limit] for tool in self.functions(name)]
        scores: dict[str, float] = defaultdict(float)
        for term in wanted:
            best: dict[str, float] = dict(self._postings.get(term.stem, ()))
            for synonym in term.synonyms:
                for name, score in self._postings.get(synonym, ()):
                    best[name] = max(best.get(name, 0.0), score * _SYNONYM)
            for name, score in best.items():
                scores[name] += score * term.weight
        ranked = sorted(scores, key=lambda name: (-scores[name], name))[:limit]
        return [tool for name in ranked for tool in self._best(name, wanted)]

    def functions(self, namespace: str) -> Sequence[Tool]:
        """Return the functions of a namespace, at most ``MOST_FUNCTIONS``; of another, none."""
        return self._groups.get(namespace, [])[:MOST_FUNCTIONS]

    def _best(self, namespace: str, terms: list[Term]) -> list[Tool]:
        def fit(tool: Tool) -> float:
            own = self._stems[tool.name]
            return sum(
                term.weight * (1.0 if term.stem in own else _SYNONYM)
                for term in terms
                if term.stem in own or not own.isdisjoint(term.synonyms)
            )

        return sorted(self._groups[namespace], key=fit, reverse=True)[:MOST_FUNCTIONS]

    def _weights(self, namespace: str, members: list[Tool]) -> dict[str, float]:
        """Return the weight of each term in a namespace: of all its fields together."""
        *prefix, last = namespace.split(".")
        found: dict[str, float] = defaultdict(float)
        for field, weight in ((last, _NAME), (" ".join(prefix), _PREFIX)):
            for term in set(stems(field)):
                found[term] += weight
        for tool in members:
            name, description = stems(tool.name.rpartition(".")[2]), stems(tool.description)
            arguments = {one for name in tool.arguments.parameters for one in stems(name)}
            tags = {one for tag in tool.tags for one in stems(tag)}
            self._stems[tool.name] = frozenset(name).union(description, tags)
            for terms, weight in (
                (set(name), _FUNCTION),
                (set(description), _DESCRIPTION),
                (arguments, _ARGUMENT),
                (tags, _TAG),
            ):
                for term in terms:
                    found[term] += weight
        return found


def _rarity(documents: int, count: int) -> float:
    return math.log(1 + (count - documents + 0.5) / (documents + 0.5))
