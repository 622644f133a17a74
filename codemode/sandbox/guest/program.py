"""The code of a run: its compilation, its execution and its value."""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextvars
import inspect
import linecache
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import CodeType, CoroutineType, ModuleType
from typing import Any

__all__ = ["Program", "compile_code", "filename_of"]

_VALUE = "<value>"
"""The global variable that keeps the last expression's value; not a name that code can use."""

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

_compile = compile
_exec = exec
_eval = eval


def filename_of(number: int) -> str:
    """Return the file name for the code of run ``number`` in its sandbox, counted from 1."""
    return "<code>" if number == 1 else f"<code {number}>"


def compile_code(source: str, filename: str) -> CodeType:
    """Compile code so that the value of a final expression is kept.

    Raises SyntaxError, even when the parser runs out of stack.
    """
    # Tracebacks and warnings take their source lines from this cache.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    try:
        tree = _compile(source, filename, "exec", _FLAGS | ast.PyCF_ONLY_AST, dont_inherit=True)
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = tree.body[-1]
            target = ast.Name(_VALUE, ast.Store())
            kept = ast.Assign([target], last.value)
            ast.copy_location(target, last)
            tree.body[-1] = ast.copy_location(kept, last)
        code: CodeType = _compile(tree, filename, "exec", _FLAGS, dont_inherit=True)
    except (MemoryError, RecursionError):
        raise SyntaxError("the code is nested too deeply for Python to compile") from None
    return code


class Program:
    """The ``__main__`` module in which the code of a sandbox runs, and its event loop."""

    def __init__(self) -> None:
        self._module = ModuleType("__main__")
        self._names = self._module.__dict__
        self._names["__builtins__"] = builtins
        self._fallback = builtins.__dict__
        self.context = contextvars.copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._executor: ThreadPoolExecutor | None = None

    def install(self) -> None:
        """Become the process's main module, without the zygote's command-line arguments."""
        sys.modules["__main__"] = self._module
        sys.argv = [""]
        sys.orig_argv = [""]

    def define(self, names: Mapping[str, Any], fallback: Mapping[str, Any]) -> None:
        """Give the code ``names`` as global variables and ``fallback`` among the builtins."""
        self._names.update(names)
        self._fallback.update(fallback)

    def run(self, source: str, filename: str, inputs: Mapping[str, Any]) -> Any:
        """Execute the code and return ``result``, else the last expression's value, else None."""
        code = compile_code(source, filename)
        self._prepare(inputs)
        try:
            if code.co_flags & inspect.CO_COROUTINE:
                self._run_on_loop(code)
            else:
                self.context.run(_exec, code, self._names)
        finally:
            last = self._names.pop(_VALUE, None)
        return self._names.get("result", last)

    def _prepare(self, inputs: Mapping[str, Any]) -> None:
        # The result of an earlier run stays readable among the builtins. A global named `result`
        # then always comes from this run.
        if "result" in self._names:
            self._fallback["result"] = self._names.pop("result")
        self._names.update(inputs)

    def _run_on_loop(self, code: CodeType) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        elif self._executor is not None:
            self._executor.shutdown(wait=False)
        # A new executor for each run: threads of an earlier run may not call tools.
        self._executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
        self._loop.set_default_executor(self._executor)
        coroutine = _eval(code, self._names)
        task = self._loop.create_task(coroutine, context=self.context)
        try:
            self._loop.run_until_complete(task)
        finally:
            if task.done() and not task.cancelled():
                # Retrieved, so that the task does not log that it never was.
                task.exception()

    def close_unawaited(self) -> Iterator[tuple[str, str]]:
        """Close coroutines that the code stored and never awaited.

        Yields the name of the variable and of the function that was called, for each.
        """
        for name, coroutine in _coroutines(self._names):
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()
                yield name, coroutine.__qualname__


def _coroutines(names: Mapping[str, Any]) -> Iterator[tuple[str, CoroutineType[Any, Any, Any]]]:
    """Yield coroutines held by variables, or directly in their lists, tuples, sets and dicts."""
    for name, value in list(names.items()):
        if isinstance(value, CoroutineType):
            yield name, value
        elif type(value) in (list, tuple, set):
            yield from ((name, one) for one in value if isinstance(one, CoroutineType))
        elif type(value) is dict and name != "__builtins__":
            yield from ((name, one) for one in value.values() if isinstance(one, CoroutineType))
