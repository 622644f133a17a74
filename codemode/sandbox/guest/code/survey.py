"""The names, calls and awaits of a syntax tree, found in one walk."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

__all__ = ["Survey", "children", "statements", "survey"]

# Captured at import: the executed code may change the module `ast`.
_Attribute = ast.Attribute
_Await = ast.Await
_BinOp = ast.BinOp
_Call = ast.Call
_Constant = ast.Constant
_Name = ast.Name
_SEQUENCES: Final = (ast.List, ast.Tuple)
_Starred = ast.Starred

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
    *(ast.Assert, ast.AsyncFor, ast.AugAssign, ast.BinOp, ast.comprehension, ast.Expr, ast.For),
    *(ast.FormattedValue, ast.If, ast.IfExp, ast.Starred, ast.Subscript, ast.UnaryOp, ast.While),
)
"""Nodes that do something with a value, which they cannot do with a coroutine."""

Getter = Callable[[Any], Any]

_operands_of: Final = attrgetter("left", "right")


def _fields(kind: type[ast.AST]) -> list[str]:
    if kind is ast.TypeAlias:
        return ["name"]
    if kind in _LEAVES:
        return []
    return [field for field in kind._fields if field not in _NOT_CHILDREN and field != "name"]


def _bound_by_names(node: Any) -> Iterable[str]:
    return list(node.names)


def _bound_by_name(node: Any) -> Iterable[str | None]:
    return (node.name,)


Binder = Callable[[Any], Iterable[str | None]]

_BINDERS: Final[dict[type[ast.AST], Binder]] = {
    ast.arg: lambda node: (node.arg,),
    ast.ClassDef: _bound_by_name,
    ast.ExceptHandler: _bound_by_name,
    ast.FunctionDef: _bound_by_name,
    ast.Global: _bound_by_names,
    ast.MatchAs: _bound_by_name,
    ast.MatchMapping: lambda node: (node.rest,),
    ast.MatchStar: _bound_by_name,
    ast.Nonlocal: _bound_by_names,
}
_PARAMETRISED: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.TypeAlias)

_USE, _USE_IN_LISTS, _ASYNC_FUNCTION, _IMPORT = 1, 2, 3, 4


def _with_type_parameters(binder: Binder | None) -> Binder:
    def bound(node: Any) -> Iterable[str | None]:
        names = [one.name for one in node.type_params]
        return [*names, *binder(node)] if binder else names

    return bound


_TARGETS: Final = {
    **dict.fromkeys((ast.Assign, ast.Delete), "targets"),
    **dict.fromkeys((ast.AnnAssign, ast.AugAssign, ast.NamedExpr), "target"),
    **dict.fromkeys((ast.AsyncFor, ast.comprehension, ast.For), "target"),
    ast.TypeAlias: "name",
    ast.withitem: "optional_vars",
}
"""Fields of what is assigned to or deleted. Names in all other fields are read."""

_Plan = tuple[Getter | None, Getter | None, Getter | None, Binder | None, int]
"""The getters of targets, of the only other child, or of several; the names bound; the list."""

_LISTED: Final = {
    ast.AsyncFunctionDef: _ASYNC_FUNCTION,
    ast.BoolOp: _USE_IN_LISTS,
    ast.Compare: _USE_IN_LISTS,
    ast.Import: _IMPORT,
    ast.ImportFrom: _IMPORT,
    **dict.fromkeys(_USES, _USE),
}


def _plan(kind: type[ast.AST]) -> _Plan:
    binder = _BINDERS.get(kind)
    if kind in _PARAMETRISED:
        binder = _with_type_parameters(binder)
    target = _TARGETS.get(kind)
    fields = [field for field in _fields(kind) if field != target]
    only = attrgetter(fields[0]) if len(fields) == 1 else None
    several = attrgetter(*fields) if len(fields) > 1 else None
    return attrgetter(target) if target else None, only, several, binder, _LISTED.get(kind, 0)


def _kinds(kind: type[ast.AST]) -> Iterable[type[ast.AST]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds(one)


_CHILDREN: Final = {kind: _fields(kind) for kind in _kinds(ast.AST)}
_PLANS: Final[dict[type, _Plan]] = {kind: _plan(kind) for kind in _CHILDREN}
_PLANS[type(None)] = (None, None, None, None, 0)  # stands in lists for what is left out


_BLOCKS: Final[dict[type, Sequence[str]]] = {
    **dict.fromkeys((ast.If, ast.For, ast.AsyncFor, ast.While), ("body", "orelse")),
    **dict.fromkeys((ast.Try, ast.TryStar), ("body", "handlers", "orelse", "finalbody")),
    **dict.fromkeys((ast.With, ast.AsyncWith, ast.ExceptHandler, ast.match_case), ("body",)),
    ast.Match: ("cases",),
}
"""The statements inside statements, other than functions and classes."""


class Survey:
    """What one walk of a syntax tree found.

    ``loads`` has the names that are read. ``bound`` has the names that anything
    but an ``async def`` and an import binds, in any scope.
    ``changed`` has the names of which an attribute is assigned or deleted, and
    ``attributes`` the names of all attributes that are.
    ``uses`` has calls, each with the node above it that may do something with
    its value that a coroutine cannot do.
    """

    __slots__ = (
        *("async_functions", "attributes", "awaits", "bound", "calls", "changed", "imports"),
        *("loads", "uses"),
    )

    def __init__(self) -> None:
        self.loads: set[str] = set()
        self.bound: set[str | None] = set()
        self.changed: set[str] = set()
        self.attributes: set[str] = set()
        self.async_functions: list[ast.AsyncFunctionDef] = []
        self.awaits: list[ast.Await] = []
        self.calls: list[ast.Call] = []
        self.imports: list[ast.Import | ast.ImportFrom] = []
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

    def use_in(operands: list[Any], node: ast.AST) -> None:
        for operand in operands:
            if type(operand) is _Call:
                use((operand, node))

    stack: list[Any] = [tree]
    pop, push, extend = stack.pop, stack.append, stack.extend
    # Local variables, and as few attributes of nodes as possible: this loop decides how long the
    # look takes, and each attribute of a node takes as long as ten other steps.
    name_kind, attribute_kind, call_kind, constant_kind = _Name, _Attribute, _Call, _Constant
    await_kind, binary_kind, operands_of, plans = _Await, _BinOp, _operands_of, _PLANS
    in_lists, async_function = _USE_IN_LISTS, _ASYNC_FUNCTION
    while stack:
        node = pop()
        kind = type(node)
        if kind is name_kind:
            load(node.id)
        elif kind is attribute_kind:
            value = node.value
            below = type(value)
            if below is name_kind:
                load(value.id)
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
            extend(node.args)
            for keyword in node.keywords:
                push(keyword.value)
        elif kind is constant_kind:
            continue
        elif kind is binary_kind:
            for child in operands_of(node):
                below = type(child)
                if below is name_kind:
                    load(child.id)
                elif below is not constant_kind:
                    if below is call_kind:
                        use((child, node))
                    push(child)
        elif kind is await_kind:
            found.awaits.append(node)
            push(node.value)
        else:
            target, only, several, binder, listed = plans[kind]
            if target is not None:
                targets = target(node)
                for child in targets if type(targets) is list else (targets,):
                    if type(child) is name_kind:
                        bind(child.id)
                    elif child is not None:
                        _assign(child, found, stack)
            if binder is not None:
                for name in binder(node):
                    bind(name)
            if only is not None:
                child = only(node)
                below = type(child)
                if below is list:
                    extend(child)
                    if listed:
                        use_in(child, node)
                elif below is name_kind:
                    load(child.id)
                elif child is not None:
                    if listed and below is call_kind:
                        use((child, node))
                    push(child)
            elif several is not None:
                for child in several(node):
                    below = type(child)
                    if below is list:
                        if child:
                            extend(child)
                            if listed == in_lists:
                                use_in(child, node)
                    elif below is name_kind:
                        load(child.id)
                    elif below is call_kind:
                        if listed:
                            use((child, node))
                        push(child)
                    elif child is not None:
                        push(child)
                if listed == async_function:
                    found.async_functions.append(node)
            elif listed:
                found.imports.append(node)
    return found


def _assign(target: Any, found: Survey, stack: list[Any]) -> None:
    """Note what a target binds or changes; leave the rest to the walk."""
    waiting = [target]
    while waiting:
        one = waiting.pop()
        kind = type(one)
        if kind is _Name:
            found.bound.add(one.id)
        elif kind in _SEQUENCES:
            waiting += one.elts
        elif kind is _Starred:
            waiting.append(one.value)
        else:
            if kind is _Attribute:
                found.attributes.add(one.attr)
                if type(one.value) is _Name:
                    found.changed.add(one.value.id)
            stack.append(one)


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
    for field in _CHILDREN[kind]:
        child = getattr(node, field)
        if type(child) is list:
            below += [one for one in child if one is not None]
        elif child is not None:
            below.append(child)
    return below


def statements(tree: ast.Module) -> Iterator[Any]:
    """Yield the statements outside functions and classes."""
    waiting: list[Any] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        for field in _BLOCKS.get(type(node), ()):
            waiting += getattr(node, field)
