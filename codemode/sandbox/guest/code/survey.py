"""The names, calls and awaits of a syntax tree, found in one walk."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final

__all__ = ["Survey", "children", "survey"]

# Captured at import: the executed code may change the module `ast`.
_Attribute = ast.Attribute
_Call = ast.Call
_Constant = ast.Constant
_Load = ast.Load
_Name = ast.Name

_NOT_CHILDREN: Final = frozenset(
    {
        # Operators, contexts, names and flags.
        *("ctx", "op", "ops", "kind", "type_comment", "type_ignores", "id", "attr", "arg"),
        *("names", "module", "level", "simple", "is_async", "conversion", "rest", "kwd_attrs"),
        *("str", "tag", "lineno"),
        # Python evaluates these late or never, depending on its version.
        *("annotation", "returns", "type_params"),
    }
)
"""Fields of nodes that the walk does not enter."""

_LEAVES: Final = (
    *(ast.Constant, ast.Global, ast.Import, ast.ImportFrom, ast.MatchSingleton, ast.MatchStar),
    *(ast.Nonlocal, ast.Pass, ast.Break, ast.Continue),
)

_USES: Final = (
    *(ast.Assert, ast.Assign, ast.AsyncFor, ast.AugAssign, ast.BinOp, ast.BoolOp, ast.Compare),
    *(ast.comprehension, ast.Expr, ast.For, ast.FormattedValue, ast.If, ast.IfExp, ast.Return),
    *(ast.Starred, ast.Subscript, ast.UnaryOp, ast.While),
)
"""Nodes that do something with a value, which they cannot do with a coroutine."""

Getter = Callable[[Any], Iterable[Any]]


def _one(field: str) -> Getter:
    get = attrgetter(field)
    return lambda node: (get(node),)


def _getter(kind: type[ast.AST]) -> Getter | None:
    fields = [field for field in kind._fields if field not in _NOT_CHILDREN]
    if kind is not ast.TypeAlias and "name" in fields:
        fields.remove("name")
    if kind is ast.TypeAlias:
        fields = ["name"]
    if kind in _LEAVES or not fields:
        return None
    return attrgetter(*fields) if len(fields) > 1 else _one(fields[0])


def _bound_by_names(node: Any) -> Iterable[str]:
    return list(node.names)


def _bound_by_import(node: Any) -> Iterable[str]:
    return [alias.asname or alias.name.partition(".")[0] for alias in node.names]


def _bound_by_name(node: Any) -> Iterable[str | None]:
    return (node.name,)


Binder = Callable[[Any], Iterable[str | None]]

_BINDERS: Final[dict[type[ast.AST], Binder]] = {
    ast.arg: lambda node: (node.arg,),
    ast.ClassDef: _bound_by_name,
    ast.ExceptHandler: _bound_by_name,
    ast.FunctionDef: _bound_by_name,
    ast.Global: _bound_by_names,
    ast.Import: _bound_by_import,
    ast.ImportFrom: _bound_by_import,
    ast.MatchAs: _bound_by_name,
    ast.MatchMapping: lambda node: (node.rest,),
    ast.MatchStar: _bound_by_name,
    ast.Nonlocal: _bound_by_names,
}
_PARAMETRISED: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.TypeAlias)

_USE, _USE_IN_LISTS, _AWAIT, _ASYNC_FUNCTION = 1, 2, 3, 4


def _with_type_parameters(binder: Binder | None) -> Binder:
    def bound(node: Any) -> Iterable[str | None]:
        names = [one.name for one in node.type_params]
        return [*names, *binder(node)] if binder else names

    return bound


def _plan(kind: type[ast.AST]) -> tuple[Getter | None, Binder | None, int]:
    binder = _BINDERS.get(kind)
    if kind in _PARAMETRISED:
        binder = _with_type_parameters(binder)
    listed = _LISTED.get(kind) or (_USE if kind in _USES else 0)
    return _getter(kind), binder, listed


_LISTED: Final = {
    ast.AsyncFunctionDef: _ASYNC_FUNCTION,
    ast.Await: _AWAIT,
    ast.BoolOp: _USE_IN_LISTS,
    ast.Compare: _USE_IN_LISTS,
}


def _kinds(kind: type[ast.AST]) -> Iterable[type[ast.AST]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds(one)


_PLANS: Final[dict[type, tuple[Getter | None, Binder | None, int]]] = {
    kind: _plan(kind) for kind in _kinds(ast.AST)
}
"""Of each kind of node: its children, the names it binds, and the list that it belongs to."""

_NO_PLAN: Final = (None, None, 0)
_PLANS[type(None)] = _NO_PLAN  # stands in lists of children for what is left out


class Survey:
    """What one walk of a syntax tree found.

    ``loads`` has the names that are read. ``bound`` has the names that anything
    but an ``async def`` binds, in any scope, with ``*`` for a star import.
    ``changed`` has the names of which an attribute is assigned or deleted.
    ``uses`` has calls, each with the node above it that may do something with
    its value that a coroutine cannot do.
    """

    __slots__ = ("async_functions", "awaits", "bound", "calls", "changed", "loads", "uses")

    def __init__(self) -> None:
        self.loads: set[str] = set()
        self.bound: set[str | None] = set()
        self.changed: set[str] = set()
        self.async_functions: list[ast.AsyncFunctionDef] = []
        self.awaits: list[ast.Await] = []
        self.calls: list[ast.Call] = []
        self.uses: list[tuple[ast.Call, ast.AST]] = []


def survey(tree: ast.AST) -> Survey:
    """Walk the tree once and return what is in it. Linear, without recursion."""
    found = Survey()
    load, bind, use, called = (
        found.loads.add,
        found.bound.add,
        found.uses.append,
        found.calls.append,
    )
    stack: list[Any] = [tree]
    pop, push, extend = stack.pop, stack.append, stack.extend
    # Local variables: this loop decides how long the look takes.
    name_kind, attribute_kind, call_kind, constant_kind = _Name, _Attribute, _Call, _Constant
    load_kind, plans, in_lists = _Load, _PLANS, _USE_IN_LISTS
    while stack:
        node = pop()
        kind = type(node)
        if kind is name_kind:
            if type(node.ctx) is load_kind:
                load(node.id)
            else:
                bind(node.id)
        elif kind is constant_kind:
            continue
        elif kind is attribute_kind:
            value = node.value
            below = type(value)
            if below is name_kind:
                load(value.id)
                if type(node.ctx) is not load_kind:
                    found.changed.add(value.id)
            else:
                if below is call_kind:
                    use((value, node))
                push(value)
        elif kind is call_kind:
            called(node)
            function = node.func
            if type(function) is name_kind:
                load(function.id)
            else:
                push(function)
            if node.args:
                extend(node.args)
            for keyword in node.keywords:
                push(keyword.value)
        else:
            getter, binder, listed = plans[kind]
            if binder is not None:
                for name in binder(node):
                    bind(name)
            if not listed:
                if getter is not None:
                    for child in getter(node):
                        below = type(child)
                        if below is list:
                            if child:
                                extend(child)
                        elif below is name_kind:
                            if type(child.ctx) is load_kind:
                                load(child.id)
                            else:
                                bind(child.id)
                        elif child is not None:
                            push(child)
                continue
            for child in getter(node):
                below = type(child)
                if below is name_kind:
                    if type(child.ctx) is load_kind:
                        load(child.id)
                    else:
                        bind(child.id)
                elif below is call_kind:
                    if listed <= in_lists:
                        use((child, node))
                    push(child)
                elif below is constant_kind:
                    continue
                elif below is list:
                    extend(child)
                    if listed == in_lists:
                        for one in child:
                            if type(one) is call_kind:
                                use((one, node))
                elif child is not None:
                    push(child)
            if listed == _AWAIT:
                found.awaits.append(node)
            elif listed == _ASYNC_FUNCTION:
                found.async_functions.append(node)
    return found


def children(node: Any) -> list[Any]:
    """Return the nodes directly below a node, as far as the survey enters them."""
    kind = type(node)
    if kind is _Attribute:
        return [node.value]
    if kind is _Name:
        return []
    if kind is _Call:
        return [node.func, *node.args, *(keyword.value for keyword in node.keywords)]
    below: list[Any] = []
    getter, _, _ = _PLANS[kind]
    if getter is not None:
        for child in getter(node):
            if type(child) is list:
                below += [one for one in child if one is not None]
            elif child is not None:
                below.append(child)
    return below
