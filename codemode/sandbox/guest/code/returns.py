"""Compilation of code that returns outside functions.

Such code is compiled as the body of a function, in which every name that it
binds is declared global. The code object then loses the flags by which Python
gives functions local variables of their own. It runs like any module:
``locals()``, ``exec`` and ``eval`` see the global variables.

Two things differ from a module. Annotations of variables are dropped, as a
global name cannot have one in a function. A string on the first line does not
become ``__doc__``.
"""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Iterator
from types import CodeType
from typing import Any, Final

__all__ = ["STAR_IMPORT", "compile_returning", "is_return_outside_function"]

STAR_IMPORT: Final = "<import *>"
"""The builtin that does a star import for such code; not a name that code can use."""

_FUNCTION = "<returning>"
_OUTER = f"{_FUNCTION}.<locals>."
_FLAGS_OF_FUNCTIONS = inspect.CO_OPTIMIZED | inspect.CO_NEWLOCALS
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

_compile = compile
_CodeType = CodeType


def is_return_outside_function(error: SyntaxError) -> bool:
    """Return whether this is the compiler's complaint about such code."""
    return error.msg == "'return' outside function"


def compile_returning(tree: ast.Module, filename: str) -> CodeType:
    """Compile a module that returns. Its code object returns a tuple of the value, or None.

    None stands for a bare ``return`` and for the end of the code. Changes the
    tree. Raises SyntaxError.
    """
    head = _head(tree)
    body = tree.body[head:]
    _rewrite(body)
    with warnings.catch_warnings():
        # The caller's attempt has shown them.
        warnings.simplefilter("ignore")
        code = _compile_as(ast.FunctionDef, tree.body[:head], body, filename)
    return _as_module(code)


def _head(tree: ast.Module) -> int:
    """Return how many statements must stay in front: ``from __future__`` imports."""
    head = 0
    for index, statement in enumerate(tree.body):
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            head = index + 1
    return head


def _rewrite(body: list[ast.stmt]) -> None:
    """Replace, outside functions and classes, the statements that differ in a function."""
    waiting = [body]
    while waiting:
        block = waiting.pop()
        for index, statement in enumerate(block):
            block[index] = _replaced(statement)
            if not isinstance(statement, _SCOPES):
                waiting += _blocks(statement)


def _replaced(statement: ast.stmt) -> ast.stmt:
    new: ast.stmt
    match statement:
        case ast.Return(value=ast.expr() as value):
            kept = ast.copy_location(ast.Tuple([value], ast.Load()), value)
            new = ast.Return(kept)
        case ast.AnnAssign(target=ast.Name() as target, simple=1, value=None):
            new = ast.Pass()
        case ast.AnnAssign(target=ast.Name() as target, simple=1, value=ast.expr() as value):
            new = ast.Assign([target], value)
        case ast.ImportFrom(names=[ast.alias(name="*")]):
            arguments: list[ast.expr] = [
                ast.Constant(statement.module),
                ast.Constant(statement.level),
            ]
            new = ast.Expr(ast.Call(ast.Name(STAR_IMPORT, ast.Load()), arguments, []))
        case _:
            return statement
    ast.copy_location(new, statement)
    return ast.fix_missing_locations(new)


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "finalbody"):
        block = getattr(statement, field, None)
        if block:
            yield block
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield part.body


def _compile_as(
    kind: type[ast.FunctionDef | ast.AsyncFunctionDef],
    head: list[ast.stmt],
    body: list[ast.stmt],
    filename: str,
) -> CodeType:
    try:
        code = _function_code(kind, head, body, filename)
        names = (*code.co_varnames, *code.co_cellvars)
        if names:
            declared: ast.stmt = ast.Global(list(dict.fromkeys(names)), lineno=1, col_offset=0)
            code = _function_code(kind, head, [declared, *body], filename)
    except SyntaxError:
        if kind is ast.AsyncFunctionDef:
            raise
        # The code may await.
        return _compile_as(ast.AsyncFunctionDef, head, body, filename)
    return code


def _function_code(
    kind: type[ast.FunctionDef | ast.AsyncFunctionDef],
    head: list[ast.stmt],
    body: list[ast.stmt],
    filename: str,
) -> CodeType:
    nothing: dict[str, Any] = {
        "posonlyargs": [],
        "args": [],
        "kwonlyargs": [],
        "kw_defaults": [],
        "defaults": [],
    }
    function = kind(
        name=_FUNCTION,
        args=ast.arguments(**nothing),
        body=body,
        decorator_list=[],
        type_params=[],
        lineno=1,
        col_offset=0,
    )
    module = ast.Module([*head, function], [])
    code = _compile(module, filename, "exec", dont_inherit=True)
    (found,) = (one for one in code.co_consts if type(one) is _CodeType)
    if found.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        raise SyntaxError("'yield' outside function", (filename, None, None, None))
    return found


def _as_module(code: CodeType) -> CodeType:
    return _renamed(code).replace(
        co_name="<module>",
        co_qualname="<module>",
        co_flags=code.co_flags & ~_FLAGS_OF_FUNCTIONS,
    )


def _renamed(code: CodeType) -> CodeType:
    """Return the code without the function's name in the names of functions inside it."""
    constants = [_renamed(one) if type(one) is _CodeType else one for one in code.co_consts]
    return code.replace(
        co_consts=tuple(constants), co_qualname=code.co_qualname.removeprefix(_OUTER)
    )
