"""The tools of executions, prepared once for many: their names, their specs, their search."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from codemode.catalogue.help_text import help_texts
from codemode.catalogue.search import SearchIndex
from codemode.protos import codemode_pb2 as pb
from codemode.tools.tool import Tool

__all__ = ["Listing", "Listings", "spec_of"]

_MOST_KEPT = 16
_IDENTIFIER = re.compile(r"[^\W\d]\w*")


def spec_of(tool: Tool, *, hidden: bool = False, explained: bool = True) -> dict[str, Any]:
    """Return the fields of a ``ToolSpec``; of a hidden tool little more than the name.

    Those that only ``help`` shows are left out unless the tool is to be ``explained``.
    """
    texts = help_texts(tool) if explained and not hidden else {}
    return {
        "name": tool.name,
        "signature": "" if hidden else tool.signature,
        "positional_parameters": [] if hidden else list(tool.positional_parameters),
        "description": "" if hidden else tool.description,
        "asynchronous": tool.asynchronous,
        "hidden": hidden,
        **texts,
    }


class Listing:
    """The tools of an execution, of which the model is shown those in ``listed``.

    Each part is built on first use. Two threads may build it at once; either
    result is right.
    """

    def __init__(self, tools: Mapping[str, Tool], listed: Mapping[str, Tool]) -> None:
        self.tools = tools
        self.listed = listed

    @cached_property
    def names(self) -> str:
        """All names in one text, as ``Open.tool_names`` describes it."""
        hidden = [name for name in self.tools if name not in self.listed]
        return "\n\n".join(("\n".join(self.listed), "\n".join(hidden)))

    @cached_property
    def opening(self) -> pb.Open:
        """The opening of a stream as far as its tools decide it, to be copied."""
        return pb.Open(tools=[pb.ToolSpec(**self.spec(name)) for name in self.tools])

    @cached_property
    def index(self) -> SearchIndex:
        """The index of the listed tools; a hidden tool has no influence on what it finds."""
        return SearchIndex(self.listed.values())

    @property
    def indexed(self) -> bool:
        """Whether the index is built, which takes 20 ms for 1,000 tools."""
        return "index" in self.__dict__

    def spec(self, name: str, *, explained: bool = True) -> dict[str, Any]:
        """Return the fields of a tool's ``ToolSpec``. Raises KeyError."""
        return spec_of(self.tools[name], hidden=name not in self.listed, explained=explained)

    def mentioned(self, code: str) -> Iterator[dict[str, Any]]:
        """Yield the specs of the tools whose names occur in code, in linear time.

        The name of ``orders.get`` occurs where ``orders`` and ``get`` do, even
        apart and in a comment.
        """
        # Python reads identifiers in this form.
        text = code if code.isascii() else unicodedata.normalize("NFKC", code)
        words = set(_IDENTIFIER.findall(text))
        for first in sorted(words & self._by_first.keys()):
            for name in self._by_first[first]:
                if words.issuperset(name.split(".")):
                    yield self.spec(name)

    @cached_property
    def _by_first(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.tools:
            found.setdefault(name.partition(".")[0], []).append(name)
        return found


class Listings:
    """The listings of the latest executions of a registry, bounded in number."""

    def __init__(self) -> None:
        # Replaced as a whole, so that no lock is needed: a fork might find it taken.
        self._kept: tuple[tuple[int, object, Listing], ...] = ()

    def get(self, tools: Mapping[str, Tool], listed: Mapping[str, Tool]) -> Listing:
        """Return the listing of these tools, made now if none of the kept ones is of them."""
        kept = self._kept
        if kept and kept[0][2].tools is tools and kept[0][2].listed is listed:
            return kept[0][2]
        # A listing keeps its tools alive, so that their ids stay theirs.
        key = (tuple(map(id, tools.values())), None if listed is tools else tuple(listed))
        hashed = hash(key)
        for one in kept:
            if one[0] == hashed and one[1] == key:
                break
        else:
            one = (hashed, key, Listing(tools, listed))
        if not kept or kept[0] is not one:
            others = [other for other in kept if other is not one]
            self._kept = (one, *others[: _MOST_KEPT - 1])
        return one[2]
