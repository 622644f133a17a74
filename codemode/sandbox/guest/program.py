"""The code of a run: its compilation, its execution and its value."""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import CodeType, CoroutineType, ModuleType
from typing import Any

from codemode.sandbox.guest.code.compilation import AWAITED, VALUE, compile_code
from codemode.sandbox.guest.code.look import Known
from codemode.sandbox.guest.code.returns import STAR_IMPORT
from codemode.sandbox.guest.drawing import draw, draw_async, is_drawn, is_drawn_async

__all__ = ["Program", "filename_of"]

_exec = exec
_eval = eval
_settrace = sys.settrace
_setprofile = sys.setprofile


def filename_of(number: int) -> str:
    """Return the file name for the code of run ``number`` in its sandbox, counted from 1."""
    return "<code>" if number == 1 else f"<code {number}>"


class Program:
    """The ``__main__`` module in which the code of a sandbox runs, and its event loop."""

    def __init__(self) -> None:
        self._module = ModuleType("__main__")
        self._names = self._module.__dict__
        self._names["__builtins__"] = builtins
        self._fallback = builtins.__dict__
        self.context = contextvars.copy_context()
        self.hints: list[str] = []
        """What the look at the last code leaves to the model to judge."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._executor: ThreadPoolExecutor | None = None

    def install(self) -> None:
        """Become the process's main module, without the zygote's command-line arguments."""
        sys.modules["__main__"] = self._module
        sys.argv = [""]
        sys.orig_argv = [""]

    def define(
        self,
        names: Mapping[str, Any],
        fallback: Mapping[str, Any],
        *,
        tools: Mapping[str, Any],
        explain: Callable[[NameError], str],
        awaitable: Callable[[Any], Any] | None = None,
        session: bool = False,
    ) -> None:
        """Give the code ``names`` as global variables and ``fallback`` among the builtins.

        Of ``names``, ``tools`` are those that lead to tools. ``explain`` returns
        the message on a name that is not defined. ``awaitable`` makes values of
        synchronous tools awaitable, where there are such tools.
        """
        self._names.update(names)
        self._fallback.update(fallback)
        self._fallback[STAR_IMPORT] = self._import_all
        if awaitable is not None:
            self._fallback[AWAITED] = awaitable
        self._tools = set(tools)
        self._explain = explain
        self._session = session

    def offer(self, tools: Mapping[str, Any]) -> None:
        """Give the code more tools, among the builtins: a variable of the code wins."""
        self._fallback.update(tools)
        self._tools.update(tools)

    def run(self, source: str, filename: str, inputs: Mapping[str, Any], max_bytes: int) -> Any:
        """Execute the code and return its value, an iterator as the list of its items.

        The value is what a ``return`` outside functions gives, else ``result``,
        else the last expression's value, else None.
        """
        known = Known(
            self._names, self._tools, self._fallback, inputs, self._session, self._explain
        )
        self.hints = known.hints
        code = compile_code(source, filename, known)
        self._prepare(inputs)
        # This function must stay short, as `MemoryReserve.guard` explains.
        try:
            return self._execute(code, max_bytes)
        finally:
            self._names.pop(VALUE, None)

    def _execute(self, code: CodeType, max_bytes: int) -> Any:
        if code.co_flags & inspect.CO_COROUTINE:
            return self._run_on_loop(self._finish(_eval(code, self._names), max_bytes))
        returned = self.context.run(_eval, code, self._names)
        # Inline and first: a tracer that the code installed would trace the functions below.
        _settrace(None)
        _setprofile(None)
        value = self._value_of(returned)
        if is_drawn(value):
            return self.context.run(draw, value, max_bytes)
        return self._run_on_loop(draw_async(value, max_bytes)) if is_drawn_async(value) else value

    async def _finish(self, running: Coroutine[Any, Any, tuple[Any] | None], max_bytes: int) -> Any:
        returned = await running
        _settrace(None)
        _setprofile(None)
        value = self._value_of(returned)
        if is_drawn(value):
            return draw(value, max_bytes)
        return await draw_async(value, max_bytes) if is_drawn_async(value) else value

    def _value_of(self, returned: tuple[Any] | None) -> Any:
        if returned is not None:
            return returned[0]
        last = self._names.get(VALUE)
        return self._names.get("result", last)

    def _import_all(self, module: str, level: int) -> None:
        _exec(f"from {'.' * level}{module or ''} import *", self._names)

    def _prepare(self, inputs: Mapping[str, Any]) -> None:
        # The result of an earlier run stays readable among the builtins. A global named `result`
        # then always comes from this run.
        if "result" in self._names:
            self._fallback["result"] = self._names.pop("result")
        self._names.update(inputs)

    def _run_on_loop(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        elif self._executor is not None:
            self._executor.shutdown(wait=False)
        # A new executor for each run: threads of an earlier run may not call tools.
        self._executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
        self._loop.set_default_executor(self._executor)
        task = self._loop.create_task(coroutine, context=self.context)
        try:
            return self._loop.run_until_complete(task)
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
                yield name, str.__str__(coroutine.__qualname__)


def _coroutines(names: Mapping[str, Any]) -> Iterator[tuple[str, CoroutineType[Any, Any, Any]]]:
    """Yield coroutines held by variables, or directly in their lists, tuples, sets and dicts."""
    for name, value in list(names.items()):
        if isinstance(value, CoroutineType):
            yield name, value
        elif type(value) in (list, tuple, set):
            yield from ((name, one) for one in value if isinstance(one, CoroutineType))
        elif type(value) is dict and name != "__builtins__":
            yield from ((name, one) for one in value.values() if isinstance(one, CoroutineType))
