"""Compilation of the code of a run."""

from __future__ import annotations

import ast
import io
import linecache
from types import CodeType
from typing import Final

from codemode.sandbox.guest.code.fences import strip_fences
from codemode.sandbox.guest.code.look import Known, Sight, look
from codemode.sandbox.guest.code.problems import Problem, RefusedCodeError
from codemode.sandbox.guest.code.returns import compile_returning, is_return_outside_function

__all__ = ["AWAITED", "VALUE", "compile_code"]

VALUE: Final = "<value>"
"""The global variable that keeps the last expression's value; not a name that code can use."""

AWAITED: Final = "<awaited>"
"""The builtin that makes values of sync tools awaitable; not a name that code can use."""

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

_compile = compile
_StringIO = io.StringIO


def compile_code(source: str, filename: str, known: Known) -> CodeType:
    """Compile code so that the value of a final expression is kept.

    The code object returns None, or a tuple of the value that the code returns
    outside functions. Raises RefusedCodeError for a certain mistake, and
    SyntaxError, even when the parser runs out of stack.
    """
    source = strip_fences(source)
    # Tracebacks and warnings take their source lines from this cache. Lines end where they do
    # for Python, which does not end one at a form feed or U+2028, as str.splitlines does.
    lines = _StringIO(source, newline=None).readlines()
    linecache.cache[filename] = (len(source), None, lines, filename)
    try:
        tree = _compile(source, filename, "exec", _FLAGS | ast.PyCF_ONLY_AST, dont_inherit=True)
        problems = _look(tree, known) if tree.body else []
        code = _compile_tree(tree, filename)
    except (MemoryError, RecursionError):
        raise SyntaxError("the code is nested too deeply for Python to compile") from None
    if problems:
        raise RefusedCodeError(problems, source, filename)
    return code


def _look(tree: ast.Module, known: Known) -> list[Problem]:
    """Return the certain mistakes; prepare awaits, and keep the last value."""
    try:
        sight = look(tree, known)
    except Exception:  # noqa: BLE001  # a fault of the look must not cost a right program its run
        sight = Sight([], [])
    if AWAITED in known.builtins:
        for node in sight.awaits:
            function = ast.copy_location(ast.Name(AWAITED, ast.Load()), node.value)
            node.value = ast.copy_location(ast.Call(function, [node.value], []), node.value)
    _keep_last(tree)
    return sight.problems


def _keep_last(tree: ast.Module) -> None:
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        target = ast.copy_location(ast.Name(VALUE, ast.Store()), last)
        tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)


def _compile_tree(tree: ast.Module, filename: str) -> CodeType:
    try:
        code: CodeType = _compile(tree, filename, "exec", _FLAGS, dont_inherit=True)
    except SyntaxError as error:
        if not is_return_outside_function(error):
            raise
        code = compile_returning(tree, filename)
    return code
