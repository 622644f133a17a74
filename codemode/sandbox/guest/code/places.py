"""Where nodes of a syntax tree stand, and what catches an exception raised there."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from codemode.sandbox.guest.code.survey import Survey, children

__all__ = ["ANYTHING", "Place", "Places", "find_places"]

ANYTHING: Final = "*"
"""Stands among caught exceptions for those that the tree does not name."""

_UNRELATED: Final = frozenset(
    {
        *("ArithmeticError", "AssertionError", "BlockingIOError", "BrokenPipeError"),
        *("BufferError", "CancelledError", "ConnectionError", "EOFError", "FileExistsError"),
        *("FileNotFoundError", "FloatingPointError", "GeneratorExit", "IOError", "ImportError"),
        *("IndexError", "InvalidOperation", "IsADirectoryError", "JSONDecodeError", "KeyError"),
        *("KeyboardInterrupt", "MemoryError", "ModuleNotFoundError", "NotADirectoryError"),
        *("NotImplementedError", "OSError", "OverflowError", "PermissionDeniedError"),
        *("PermissionError", "RecursionError", "StopAsyncIteration", "StopIteration"),
        *("SyntaxError", "SystemExit", "TimeoutError", "UnicodeDecodeError"),
        *("UnicodeEncodeError", "UnicodeError", "ValueError", "ZeroDivisionError"),
    }
)
"""Exceptions of which nothing that the look reports is an instance."""

_REPORTED: Final = frozenset(
    {
        *("AttributeError", "BaseException", "Exception", "InvalidArgumentsError"),
        *("LookupError", "NameError", "RuntimeError", "ToolError", "TypeError"),
        *("UnboundLocalError", "UnknownToolError"),
    }
)

_CATCH_NOTHING: Final = frozenset(
    {
        *("Lock", "NamedTemporaryFile", "ProcessPoolExecutor", "RLock", "Runner", "Semaphore"),
        *("StringIO", "TaskGroup", "TemporaryDirectory", "TemporaryFile", "ThreadPoolExecutor"),
        *("ZipFile", "catch_warnings", "closing", "localcontext", "nullcontext", "open"),
        *("redirect_stderr", "redirect_stdout", "timeout", "timeout_at"),
    }
)
"""Context managers that let exceptions through."""

_TRIES: Final = (ast.Try, ast.TryStar)
_WITHS: Final = (ast.With, ast.AsyncWith)
_BRANCHES: Final = (
    *(ast.BoolOp, ast.comprehension, ast.DictComp, ast.If, ast.IfExp, ast.ListComp),
    *(ast.match_case, ast.SetComp, ast.While),
)
_SWITCHES: Final = (ast.If, ast.While)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.GeneratorExp)
_LEAVE: Final = (ast.Return, ast.Break, ast.Continue)


@dataclass(frozen=True, slots=True)
class Place:
    """The surroundings of a node.

    ``function`` is the innermost function, lambda or generator around the node.
    ``caught`` names the exceptions that code around it catches. ``own_names``
    is True directly in the body of a class whose metaclass may supply names.
    """

    function: ast.AST | None = None
    caught: frozenset[str] = frozenset()
    conditional: bool = False
    own_names: bool = False


@dataclass(frozen=True, slots=True)
class Places:
    """The places of some nodes, and what all of the code does.

    ``caught`` names the exceptions that are caught anywhere. ``attributes`` has
    the names of all attributes that the code uses.
    """

    of: dict[int, Place]
    caught: frozenset[str]
    attributes: frozenset[str]

    def may_be_caught(self, node: ast.AST, kinds: Container[str]) -> bool:
        """Return whether the code may go on after the node raises one of ``kinds``."""
        place = self.of[id(node)]
        caught = place.caught if place.function is None else self.caught
        return any(name == ANYTHING or name in kinds for name in caught)


def find_places(tree: ast.Module, wanted: Container[int], survey: Survey) -> Places:
    """Return the places of the nodes whose ``id`` is in ``wanted``. Linear, without recursion."""
    places: dict[int, Place] = {}
    everywhere: set[str] = set()
    attributes: set[str] = set()
    if any(
        keyword.arg == "return_exceptions" for call in survey.calls for keyword in call.keywords
    ):
        everywhere.add(ANYTHING)
    waiting: list[tuple[Any, Place]] = [(tree, Place())]
    while waiting:
        node, place = waiting.pop()
        if id(node) in wanted:
            places[id(node)] = place
        kind = type(node)
        if kind is ast.Attribute:
            attributes.add(node.attr)
        for child, inner in _below(node, place, survey.bound):
            if inner.caught is not place.caught:
                everywhere |= inner.caught
            waiting.append((child, inner))
    return Places(places, frozenset(everywhere), frozenset(attributes))


def _below(
    node: Any, place: Place, bound: Container[str | None]
) -> Iterator[tuple[ast.AST, Place]]:
    """Yield the children of a node with their places."""
    kind = type(node)
    inside: Iterable[ast.AST]
    if kind in _TRIES:
        caught = _caught_by(node, bound)
        inside = node.body
        # An exception of a handler is no longer caught by its neighbours.
        here = replace(place, caught=place.caught | caught) if caught else place
        outside = [*node.handlers, *node.orelse, *node.finalbody]
    elif kind is ast.ExceptHandler:
        inside, outside = node.body, [node.type] if node.type else []
        here = replace(place, conditional=True)
    elif kind in _WITHS:
        inside, outside = node.body, node.items
        caught = frozenset().union(*(_caught_with(item, bound) for item in node.items))
        here = replace(place, caught=place.caught | caught) if caught else place
    elif kind in _FUNCTIONS:
        # Decorators and defaults belong to the code around the function.
        inside = [node.body] if kind is ast.Lambda else getattr(node, "body", None) or []
        here = Place(function=node, caught=place.caught, conditional=place.conditional)
        if kind is ast.GeneratorExp:
            inside, outside = children(node), []
        else:
            own = set(map(id, inside))
            outside = [one for one in children(node) if id(one) not in own]
    elif kind is ast.ClassDef:
        inside, outside = node.body, [*node.decorator_list, *node.bases, *node.keywords]
        here = replace(place, own_names=bool(node.bases or node.keywords))
    elif kind in _SWITCHES and type(node.test) is ast.Constant and not node.test.value:
        inside, outside = node.body, node.orelse
        # Never executed, so nothing is certain to be raised there.
        here = replace(place, conditional=True, caught=frozenset({ANYTHING}))
    elif kind in _BRANCHES and not _is_always_taken(node):
        inside, outside = children(node), []
        here = place if place.conditional else replace(place, conditional=True)
    else:
        inside, outside, here = children(node), [], place
    for child in inside:
        yield child, here
    for child in outside:
        yield child, place


def _is_always_taken(node: Any) -> bool:
    """Return whether this is ``if __name__ == "__main__":`` alone."""
    match node:
        case ast.If(
            test=ast.Compare(
                left=ast.Name(id="__name__"),
                ops=[ast.Eq()],
                comparators=[ast.Constant(value="__main__")],
            ),
            orelse=[],
        ):
            return True
    return False


def _caught_by(node: Any, bound: Container[str | None]) -> frozenset[str]:
    caught: set[str] = set()
    for handler in node.handlers:
        caught |= _names(handler.type, bound)
    if any(isinstance(one, _LEAVE) for part in node.finalbody for one in ast.walk(part)):
        caught.add(ANYTHING)
    return frozenset(caught)


def _caught_with(item: ast.withitem, bound: Container[str | None]) -> frozenset[str]:
    call = item.context_expr
    if isinstance(call, ast.Call):
        name = _last_name(call.func)
        if name in _CATCH_NOTHING:
            return frozenset()
        if name == "suppress":
            return frozenset().union(*(_names(argument, bound) for argument in call.args))
    return frozenset({ANYTHING})


def _names(kinds: ast.expr | None, bound: Container[str | None]) -> set[str]:
    """Return which of the reported exceptions a handler for ``kinds`` catches."""
    if isinstance(kinds, ast.Tuple):
        return set().union(*(_names(one, bound) for one in kinds.elts))
    name = _last_name(kinds)
    if name in bound and isinstance(kinds, ast.Name) and name not in _IMPORTED:
        return {ANYTHING}
    if name in _UNRELATED:
        return set()
    return {name} if name in _REPORTED else {ANYTHING}


_IMPORTED: Final = frozenset({"CancelledError", "InvalidOperation", "JSONDecodeError"})
"""Unrelated exceptions that code binds by importing them."""


def _last_name(node: ast.AST | None) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""
