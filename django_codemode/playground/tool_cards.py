"""The tools as the page lists them, and the code with which it begins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from codemode.catalogue import render_records
from codemode.catalogue.shapes import Kind, Shape, parts_of, shape_of
from codemode.tools import Tool

__all__ = ["ToolCard", "cards_of", "starter_code"]

_MARKS = {
    "reads": ("reads", "A call changes nothing."),
    "database": ("writes", "A call writes to the project's databases."),
    "external": ("acts outside", "A call acts outside of the project's databases."),
    None: ("may write", "The tool does not say what a call does."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCard:
    """A tool as the page lists it.

    ``mark`` and ``meaning`` are what a call does, as the tool declares it.
    ``records`` are the definitions of the records that it takes and returns.
    ``parameters`` and ``fields`` are JSON arrays of names for completion.
    """

    name: str
    signature: str
    description: str
    asynchronous: bool
    writes: bool
    mark: str
    meaning: str
    records: tuple[str, ...]
    parameters: str
    fields: str


def cards_of(tools: Iterable[Tool]) -> list[ToolCard]:
    """Return the cards of tools, sorted by name."""
    return [tool.once("playground", partial(_card, tool)) for tool in _sorted(tools)]


def starter_code(tools: Iterable[Tool]) -> str:
    """Return code that runs as it is: it calls a tool that only reads and needs no argument.

    Where no tool is like that, the code shows how a tool is called, or needs none.
    """
    found = _sorted(tools)
    easy = [tool for tool in found if tool.effects == "reads" and not _needed(tool)]
    lists = [tool for tool in easy if _returns_list(tool)]
    for tool in lists[:1]:
        call = _call(tool)
        return f'rows = {call}\nprint(len(rows), "rows")\nrows[:10]'
    for tool in easy[:1]:
        return _call(tool)
    for tool in found[:1]:
        return f"# How a tool is called. Nothing calls it yet.\nhelp({tool.name})"
    return 'print("The code runs in a sandbox.")\nsum(range(10))'


def _sorted(tools: Iterable[Tool]) -> list[Tool]:
    return sorted(tools, key=lambda tool: tool.name)


def _card(tool: Tool) -> ToolCard:
    mark, meaning = _MARKS[tool.effects]
    return ToolCard(
        name=tool.name,
        signature=tool.signature,
        description=tool.description,
        asynchronous=tool.asynchronous,
        writes=tool.effects != "reads",
        mark=mark,
        meaning=meaning,
        records=tuple(record.strip() for record in render_records([tool])),
        parameters=json.dumps(list(tool.arguments.parameters)),
        fields=json.dumps(_fields(tool.returns)),
    )


def _fields(returns: Any) -> list[str]:
    """Return the keys of all records within a return type, each once."""
    names: dict[str, None] = {}
    seen: list[Any] = []

    def visit(shapes: Sequence[Shape]) -> None:
        for shape in shapes:
            if shape.source is not None:
                if shape.source in seen:
                    continue
                seen.append(shape.source)
            parts = parts_of(shape)
            if shape.kind is Kind.RECORD:
                names.update(dict.fromkeys(key for key, _ in parts))
            visit([part for _, part in parts])

    visit([shape_of(returns)])
    return list(names)


def _needed(tool: Tool) -> bool:
    return any(parameter.required for parameter in tool.arguments.parameters.values())


def _returns_list(tool: Tool) -> bool:
    shape = shape_of(tool.returns)
    return shape.kind is Kind.CONTAINER and shape.name == "list"


def _call(tool: Tool) -> str:
    return f"{'await ' * tool.asynchronous}{tool.name}()"
