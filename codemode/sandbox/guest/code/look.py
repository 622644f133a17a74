"""The look at code before its run: mistakes that are certain, reported with their repair.

A mistake is certain when Python would raise it, or would never make a call,
wherever the code is executed. The look therefore reports nothing of a name that
could be bound in a way that the syntax tree does not show, and nothing that the
code may catch. One walk finds what the tree has; only code that seems to have a
mistake is looked at more closely.
"""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from codemode.sandbox.guest.code.closer import Closer, Known, Suspicions, never_called
from codemode.sandbox.guest.code.problems import Problem
from codemode.sandbox.guest.code.survey import Survey, children, statements, survey
from codemode.sandbox.guest.code.tool_calls import ToolCalls, takes
from codemode.sandbox.guest.code.tool_imports import bind_imports
from codemode.sandbox.guest.code.unawaited import READERS, misuses

__all__ = ["Known", "Sight", "look"]

_Attribute = ast.Attribute
_Name = ast.Name
_run = asyncio.run

_BINDERS_AT_RUN_TIME: Final = frozenset(
    {
        *("FunctionType", "__builtins__", "__import__", "builtins", "compile", "ctypes", "delattr"),
        *("eval", "exec", "gc", "globals", "import_module", "locals", "mock", "patch", "runpy"),
        *("setattr", "vars"),
    }
)
"""Names by which code may bind other names unseen."""

_DEFINITIONS: Final = (
    *(ast.AsyncFunctionDef, ast.ClassDef, ast.FunctionDef, ast.Import, ast.ImportFrom),
    ast.Pass,
)

_AWAITING: Final = (ast.Await, ast.AsyncFor, ast.AsyncWith)
_FUNCTIONS: Final = (ast.AsyncFunctionDef, ast.FunctionDef, ast.GeneratorExp, ast.Lambda)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look finds: problems, and the awaits whose value may be that of a sync tool."""

    problems: list[Problem]
    awaits: list[ast.Await]


def look(tree: ast.Module, known: Known) -> Sight:
    """Look at the tree of a module. Needs time in proportion to it."""
    found = survey(tree)
    imported = bind_imports(found, known) if found.imports else {}
    functions = _own_async_functions(tree, found)
    suspicions = Suspicions()
    suspicions.unbound = _unbound(found, imported, known)
    plain_awaits = _look_at_calls(found, functions, imported, known, suspicions)
    if suspicions.unawaited:
        suspicions.misuses = list(misuses(found, suspicions.unawaited, suspicions.readers, tree))
    if suspicions.loops and (_may_nest_loops(found) or not _awaits_at_top(tree)):
        suspicions.loops = []
    uncalled = _uncalled(tree, found, functions) if functions else []
    if not known.session:
        suspicions.uncalled = uncalled
    else:
        # A later run of the session may call it.
        known.hints.extend(map(never_called, uncalled))
    problems: list[Problem] = []
    if suspicions and not _binds_unseen(found):
        problems = list(Closer(tree, found, known, suspicions).problems())
    return Sight(problems, plain_awaits)


def _own_async_functions(tree: ast.Module, found: Survey) -> dict[str, ast.AsyncFunctionDef]:
    """Return the functions outside classes and functions that one ``async def`` alone binds."""
    functions: dict[str, ast.AsyncFunctionDef] = {}
    if not found.async_functions:
        return functions
    outside = {id(one) for one in statements(tree) if type(one) is ast.AsyncFunctionDef}
    for function in found.async_functions:
        name = function.name
        if name in functions or function.decorator_list or id(function) not in outside:
            found.bound.add(name)
        functions[name] = function
    return {name: one for name, one in functions.items() if name not in found.bound}


def _unbound(found: Survey, imported: Mapping[str, Any], known: Known) -> set[str]:
    if "*" in found.bound:
        return set()
    left = found.loads.difference(found.bound).difference(known.names).difference(known.builtins)
    if left:
        left.difference_update(known.inputs)
        left.difference_update(imported)
        left.difference_update([function.name for function in found.async_functions])
        # Python's own names, and names such as _Class__name, which it writes as __name.
        left = {name for name in left if not (name.startswith("_") and "__" in name)}
    return left


def _look_at_calls(
    found: Survey,
    functions: Mapping[str, ast.AsyncFunctionDef],
    imported: Mapping[str, Any],
    known: Known,
    suspicions: Suspicions,
) -> list[ast.Await]:
    """Note suspicious calls; return the awaits of values that may come from a sync tool."""
    awaited = {id(one.value) for one in found.awaits}
    rebound = found.bound.union(known.inputs)
    rebound.update(functions)
    tools = ToolCalls(
        known.names, known.builtins, rebound, found.changed, found.attributes, imported
    )
    async_calls: set[int] = set()
    roots = known.tools | imported.keys() if imported else known.tools
    for call in found.calls:
        function: Any = call.func
        kind = type(function)
        if kind is _Name:
            name = function.id
            if name in functions:
                async_calls.add(id(call))
                if id(call) not in awaited:
                    suspicions.unawaited[id(call)] = name
                continue
            if name not in roots:
                if name in READERS and name not in known.names:
                    suspicions.readers.append(call)
                continue
        elif kind is _Attribute and type(owner := function.value) is _Name:
            name = owner.id
            if name not in roots:
                # Quick, and the usual case: a method of a variable.
                if name == "asyncio" and function.attr == "run":
                    suspicions.loops.append(call)
                continue
        try:
            spec = tools.of(function)
        except (AttributeError, LookupError) as error:
            suspicions.unknown.append((call, error))
            continue
        if spec is None:
            continue
        if not takes(spec, call, suspicions.parameters):
            suspicions.misfits.append((call, spec))
        if spec.asynchronous:
            async_calls.add(id(call))
            if id(call) not in awaited:
                suspicions.unawaited[id(call)] = spec.name
    return [
        one for one in found.awaits if id(one.value) not in async_calls and not _of_asyncio(one)
    ]


def _may_nest_loops(found: Survey) -> bool:
    """Return whether ``asyncio.run`` may be another function than Python's."""
    return (
        getattr(asyncio, "run", None) is not _run
        or "run" in found.attributes
        or "nest_asyncio" in found.bound
        or any(getattr(one, "module", "") == "nest_asyncio" for one in found.imports)
    )


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
    modules = {alias.asname or alias.name for one in found.imports for alias in one.names}
    for statement in tree.body:
        constant = isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(
            statement.value, ast.Constant | None
        )
        text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not (constant or text or isinstance(statement, _DEFINITIONS)):
            return []
        # A decorator of the code itself may call what it decorates.
        if any(_root(one) not in modules for one in getattr(statement, "decorator_list", ())):
            return []
    return [
        one
        for name, one in functions.items()
        if name not in found.loads and (one is last or (name == "main" and one in others))
    ][:1]


def _root(node: Any) -> str:
    """Return ``functools`` of ``functools.lru_cache(10)``."""
    while not isinstance(node, ast.Name):
        node = node.func if isinstance(node, ast.Call) else getattr(node, "value", None)
        if node is None:
            return ""
    return node.id


def _binds_unseen(found: Survey) -> bool:
    return not _BINDERS_AT_RUN_TIME.isdisjoint(found.loads) or not found.bound.isdisjoint(
        ("__main__", "*", "builtins")
    )
