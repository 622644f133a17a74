"""The closer look at code that seems to have a mistake."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final

from codemode.sandbox.guest.code.places import Place, Places, find_places
from codemode.sandbox.guest.code.problems import MOST_PROBLEMS, Problem, problem_at
from codemode.sandbox.guest.code.survey import Survey
from codemode.sandbox.guest.code.tool_calls import Parameters, complaint
from codemode.sandbox.guest.code.unawaited import (
    NOT_AWAITED,
    RESULT_NOT_AWAITED,
    Misuse,
    is_generator,
    repaired,
)
from codemode.sandbox.guest.code.wording import shorten
from codemode.sandbox.guest.tools.calling import ToolSpec

__all__ = ["Closer", "Known", "Suspicions", "never_called"]

_DICTS_OF_NAMES: Final = frozenset(
    {
        *("__builtins__", "__code__", "__dict__", "__globals__", "_getframe", "f_builtins"),
        *("f_globals", "f_locals", "import_module", "install", "modules", "patch"),
        "FunctionType",
    }
)
"""Attributes by which code may do so."""

_EXAMINERS: Final = frozenset({"TYPE_CHECKING", "dir", "getattr", "hasattr", "tools"})
"""Names by which code may ask whether a name is there before it uses it."""

_OF_VERSIONS: Final = frozenset({"hexversion", "implementation", "platform", "version_info"})
"""Attributes by which code may ask the same of its interpreter."""

_CATCH_NAMES: Final = frozenset({"NameError", "Exception", "BaseException"})
_CATCH_CALLS: Final = frozenset(
    {"InvalidArgumentsError", "ToolError", "TypeError", "Exception", "BaseException"}
)
_CATCH_UNKNOWN: Final = frozenset(
    {
        *("AttributeError", "LookupError", "ToolError", "UnknownToolError"),
        *("Exception", "BaseException"),
    }
)

NAMES_SEARCHED = 500
NAME_CHARACTERS = 100

_stdlib_names = sys.stdlib_module_names
_get_close_matches = get_close_matches


@dataclass(frozen=True, slots=True)
class Known:
    """What the code finds when it begins: its variables, builtins and inputs.

    ``tools`` has the plain names that lead to tools. ``explain`` returns a
    NameError's message with its repair. The look adds to ``hints`` what may be a
    mistake and may be meant.
    """

    names: Mapping[str, Any]
    tools: AbstractSet[str]
    builtins: Mapping[str, Any]
    inputs: Mapping[str, Any]
    session: bool
    explain: Callable[[NameError], str]
    hints: list[str] = field(default_factory=list)


class Suspicions:
    """What seems wrong after the first walk, by the ``id`` of its node."""

    def __init__(self) -> None:
        self.unbound: set[str] = set()
        self.parameters: Parameters = {}
        self.misfits: list[tuple[ast.Call, ToolSpec]] = []
        self.unknown: list[tuple[ast.Call, Exception]] = []
        self.unawaited: dict[int, str] = {}
        self.readers: list[ast.Call] = []
        self.misuses: list[Misuse] = []
        self.loops: list[ast.Call] = []
        self.uncalled: list[ast.AsyncFunctionDef] = []

    def __bool__(self) -> bool:
        return bool(
            self.unbound
            or self.misfits
            or self.unknown
            or self.misuses
            or self.loops
            or self.uncalled
        )


class Closer:
    """The judge of what seems wrong: it reports what is certain."""

    def __init__(
        self, tree: ast.Module, found: Survey, known: Known, suspicions: Suspicions
    ) -> None:
        self._tree = tree
        self._found = found
        self._known = known
        self._suspicions = suspicions
        self._loads = _first_loads(tree, suspicions.unbound) if suspicions.unbound else []
        wanted = {id(node) for node in self._loads}
        wanted.update(id(call) for call, _ in suspicions.misfits)
        wanted.update(id(call) for call, _ in suspicions.unknown)
        wanted.update(id(one.call) for one in suspicions.misuses)
        wanted.update(map(id, suspicions.loops))
        self._places: Places = find_places(tree, wanted, found)

    def problems(self) -> Iterator[Problem]:
        """Yield what is certain."""
        if not self._places.attributes.isdisjoint(_DICTS_OF_NAMES):
            return
        for found in (
            self._unbound(),
            self._wrong_calls(),
            self._unknown_tools(),
            self._unawaited(),
            self._nested_loops(),
            self._uncalled(),
        ):
            # Each finds its problems in the order of the code, and words cost time.
            yield from islice(found, MOST_PROBLEMS)

    def _unbound(self) -> Iterator[Problem]:
        reported: set[str] = set()
        for node in self._loads:
            place = self._places.of.get(id(node))
            if place is None or node.id in reported:
                continue
            if place.own_names or self._places.may_be_caught(node, _CATCH_NAMES):
                continue
            if self._is_examined(place):
                continue
            reported.add(node.id)
            yield problem_at(node, "NameError", self._undefined(node.id))

    def _is_examined(self, place: Place) -> bool:
        """Return whether the code may have asked for a name before it comes to the place."""
        return place.conditional and not (
            _EXAMINERS.isdisjoint(self._found.loads)
            and _OF_VERSIONS.isdisjoint(self._places.attributes)
        )

    def _undefined(self, name: str) -> str:
        plain = f"name {name!r} is not defined"
        text = self._known.explain(NameError(plain, name=name))
        if text != plain:
            return text
        if name in _stdlib_names:
            return f"{plain}: write import {name}"
        candidates = [*self._found.bound, *self._known.inputs, *self._known.names][:NAMES_SEARCHED]
        texts = [one for one in candidates if isinstance(one, str)]
        near = _get_close_matches(name[:NAME_CHARACTERS], texts, 1)
        return f"{plain}. Did you mean: {near[0]!r}?" if near else plain

    def _wrong_calls(self) -> Iterator[Problem]:
        parameters = self._suspicions.parameters
        for call, spec in sorted(self._suspicions.misfits, key=lambda one: _position(one[0])):
            if not self._places.may_be_caught(call, _CATCH_CALLS):
                yield problem_at(call, "InvalidArgumentsError", complaint(spec, call, parameters))

    def _unknown_tools(self) -> Iterator[Problem]:
        for call, error in sorted(self._suspicions.unknown, key=lambda one: _position(one[0])):
            place = self._places.of[id(call)]
            if not self._is_examined(place) and not self._places.may_be_caught(
                call, _CATCH_UNKNOWN
            ):
                yield problem_at(call, type(error).__name__, str(error))

    def _unawaited(self) -> Iterator[Problem]:
        generators: dict[str, bool] = {}
        own = {one.name: one for one in self._found.async_functions}
        for misuse in sorted(self._suspicions.misuses, key=lambda one: _position(one.call)):
            name = self._suspicions.unawaited[id(misuse.call)]
            if name in own and name not in generators:
                generators[name] = is_generator(own[name])
            place = self._places.of[id(misuse.call)]
            is_result = misuse.type == RESULT_NOT_AWAITED
            if generators.get(name) or (is_result and place.function is not None):
                continue
            caught = {misuse.type, *_CATCH_CALLS} if misuse.raises else set[str]()
            if misuse.raises and self._places.may_be_caught(misuse.call, caught):
                continue
            yield problem_at(misuse.call, misuse.type, repaired(misuse, name, place))

    def _nested_loops(self) -> Iterator[Problem]:
        for call in self._suspicions.loops:
            place = self._places.of[id(call)]
            # A branch or a handler may be there for code without a running loop.
            certain = place.function is None and not place.conditional
            if certain and not self._places.may_be_caught(
                call, {"RuntimeError", "Exception", "BaseException"}
            ):
                main = ast.unparse(call.args[0]) if call.args else "main()"
                yield problem_at(
                    call,
                    "RuntimeError",
                    "asyncio.run() cannot be called beside an await outside functions: "
                    f"write {shorten(f'await {main}')}",
                )

    def _uncalled(self) -> Iterator[Problem]:
        for function in self._suspicions.uncalled:
            yield problem_at(function, NOT_AWAITED, never_called(function))


def never_called(function: ast.AsyncFunctionDef) -> str:
    """Return the message on the only function of code that calls nothing."""
    given = function.args
    takes = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    call = f"{function.name}({'...' if takes else ''})"
    return f"{function.name}() is defined but never called: end the code with await {call}"


def _first_loads(tree: ast.Module, names: Iterable[str]) -> list[ast.Name]:
    """Return the nodes that read these names, in the order of the code."""
    wanted = frozenset(names)
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in wanted and isinstance(node.ctx, ast.Load)
    ]
    return sorted(nodes, key=_position)


def _position(node: Any) -> tuple[int, int]:
    return node.lineno, node.col_offset
