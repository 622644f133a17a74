"""The whole description of the one tool that executes code, as a framework gives it to a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from codemode.catalogue.catalogue import Catalogue, catalogue_of
from codemode.catalogue.compact import RESTRICTED, marks_of
from codemode.catalogue.tokens import check_max_tokens, count_tokens
from codemode.errors.base import ConfigurationError
from codemode.tools.tool import Tool

__all__ = ["Sandbox", "instructions_for"]

_TASK = (
    "Run Python in a sandbox and read its value. Do a whole task in one program: loop, filter and "
    "compute in code."
)
_HEADING = "\n\nTools:\n"
_JOINT = 4
_MEANINGS = {
    "reads": "`# reads` changes nothing",
    "database": "`# database` writes to the database",
    "external": "`# external` acts on the outside world and cannot be taken back",
    RESTRICTED: "`restricted` needs a permission that you have",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What code may rely on where it runs.

    ``python`` is a version, or words for one. ``packages`` can be imported
    beside the standard library. ``execution_timeout`` is in seconds.
    """

    python: str
    packages: tuple[str, ...]
    execution_timeout: float
    max_memory_bytes: int
    max_tool_calls: int


def instructions_for(
    tools: Mapping[str, Tool], sandbox: Sandbox, *, max_tokens: int | None = None
) -> str:
    """Return the rules, the properties of the sandbox and the catalogue, within ``max_tokens``.

    What changes least stands first, as caches of prompts like it. Raises
    ConfigurationError where the rules and one line of the catalogue do not fit.
    """
    check_max_tokens(max_tokens)
    if max_tokens is None:
        catalogue = catalogue_of(tools)
        return _text(_rules(tools, sandbox, marks=_shows_marks(catalogue)), catalogue)
    # The rules are shorter where no marks are to be explained.
    for marks in (True, False):
        rules = _rules(tools, sandbox, marks=marks)
        left = max_tokens - count_tokens(f"{rules}{_HEADING}" if tools else rules)
        # Two texts may have other tokens than both together, hence the second attempt.
        for spare in (0, _JOINT):
            with contextlib.suppress(ConfigurationError):
                catalogue = catalogue_of(tools, max_tokens=max(left - spare, 1))
                rules = _rules(tools, sandbox, marks=_shows_marks(catalogue))
                text = _text(rules, catalogue)
                if count_tokens(text) <= max_tokens:
                    return text
    needed = count_tokens(_rules(tools, sandbox, marks=False))
    raise ConfigurationError(
        f"max_tokens={max_tokens} is too few for the instructions: the rules take {needed}, "
        "and a useful catalogue some hundred more"
    )


def _shows_marks(catalogue: Catalogue) -> bool:
    return catalogue.tier in ("full", "lines")


def _text(rules: str, catalogue: Catalogue) -> str:
    return f"{rules}{_HEADING}{catalogue.text}" if catalogue.text else rules


def _rules(tools: Mapping[str, Tool], sandbox: Sandbox, *, marks: bool) -> str:
    ordered = [tools[name] for name in sorted(tools)]
    lines = [
        _TASK,
        *(f"- {rule}" for rule in _rules_of(ordered, marks=marks)),
        f"- {_properties(sandbox)}",
    ]
    return "\n".join(lines)


def _rules_of(tools: list[Tool], *, marks: bool) -> Iterator[str]:
    if tools:
        yield "The tools below are functions that are already there: do not import them."
    awaited = next((tool.name for tool in tools if tool.asynchronous), None)
    if awaited is not None:
        yield (
            f"Await each async tool: `await {awaited}(...)`, at the top level too. Several at "
            "once: `import asyncio`, then `await asyncio.gather(...)`."
        )
    yield (
        "End with an expression, `return value` or `result = value`: that value is what you read. "
        "print() is for notes. Give what is needed, not raw data: long text is cut."
    )
    if not tools:
        yield (
            "There is no network, and no other process. There are no tools to call. A file leaves "
            'by `artifact("sales.png")`.'
        )
        return
    yield 'Records (TypedDict) are dicts: `row["id"]`, not `row.id`.'
    yield (
        "There is no network, no other process, and files do not last: data comes from tools and "
        'leaves as the value, a file by `artifact("sales.png")`.'
    )
    yield (
        "A failed call raises ToolError, which you can catch. After an error, earlier calls have "
        "still happened: do not repeat those that write."
    )
    yield '`tools.search("words")` finds tools, `help(name)` prints all about one.'
    yield (
        "If you can also call tools directly, do that where one call is all and you need its whole "
        "result."
    )
    if marks and (explained := _explained(tools)):
        yield explained


def _explained(tools: Iterable[Tool]) -> str:
    """Return what the marks of these tools mean."""
    found = {mark for tool in tools for mark in marks_of(tool)}
    if not found:
        return ""
    meanings = [text for mark, text in _MEANINGS.items() if mark in found]
    if any(tool.effects is None for tool in tools):
        meanings.append("without one of these a tool may write")
    return f"Marks: {'; '.join(meanings)}."


def _properties(sandbox: Sandbox) -> str:
    packages = f", {', '.join(sandbox.packages)}" if sandbox.packages else ""
    return (
        f"{sandbox.python}, standard library{packages}. Limits: {sandbox.execution_timeout:g} s "
        f"with all calls, {sandbox.max_memory_bytes // 2**20:,} MiB, {sandbox.max_tool_calls:,} "
        "tool calls."
    )
