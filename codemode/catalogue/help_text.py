"""What ``help`` shows of a tool beside its signature and its description."""

from __future__ import annotations

import re
from collections.abc import Iterable

from codemode.catalogue.compact import marks_of
from codemode.catalogue.stubs import render_records
from codemode.tools.tool import Tool
from codemode.values.shortening import cut

__all__ = ["help_texts"]

_MOST_NOTES = 30
_NOTE_CHARACTERS = 200
_MOST_RECORDS = 10
_RECORD_CHARACTERS = 500

_CLASS = re.compile(r"class (\w+)\(")
_CALL = re.compile(r"(\w+) = \w+\('\w+', (\{.*\})\)$", re.DOTALL)


def help_texts(tool: Tool) -> dict[str, list[str]]:
    """Return the ``notes`` on arguments, the ``records`` and the ``marks`` of a tool.

    They are built once for each tool, and bounded in number and length.
    """
    return tool.once("help", lambda: _help_texts(tool))


def _help_texts(tool: Tool) -> dict[str, list[str]]:
    notes = [f"{one.name}: {one.doc}" for one in tool.arguments.parameters.values() if one.doc]
    records = filter(None, map(_on_one_line, render_records([tool])))
    return {
        "notes": _bounded(notes, _MOST_NOTES, _NOTE_CHARACTERS),
        "records": _bounded(records, _MOST_RECORDS, _RECORD_CHARACTERS),
        "marks": marks_of(tool),
    }


def _on_one_line(definition: str) -> str:
    """Return ``Order = {id: int, total: Decimal}`` for the definition of a TypedDict."""
    head, *lines = definition.strip().splitlines()
    if match := _CLASS.match(head):
        fields = [line.strip() for line in lines if line.strip() != "pass"]
        return f"{match[1]} = {{{', '.join(fields)}}}"
    match = _CALL.match(definition.strip())
    return f"{match[1]} = {match[2]}" if match else ""


def _bounded(texts: Iterable[str], most: int, characters: int) -> list[str]:
    return [cut(" ".join(text.split()), characters) for text in texts][:most]
