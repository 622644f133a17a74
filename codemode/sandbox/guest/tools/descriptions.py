"""Texts about tools: signatures, help, and answers to names that no tool has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

from codemode.sandbox.guest.advice.near import cut_name, listed, near_names
from codemode.sandbox.guest.tools.calling import ToolSpec

__all__ = ["explain_group", "explain_tool", "explain_tools", "no_such_tool", "suggestions"]

_SIGNATURE_CHARACTERS = 160
_SUGGESTED_CHARACTERS = 240
_SMALL = 8
_MOST_LISTED = 50
_MOST_NAMED = 20

_ANY_NAME = ("call", "call_tool", "execute", "invoke", "run", "use")


def shown(spec: ToolSpec) -> str:
    """Return the signature of a tool, with ``await`` where the call needs it."""
    return f"{'await ' * spec.asynchronous}{spec.signature}"


def short(spec: ToolSpec) -> str:
    """Return the signature of a tool, at most 160 characters of it."""
    return cut_name(shown(spec), _SIGNATURE_CHARACTERS)


def suggestions(specs: Sequence[ToolSpec]) -> str:
    """Return the signatures of a few tools, as many as are short enough together."""
    texts: list[str] = []
    for spec in specs:
        text = short(spec)
        if texts and sum(map(len, texts)) + len(text) > _SUGGESTED_CHARACTERS:
            break
        texts.append(text)
    return "; ".join(texts)


def explain_tool(spec: ToolSpec) -> str:
    """Return everything about one tool that ``help`` prints."""
    parts = [shown(spec), inspect.cleandoc(spec.description)]
    if spec.notes:
        parts.append("Arguments:\n" + "\n".join(f"  {note}" for note in spec.notes))
    if spec.records:
        parts.append("Records, which are dicts:\n" + "\n".join(f"  {one}" for one in spec.records))
    if spec.marks:
        parts.append(f"Marks: {', '.join(spec.marks)}")
    return "\n".join(part for part in parts if part)


def summary(spec: ToolSpec) -> str:
    """Return the signature of a tool and the first line of its description."""
    first = spec.description.strip().partition("\n")[0]
    return f"{shown(spec)}{'  # ' * bool(first)}{first}"


def explain_group(name: str, specs: Sequence[ToolSpec]) -> str:
    """Return the tools of one namespace, a line each."""
    lines = [f"{name} has {len(specs)} tool{'s' * (len(specs) != 1)}:"]
    lines += [f"  {summary(spec)}" for spec in specs[:_MOST_LISTED]]
    if len(specs) > _MOST_LISTED:
        lines.append(f'  and {len(specs) - _MOST_LISTED:,} more: tools.search("...") finds them')
    return "\n".join(lines)


def explain_tools(specs: Sequence[ToolSpec]) -> str:
    """Return what ``tools`` is, and its tools."""
    if not specs:
        return "This run has no tools."
    lines = [
        "The tools of this run are functions that are there already, without an import.",
        "help(x) explains one tool or namespace; tools.search(text) finds tools by words.",
    ]
    lines += [f"  {summary(spec)}" for spec in specs[:_MOST_LISTED]]
    if len(specs) > _MOST_LISTED:
        lines.append(f"  and {len(specs) - _MOST_LISTED:,} more")
    return "\n".join(lines)


def no_such_tool(name: str, specs: Mapping[str, ToolSpec]) -> str:
    """Return the message for a full name that no tool has.

    A small namespace is shown with all its tools, and otherwise the nearest names are.
    """
    if name in _ANY_NAME:
        return f"there is no {name}(): {how_to_call(specs)}"
    head = f"there is no tool {cut_name(name)}"
    group, _, last = name.rpartition(".")
    members = [one for one in specs if one.startswith(f"{group}.")] if group else []
    ends = [one[len(group) + 1 :] for one in members]
    # In a namespace, the other names are alike by its own name alone.
    near = [f"{group}.{one}" for one in near_names(last, ends)]
    near += near_names(name, specs, cutoff=1.01 if members else 0.6)
    found = [specs[one] for one in dict.fromkeys(near)][:3]
    if found:
        head += f". Did you mean: {suggestions(found)}?"
    if members and (len(members) <= _SMALL or not found):
        head += f"{'' if found else '.'} {group} has: {listed(ends, _SMALL)}"
        return head if len(members) <= _SMALL else f"{head}; help({group}) lists them"
    if found:
        return head
    if not specs:
        return f"{head}: this run has no tools"
    if len(specs) <= _MOST_NAMED:
        return f"{head}; the tools of this run: {', '.join(specs)}"
    first_parts = list(dict.fromkeys(one.partition(".")[0] for one in specs))
    return f"{head}. There are: {listed(first_parts, _MOST_NAMED)}; tools.search(text) finds more"


def how_to_call(specs: Mapping[str, ToolSpec]) -> str:
    """Return how any tool is called, shown with the first tool of the run."""
    if not specs:
        return "this run has no tools"
    first = next(iter(specs.values()))
    call = f"{'await ' * first.asynchronous}{first.name}(...)"
    return f"tools are functions that are there already: write {call}"
