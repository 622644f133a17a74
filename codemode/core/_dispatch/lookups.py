"""The answers to what executed code asks about tools: which fit some words, how one is called.

A question is not a tool call: it is not counted, not recorded and not shown to
hooks. The answers have only tools that the caller may use.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from codemode.catalogue.search_words import MAX_CHARACTERS
from codemode.core._dispatch.call_checks import decode_arguments
from codemode.core._dispatch.extensions import Extensions
from codemode.core._dispatch.interrupts import is_interrupt
from codemode.core._dispatch.listing import Listing
from codemode.core._dispatch.threads import adopt_locals, off_loop, on_sync_thread
from codemode.core.hooks import ToolFailure, ToolOutcome
from codemode.core.plain_functions import call_plain
from codemode.errors import ValueEncodingError
from codemode.tools.tool import Tool
from codemode.values import encode
from codemode.values.shortening import cut, shorten
from codemode.wire.constants import DESCRIBE, MOST_LOOKUPS

__all__ = ["Lookups"]

logger = logging.getLogger("codemode.tools")

_MAX_BYTES = 16 * 1024  # of a question
_MOST_DESCRIBED = 256
_MOST_NAMESPACES = 50
_MOST_FOUND = 200
_DESCRIPTION_CHARACTERS = 400
_DEFAULT_LIMIT = 5


class Lookups:
    """The answers of one run, bounded in number, in time and in size."""

    def __init__(
        self,
        listing: Callable[[], Listing],
        *,
        extensions: Extensions,
        max_value_bytes: int,
    ) -> None:
        self._make_listing = listing
        self._function = extensions.search
        self._synonyms = extensions.synonyms
        self._max_value_bytes = max_value_bytes
        self._thread = threading.get_ident()
        self._asked = 0

    def answer(self, name: str, data: bytes) -> ToolOutcome:
        """Answer a question in this thread; whatever it is, the answer is an outcome."""
        self._asked += 1
        if self._asked > MOST_LOOKUPS:
            return _refusal("limit", "SearchLimit", f"a run may ask {MOST_LOOKUPS} times for tools")
        if len(data) > _MAX_BYTES:
            return _invalid(f"{name}() was asked with {len(data):,} bytes; it takes {_MAX_BYTES:,}")
        arguments = decode_arguments(data, max_bytes=_MAX_BYTES)
        if isinstance(arguments, ToolFailure):
            return ToolOutcome(failure=arguments)
        answer = self._describe(arguments) if name == DESCRIBE else self._search(arguments)
        if isinstance(answer, ToolOutcome):
            return answer
        try:
            return ToolOutcome(value=encode(answer, max_bytes=self._max_value_bytes, path=name))
        except ValueEncodingError as error:
            return _refusal("error", "ValueEncodingError", f"{error}; ask for fewer")

    async def answer_in_async_half(self, name: str, data: bytes) -> ToolOutcome:
        """Answer a question from a task; what takes long holds up no loop."""
        if threading.get_ident() != self._thread:
            adopt_locals()
        if name != DESCRIBE and self._function is not None:
            return await on_sync_thread(self.answer, name, data)
        if name != DESCRIBE and not self._listing.indexed:
            return await off_loop(self.answer, name, data)
        return self.answer(name, data)

    @property
    def _listing(self) -> Listing:
        return self._make_listing()

    def _describe(self, arguments: Mapping[str, Any]) -> list[dict[str, Any]] | ToolOutcome:
        names = arguments.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return _invalid("names must be a list of names of tools")
        listing = self._listing
        return [listing.spec(name) for name in names[:_MOST_DESCRIBED] if name in listing.tools]

    def _search(self, arguments: Mapping[str, Any]) -> list[dict[str, str]] | ToolOutcome:
        unknown = arguments.keys() - {"text", "limit"}
        text, limit = arguments.get("text"), arguments.get("limit", _DEFAULT_LIMIT)
        if unknown:
            return _invalid(f"there is no argument {shorten(min(unknown))}")
        if not isinstance(text, str):
            return _invalid(
                f"text is {shorten(text)}; expected words that say what the tool does, such as "
                "tools.search('refund an order')"
            )
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            return _invalid(f"limit is {shorten(limit)}; expected a number of namespaces, from 1")
        found = self._found(text[:MAX_CHARACTERS], min(limit, _MOST_NAMESPACES))
        return [
            {
                "name": tool.name,
                "signature": f"{'await ' * tool.asynchronous}{tool.signature}",
                "description": cut(tool.description, _DESCRIPTION_CHARACTERS),
            }
            for tool in islice(found, _MOST_FOUND)
        ]

    def _found(self, text: str, limit: int) -> Iterable[Tool]:
        listing = self._listing
        if self._function is not None:
            try:
                names = _names_of(call_plain(self._function, text, listing.listed, limit))
            except Exception as error:
                if is_interrupt(error):
                    raise
                logger.exception("The project's search failed; the built-in one answers")
            else:
                return _of_names(names, listing)
        return listing.index.search(text, limit, self._synonyms)


def _names_of(found: Iterable[str]) -> list[str]:
    """Return what a project's search has found. Raises TypeError unless these are names."""
    names = [] if isinstance(found, str) else list(islice(found, _MOST_FOUND))
    if isinstance(found, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"the search returned {shorten(found)}; expected a list of names of tools or "
            "namespaces, such as ['orders.refund']"
        )
    return names


def _of_names(names: Iterable[str], listing: Listing) -> Iterator[Tool]:
    """Yield the tools that names or namespaces mean, each once; skip what is not listed."""
    seen: set[str] = set()
    for name in names:
        tool = listing.listed.get(name)
        for one in listing.index.functions(name) if tool is None else (tool,):
            if one.name not in seen:
                seen.add(one.name)
                yield one


def _invalid(message: str) -> ToolOutcome:
    return _refusal("invalid_arguments", "InvalidArguments", message)


def _refusal(kind: Any, type: str, message: str) -> ToolOutcome:
    return ToolOutcome(failure=ToolFailure(kind=kind, type=type, message=message))
