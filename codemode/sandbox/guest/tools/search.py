"""``tools.search``: the tools that fit some words, found by the caller's process."""

from __future__ import annotations

import re
from collections.abc import Mapping

from codemode.sandbox.guest.tools.calling import Caller, ToolSpec
from codemode.sandbox.guest.tools.tool_errors import ToolError
from codemode.wire.constants import SEARCH

__all__ = ["FoundTool", "search_here", "search_there"]

_SPEC = ToolSpec(
    name=SEARCH,
    signature="tools.search(text: str, limit: int = 5) -> list[dict]",
    positional=("text", "limit"),
)


class FoundTool(dict[str, str]):
    """A tool that was found: ``name``, ``signature`` and ``description``, also as attributes."""

    def __getattr__(self, name: str) -> str:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"a tool that was found has no {name!r}; it has name, signature and description",
                name=name,
            ) from None

    def __str__(self) -> str:
        return f"{self.signature}\n{self.description}".rstrip()

    def __repr__(self) -> str:
        return f"<tool {self.signature}{': ' * bool(self.description)}{self.description}>"


def search_there(caller: Caller, text: object, limit: object) -> list[FoundTool]:
    """Ask the caller's process for the functions of the best ``limit`` namespaces."""
    try:
        found = caller.call(_SPEC, (), {"text": text, "limit": limit})
    except ToolError as error:
        raise error.with_traceback(None) from None
    return [FoundTool(one) for one in found]


def search_here(specs: Mapping[str, ToolSpec], text: str, limit: int) -> list[FoundTool]:
    """Search in the sandbox, for a client that does not answer searches."""
    words = _words(text)
    groups: dict[str, list[tuple[int, ToolSpec]]] = {}
    for spec in specs.values():
        group = spec.name.rpartition(".")[0] or spec.name
        groups.setdefault(group, []).append((_score(spec, words), spec))
    ranked = [sorted(group, key=lambda one: -one[0]) for group in groups.values()]
    ranked = sorted(
        (group for group in ranked if group[0][0] or not words), key=lambda one: -one[0][0]
    )
    return [_found(spec) for group in ranked[: max(limit, 0)] for _, spec in group]


def _found(spec: ToolSpec) -> FoundTool:
    signature = f"{'await ' * spec.asynchronous}{spec.signature}"
    return FoundTool(name=spec.name, signature=signature, description=spec.description)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _score(spec: ToolSpec, words: list[str]) -> int:
    in_name = _words(spec.name.replace("_", " "))
    name, signature = spec.name.lower(), spec.signature.lower()
    described = spec.description.lower()
    score = 0
    for word in words:
        stem = word[:-1] if len(word) > 3 and word.endswith("s") else word
        if word in in_name or stem in in_name:
            score += 8
        elif stem in name:
            score += 4
        if stem in described:
            score += 2
        if stem in signature:
            score += 1
    return score
