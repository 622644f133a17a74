"""The look at code before its run: mistakes that are certain, told with their repair.

A mistake is certain when Python would raise it, or would never make a call,
wherever the code is executed. The look therefore reports nothing of a name that
could be bound in a way that the syntax tree does not show, and nothing that the
code may catch. One walk finds what the tree has; only code that seems to have a
mistake is looked at more closely.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from codemode.sandbox.guest.code.places import Place, Places, find_places
from codemode.sandbox.guest.code.problems import MOST_PROBLEMS, Problem, problem_at
from codemode.sandbox.guest.code.survey import Survey, children, survey
from codemode.sandbox.guest.code.tool_calls import ToolCalls, complaint
from codemode.sandbox.guest.code.unawaited import (
    NOT_AWAITED,
    READERS,
    RESULT_NOT_AWAITED,
    Misuse,
    is_generator,
    misuses,
    repaired,
)
from codemode.sandbox.guest.code.wording import shorten

__all__ = ["Known", "Sight", "look"]

_BINDERS_AT_RUN_TIME: Final = frozenset(
    {
        *("FunctionType", "__builtins__", "__import__", "builtins", "compile", "ctypes", "delattr"),
        *("eval", "exec", "gc", "globals", "locals", "mock", "patch", "runpy", "setattr", "vars"),
    }
)
"""Names by which code may bind other names unseen."""

_DICTS_OF_NAMES: Final = frozenset(
    {
        *("__builtins__", "__code__", "__dict__", "__globals__", "_getframe", "f_builtins"),
        *("f_globals", "f_locals", "modules", "patch", "FunctionType"),
    }
)
"""Attributes by which code may do so."""

_EXAMINERS: Final = frozenset({"TYPE_CHECKING", "dir", "getattr", "hasattr", "tools"})
"""Names by which code may ask whether a name is there before it uses it."""

_OF_VERSIONS: Final = frozenset({"hexversion", "implementation", "platform", "version_info"})
"""Attributes by which code may ask the same of its interpreter."""

_DEFINITIONS: Final = (
    *(ast.AnnAssign, ast.AsyncFunctionDef, ast.ClassDef, ast.FunctionDef, ast.Import),
    *(ast.ImportFrom, ast.Pass),
)

_AWAITING: Final = (ast.Await, ast.AsyncFor, ast.AsyncWith)
_FUNCTIONS: Final = (ast.AsyncFunctionDef, ast.FunctionDef, ast.GeneratorExp, ast.Lambda)

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
    NameError's message with its repair.
    """

    names: Mapping[str, Any]
    tools: Container[str]
    builtins: Mapping[str, Any]
    inputs: Mapping[str, Any]
    session: bool
    explain: Callable[[NameError], str]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look finds: problems, and the awaits whose value may be that of a sync tool."""

    problems: list[Problem]
    awaits: list[ast.Await]


class _Suspicions:
    """What seems wrong after the first walk, by the ``id`` of its node."""

    def __init__(self) -> None:
        self.unbound: set[str] = set()
        self.complaints: list[tuple[ast.Call, str]] = []
        self.unknown: list[tuple[ast.Call, Exception]] = []
        self.unawaited: dict[int, str] = {}
        self.readers: list[ast.Call] = []
        self.misuses: list[Misuse] = []
        self.loops: list[ast.Call] = []
        self.uncalled: list[ast.AsyncFunctionDef] = []

    def __bool__(self) -> bool:
        return bool(
            self.unbound
            or self.complaints
            or self.unknown
            or self.misuses
            or self.loops
            or self.uncalled
        )


def look(tree: ast.Module, known: Known) -> Sight:
    """Look at the tree of a module. Needs time in proportion to it."""
    found = survey(tree)
    functions = _own_async_functions(found)
    suspicions = _Suspicions()
    suspicions.unbound = _unbound(found, known)
    plain_awaits = _look_at_calls(found, functions, known, suspicions)
    if suspicions.unawaited:
        suspicions.misuses = list(misuses(found, suspicions.unawaited, suspicions.readers, tree))
    if suspicions.loops and not _awaits_at_top(tree):
        suspicions.loops = []
    if not known.session and functions:
        suspicions.uncalled = _uncalled(tree, found, functions)
    problems: list[Problem] = []
    if suspicions and not _binds_unseen(found):
        problems = list(_Closer(tree, found, known, suspicions).problems())
    return Sight(problems, plain_awaits)


def _own_async_functions(found: Survey) -> dict[str, ast.AsyncFunctionDef]:
    """Return the functions by name that only one ``async def`` without decorators binds."""
    functions: dict[str, ast.AsyncFunctionDef] = {}
    for function in found.async_functions:
        name = function.name
        if name in functions or function.decorator_list:
            found.bound.add(name)
        functions[name] = function
    return {name: one for name, one in functions.items() if name not in found.bound}


def _unbound(found: Survey, known: Known) -> set[str]:
    if "*" in found.bound:
        return set()
    left = found.loads.difference(found.bound).difference(known.names).difference(known.builtins)
    if left:
        left.difference_update(known.inputs)
        left.difference_update([function.name for function in found.async_functions])
        left = {name for name in left if not name.startswith("__")}
    return left


def _look_at_calls(
    found: Survey,
    functions: Mapping[str, ast.AsyncFunctionDef],
    known: Known,
    suspicions: _Suspicions,
) -> list[ast.Await]:
    """Note suspicious calls; return the awaits of values that may come from a sync tool."""
    awaited = {id(one.value) for one in found.awaits}
    rebound = found.bound.union(known.inputs)
    rebound.update(functions)
    tools = ToolCalls(known.names, rebound, found.changed)
    parameters: dict[str, Any] = {}
    async_calls: set[int] = set()
    roots = known.tools
    for call in found.calls:
        function = call.func
        kind = type(function)
        if kind is ast.Name:
            if function.id in functions:
                async_calls.add(id(call))
                if id(call) not in awaited:
                    suspicions.unawaited[id(call)] = function.id
                continue
            if function.id not in roots:
                if function.id in READERS:
                    suspicions.readers.append(call)
                continue
        elif (
            kind is ast.Attribute
            and type(function.value) is ast.Name
            and function.value.id not in roots
        ):
            # Quick, and the usual case: a method of a variable.
            if function.attr == "run" and function.value.id == "asyncio":
                suspicions.loops.append(call)
            continue
        try:
            spec = tools.of(function)
        except (AttributeError, LookupError) as error:
            suspicions.unknown.append((call, error))
            continue
        if spec is None:
            continue
        wrong = complaint(spec, call, parameters)
        if wrong is not None:
            suspicions.complaints.append((call, wrong))
        if spec.asynchronous:
            async_calls.add(id(call))
            if id(call) not in awaited:
                suspicions.unawaited[id(call)] = spec.name
    return [
        one for one in found.awaits if id(one.value) not in async_calls and not _of_asyncio(one)
    ]


def _awaits_at_top(tree: ast.Module) -> bool:
    """Return whether code outside functions awaits, so that it runs in a loop."""
    waiting: list[Any] = list(tree.body)
    while waiting:
        node = waiting.pop()
        kind = type(node)
        if kind in _AWAITING or (kind is ast.comprehension and node.is_async):
            return True
        if kind not in _FUNCTIONS:
            waiting += children(node)
    return False


def _of_asyncio(node: ast.Await) -> bool:
    """Return whether the awaited value is that of a function of asyncio."""
    call = node.value
    return (
        type(call) is ast.Call
        and type(call.func) is ast.Attribute
        and type(call.func.value) is ast.Name
        and call.func.value.id == "asyncio"
    )


def _uncalled(
    tree: ast.Module, found: Survey, functions: Mapping[str, ast.AsyncFunctionDef]
) -> list[ast.AsyncFunctionDef]:
    """Return the function for which code that consists of definitions seems to be written."""
    *others, last = tree.body
    if isinstance(last, ast.Expr) or "result" in found.bound:
        return []
    for statement in tree.body:
        constant = isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not (constant or text or isinstance(statement, _DEFINITIONS)):
            return []
    return [
        one
        for name, one in functions.items()
        if name not in found.loads and (one is last or (name == "main" and one in others))
    ][:1]


def _binds_unseen(found: Survey) -> bool:
    return not _BINDERS_AT_RUN_TIME.isdisjoint(found.loads) or not found.bound.isdisjoint(
        ("__main__", "*", "builtins")
    )


class _Closer:
    """The closer look at code that seems to have a mistake."""

    def __init__(
        self, tree: ast.Module, found: Survey, known: Known, suspicions: _Suspicions
    ) -> None:
        self._tree = tree
        self._found = found
        self._known = known
        self._suspicions = suspicions
        self._loads = _first_loads(tree, suspicions.unbound) if suspicions.unbound else []
        wanted = {id(node) for node in self._loads}
        wanted.update(id(call) for call, _ in suspicions.complaints)
        wanted.update(id(call) for call, _ in suspicions.unknown)
        wanted.update(id(one.call) for one in suspicions.misuses)
        wanted.update(map(id, suspicions.loops))
        self._places: Places = find_places(tree, wanted, found)

    def problems(self) -> Iterator[Problem]:
        """Yield what is certain."""
        if not self._places.attributes.isdisjoint(_DICTS_OF_NAMES):
            return
        yield from self._unbound()
        yield from self._wrong_calls()
        yield from self._unknown_tools()
        yield from self._unawaited()
        yield from self._nested_loops()
        yield from self._uncalled()

    def _unbound(self) -> Iterator[Problem]:
        told: set[str] = set()
        for node in self._loads:
            place = self._places.of.get(id(node))
            if place is None or node.id in told or len(told) >= MOST_PROBLEMS:
                continue
            if place.own_names or self._places.may_be_caught(node, _CATCH_NAMES):
                continue
            if self._is_examined(place):
                continue
            told.add(node.id)
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
        for call, text in self._suspicions.complaints:
            if not self._places.may_be_caught(call, _CATCH_CALLS):
                yield problem_at(call, "InvalidArgumentsError", text)

    def _unknown_tools(self) -> Iterator[Problem]:
        for call, error in self._suspicions.unknown:
            place = self._places.of[id(call)]
            if not self._is_examined(place) and not self._places.may_be_caught(
                call, _CATCH_UNKNOWN
            ):
                yield problem_at(call, type(error).__name__, str(error))

    def _unawaited(self) -> Iterator[Problem]:
        generators: dict[str, bool] = {}
        own = {one.name: one for one in self._found.async_functions}
        for misuse in self._suspicions.misuses:
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
            if place.function is None and not self._places.may_be_caught(
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
            given = function.args
            takes = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            call = f"{function.name}({'...' if takes else ''})"
            yield problem_at(
                function,
                NOT_AWAITED,
                f"{function.name}() is defined but never called: end the code with await {call}",
            )


def _first_loads(tree: ast.Module, names: Iterable[str]) -> list[ast.Name]:
    """Return the nodes that read these names, in the order of the code."""
    wanted = frozenset(names)
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in wanted and isinstance(node.ctx, ast.Load)
    ]
    return sorted(nodes, key=lambda node: (node.lineno, node.col_offset))
