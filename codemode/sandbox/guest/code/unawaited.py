"""Calls of async functions that the code uses as if they had been awaited."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, Final

from codemode.sandbox.guest.code.places import Place
from codemode.sandbox.guest.code.survey import Survey, children, statements
from codemode.sandbox.guest.code.wording import not_awaited, shorten

__all__ = [
    "NOT_AWAITED",
    "READERS",
    "RESULT_NOT_AWAITED",
    "Misuse",
    "is_generator",
    "misuses",
    "repaired",
]

NOT_AWAITED: Final = "NotAwaited"
"""The type of a mistake at which Python raises nothing: the call is merely never made."""

RESULT_NOT_AWAITED: Final = "ResultNotAwaited"

_OF_COROUTINES: Final = frozenset(dir(CoroutineType))
READERS: Final = frozenset(
    {
        *("abs", "all", "any", "bool", "dict", "enumerate", "float", "format", "frozenset", "int"),
        *("iter", "len", "list", "max", "min", "next", "print", "range", "repr", "reversed"),
        *("round", "set", "sorted", "str", "sum", "tuple"),
    }
)
"""Builtins that read their arguments, which a coroutine does not allow or does not answer."""

_READERS_THAT_RAISE_NOTHING: Final = frozenset({"bool", "format", "print", "repr", "str"})
_READERS_OF_ONE: Final = frozenset({"iter", "next", "sum"})
"""Builtins of which the second argument is given back as it is."""
_ORDERING: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_MEMBERSHIP: Final = (ast.In, ast.NotIn)
OPERATORS: Final = frozenset(
    f"__{prefix}{name}__"
    for prefix in ("", "r", "i")
    for name in (
        *("add", "and", "floordiv", "lshift", "matmul", "mod", "mul", "or", "pow", "rshift"),
        *("sub", "truediv", "xor", "lt", "le", "gt", "ge", "eq", "ne"),
    )
)
"""Methods by which a class of the code may accept a coroutine as an operand."""


@dataclass(frozen=True, slots=True)
class Misuse:
    """A use of a coroutine in place of its value.

    ``type`` is what Python raises there; ``raises`` is False where it raises
    nothing or raises only after the run. ``shown`` is the code to repair.
    """

    call: ast.Call
    type: str
    raises: bool
    shown: ast.AST


def misuses(
    found: Survey,
    suspects: Mapping[int, str],
    readers: Iterable[ast.Call],
    tree: ast.Module,
) -> Iterator[Misuse]:
    """Yield the misuses of the calls whose ``id`` is in ``suspects``.

    ``readers`` has the calls of ``READERS``.
    """
    last = tree.body[-1]
    done: set[int] = set()
    awaited = {id(one.value) for one in found.awaits}
    operators = not OPERATORS.isdisjoint(found.bound)
    for call, node in found.uses:
        if id(call) not in suspects:
            continue
        if operators and isinstance(node, ast.BinOp | ast.Compare | ast.AugAssign):
            continue
        if id(node) in awaited and isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            continue  # a coroutine is true, so that the first one is awaited
        # All calls below a node at once: it may have thousands.
        if id(node) in done:
            continue
        done.add(id(node))
        for used, kind, raises in _uses(node, last):
            if id(used) in suspects and isinstance(used, ast.Call):
                yield Misuse(used, kind, raises, node)
    for result in _results(tree, found):
        if id(result.value) in suspects and isinstance(result.value, ast.Call):
            yield Misuse(result.value, RESULT_NOT_AWAITED, False, result)
    for reader in readers:
        name = reader.func.id if isinstance(reader.func, ast.Name) else ""
        raises = name not in _READERS_THAT_RAISE_NOTHING
        for used in _read(reader, name):
            if id(used) in suspects and isinstance(used, ast.Call) and name not in found.bound:
                yield Misuse(used, "TypeError" if raises else NOT_AWAITED, raises, reader)


def _read(reader: ast.Call, name: str) -> list[ast.expr]:
    """Return the arguments that a builtin surely reads."""
    if name in _READERS_OF_ONE:
        return reader.args[:1]
    if name in ("max", "min") and len(reader.args) > 1 and reader.keywords:
        return []  # what a key gives is compared
    return reader.args


def _results(tree: ast.Module, found: Survey) -> Iterator[ast.Assign | ast.Return]:
    """Yield the statements outside functions that give the run its value."""
    for node in statements(tree):
        kind = type(node)
        if kind is ast.Return or (
            kind is ast.Assign and _is_result(node.targets) and "result" not in found.loads
        ):
            yield node


def _is_result(targets: list[ast.expr]) -> bool:
    (first, *others) = targets
    return not others and type(first) is ast.Name and first.id == "result"


def _uses(node: Any, last: ast.stmt) -> Iterator[tuple[ast.expr | None, str, bool]]:
    """Yield the children that a node uses, with what Python raises, and whether it does."""
    error, silent = ("TypeError", True), (NOT_AWAITED, False)
    match node:
        case ast.Expr():
            yield node.value, RESULT_NOT_AWAITED if node is last else NOT_AWAITED, False
        case ast.Attribute(attr=name) if name not in _OF_COROUTINES:
            yield node.value, "AttributeError", True
        case ast.BinOp():
            yield node.left, *error
            yield node.right, *error
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand, *silent
        case ast.UnaryOp():
            yield node.operand, *error
        case ast.BoolOp():
            yield from ((value, *silent) for value in node.values[:-1])
        case ast.Compare():
            yield from _compared(node)
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            yield node.iter, *error
        case ast.If() | ast.While() | ast.IfExp() | ast.Assert():
            yield node.test, *silent
        case ast.FormattedValue():
            yield node.value, *silent
        case ast.AugAssign() | ast.Starred() | ast.Subscript():
            yield node.value, *error


def _compared(node: ast.Compare) -> Iterator[tuple[ast.expr, str, bool]]:
    operands = [node.left, *node.comparators]
    for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
        if isinstance(operator, _ORDERING):
            yield left, "TypeError", True
            yield right, "TypeError", True
        elif isinstance(operator, _MEMBERSHIP):
            yield right, "TypeError", True
        elif isinstance(right, ast.Constant):
            yield left, NOT_AWAITED, False


def repaired(misuse: Misuse, name: str, place: Place) -> str:
    """Return the message on a misuse, with the code to write instead."""
    call, shown = misuse.call, misuse.shown
    if isinstance(shown, ast.For | ast.AsyncFor | ast.comprehension):
        target = ast.unparse(shown.target)
        repair = f"for {target} in {_awaited(call)}"
    elif isinstance(shown, ast.If | ast.While | ast.IfExp | ast.Assert):
        repair = _awaited(call)
    elif isinstance(shown, ast.FormattedValue):
        repair = f"{{{_awaited(call)}}}"
    elif isinstance(shown, ast.Starred):
        repair = f"*({_awaited(call)})"
    else:
        repair = _with_await(shown, call)
    return not_awaited(name, shorten(repair), inside=_inside(place))


def _awaited(call: ast.Call) -> str:
    return f"await {ast.unparse(call)}"


def _with_await(shown: ast.AST, call: ast.Call) -> str:
    """Return the code of a node in which the call is awaited."""
    copy = _Awaiting(call).visit(shown)
    return ast.unparse(copy)


class _Awaiting(ast.NodeTransformer):
    """A copier of one node, with an await around one of its children."""

    def __init__(self, call: ast.Call) -> None:
        self._call = call

    def generic_visit(self, node: ast.AST) -> ast.AST:
        fields = {name: self._field(value) for name, value in ast.iter_fields(node)}
        kind: Any = type(node)
        copy: ast.AST = kind(**fields, lineno=1, col_offset=0)
        return copy

    def _field(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._field(one) for one in value]
        return ast.Await(value) if value is self._call else value


def _inside(place: Place) -> str:
    match place.function:
        case ast.FunctionDef(name=name):
            return f", make {name} an async def, and await its calls"
        case ast.Lambda():
            return "; a lambda cannot await: use a loop or an async def"
        case _:
            return ""


def is_generator(function: ast.AsyncFunctionDef) -> bool:
    """Return whether an ``async def`` yields, so that its call is not a coroutine."""
    waiting: list[Any] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += children(node)
    return False
