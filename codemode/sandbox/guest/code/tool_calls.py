"""Calls of tools in a syntax tree: which tool, and whether it takes the arguments."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches
from types import FunctionType
from typing import Any, Final

from codemode.sandbox.guest.code.wording import (
    given_twice,
    too_many_by_position,
    wrong_arguments,
)
from codemode.sandbox.guest.tools.calling import ToolSpec
from codemode.sandbox.guest.tools.lazy import LazyNamespace, LazyTools
from codemode.sandbox.guest.tools.tool_errors import failure_of
from codemode.sandbox.guest.tools.toolbox import Namespace, Tool, Tools

__all__ = ["CONTAINERS", "Parameters", "ToolCalls", "complaint", "takes"]

_Attribute = ast.Attribute
_Constant = ast.Constant
_Name = ast.Name
_Starred = ast.Starred
_Subscript = ast.Subscript
_find_tokens = re.compile(r"""\w+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\*+|[\[({\])},=]""").findall
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")
_get_close_matches = get_close_matches

CONTAINERS: Final = (Namespace, LazyNamespace, Tools, LazyTools, Tool)
"""The types of what has tools as attributes."""

NAME_CHARACTERS = 100


class ToolCalls:
    """A finder of the tools that nodes refer to, by the names as they are when the run begins.

    A name that the code binds, or whose attributes it changes, is nobody's,
    unless it is ``imported``; so is an attribute of a name that it assigns to any
    object, which may be the same under another name. Where there are many tools,
    theirs are among the ``builtins``.
    """

    def __init__(
        self,
        names: Mapping[str, Any],
        builtins: Mapping[str, Any],
        rebound: Container[str | None],
        changed: Container[str],
        assigned: AbstractSet[str],
        imported: Mapping[str, Any],
    ) -> None:
        self._names = names
        self._builtins = builtins
        self._rebound = rebound
        self._changed = changed
        self._assigned = assigned
        self._imported = imported

    def of(self, node: Any) -> ToolSpec | None:
        """Return the spec of the tool that a call calls. Raises AttributeError, LookupError."""
        kind = type(node)
        if kind is _Name:
            return _spec(self._value(node.id))
        if kind is not _Attribute:
            return _spec(self._item(node)) if kind is _Subscript else None
        path: list[str] = []
        while type(node) is _Attribute:
            path.append(node.attr)
            node = node.value
        if not self._assigned.isdisjoint(path):
            return None
        found = self._value(node.id) if type(node) is _Name else self._item(node)
        for step in reversed(path):
            if type(found) not in CONTAINERS:
                return None
            found = getattr(found, step)
        return _spec(found)

    def _value(self, name: str) -> Any:
        if name in self._rebound or name in self._changed:
            return None
        if name in self._imported:
            return self._imported[name]
        return self._names[name] if name in self._names else self._builtins.get(name)

    def _item(self, node: Any) -> Any:
        """Return what ``tools["orders.get"]`` stands for."""
        if type(node) is not _Subscript or type(node.value) is not _Name:
            return None
        tools = self._value(node.value.id)
        if type(tools) not in (Tools, LazyTools) or type(node.slice) is not _Constant:
            return None
        name: Any = node.slice.value
        return tools[name]


def _spec(found: Any) -> ToolSpec | None:
    if type(found) is Tool:
        found = found.__dict__.get("run")
    spec = found.__dict__.get("spec") if type(found) is FunctionType else None
    return spec if type(spec) is ToolSpec and not spec.hidden else None


@dataclass(frozen=True, slots=True)
class _Parameters:
    names: Sequence[str]
    required: Sequence[str]
    extra: bool


Parameters = dict[str, _Parameters | None]
"""The parameters of tools by name, None where the signature does not tell them."""


def takes(spec: ToolSpec, call: ast.Call, known: Parameters) -> bool:
    """Return whether a tool takes the arguments that a call writes out, or may do so.

    ``known`` keeps the parameters of tools for the next call.
    """
    for argument in call.args:
        if type(argument) is _Starred:
            return True
    keywords: list[str] = []
    for keyword in call.keywords:
        if keyword.arg is None:
            return True
        keywords.append(keyword.arg)
    every = len(call.args) + len(keywords) == len(spec.positional) and "*" not in spec.signature
    if every and {*spec.positional[: len(call.args)], *keywords} == set(spec.positional):
        # Quick, and the usual case: the call has each parameter once.
        return True
    if spec.name not in known:
        known[spec.name] = _parameters(spec.signature)
    parameters = known[spec.name]
    given = spec.positional[: len(call.args)]
    return parameters is None or (
        len(given) == len(call.args) and _fits(parameters, given, keywords)
    )


def complaint(spec: ToolSpec, call: ast.Call, known: Parameters) -> str:
    """Return what is wrong with the arguments of a call that the tool does not take."""
    parameters = known[spec.name]
    if parameters is None:
        return ""
    keywords = [keyword.arg for keyword in call.keywords if keyword.arg is not None]
    given = spec.positional[: len(call.args)]
    problems = list(_problems(spec, parameters, len(call.args), given, keywords))
    message = wrong_arguments(problems, spec.signature)
    return str(failure_of(spec.name, spec.signature, "invalid_arguments", "", message))


def _fits(parameters: _Parameters, given: Sequence[str], keywords: Sequence[str]) -> bool:
    names = {*given, *keywords}
    return (
        len(names) == len(given) + len(keywords)
        and names.issuperset(parameters.required)
        and (parameters.extra or names.issubset(parameters.names))
    )


def _problems(
    spec: ToolSpec,
    parameters: _Parameters,
    count: int,
    given: Sequence[str],
    keywords: Iterable[str],
) -> Iterator[str]:
    most = len(spec.positional)
    if count > most:
        yield too_many_by_position(spec.name, most, count)
    twice = [name for name in keywords if name in given]
    for name in twice:
        yield given_twice(spec.name, name)
    unknown = [name for name in keywords if name not in parameters.names]
    intended: set[str] = set()
    for name in [] if parameters.extra else unknown[:3]:
        near = _get_close_matches(name[:NAME_CHARACTERS], parameters.names, 1)
        intended.update(near)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        yield f"there is no argument {name[:NAME_CHARACTERS]!r}{meant}"
    for name in parameters.required:
        if name not in given and name not in keywords and name not in intended:
            yield f"argument {name!r} is missing"


def _parameters(signature: str) -> _Parameters | None:
    """Return the parameters in a signature such as ``get(id: int, *, full=False) -> Order``.

    Tokens suffice for that, and take a third of the time of Python's parser.
    """
    names: list[str] = []
    optional: set[str] = set()
    depth, stars, begins, extra = 0, "", False, False
    for part in _find_tokens(signature, max(signature.find("("), 0)):
        if part in _OPENING:
            depth += 1
            begins = begins or depth == 1
        elif part in _CLOSING:
            depth -= 1
            if depth == 0:
                return _Parameters(names, [one for one in names if one not in optional], extra)
        elif depth != 1:
            continue
        elif part == ",":
            begins, stars = True, ""
        elif part == "=":
            optional.add(names[-1])
        elif begins and part[0] == "*":
            stars = part
        elif begins:
            begins = False
            if stars == "*":
                return None
            extra = extra or stars == "**"
            if not stars:
                names.append(part)
    return None
