"""Test support for a project's tools: a real executor, assertions on calls, replaced tools."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import threading
import time
import unittest
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from codemode.core.artifact import Artifact
from codemode.core.context import ContextBlock
from codemode.core.hooks import Execution
from codemode.core.result import ExecutionResult, ToolCallOutcome, ToolCallRecord
from codemode.embedded.executor import EmbeddedExecutor
from codemode.testing import Cassette, CassetteError, use_cassette
from codemode.tools import Tool
from django_codemode.conf import get_settings
from django_codemode.shared import get_codemode, shared

__all__ = [
    "Cassette",
    "CassetteError",
    "CodemodeTestMixin",
    "CodemodeTester",
    "Replacement",
    "close_executor",
    "run_as",
    "runtime_context",
    "use_cassette",
]

_CANCEL_SECONDS = 30.0

_lock = threading.Lock()
_executor: EmbeddedExecutor | None = None


def run_as(user: Any) -> ContextBlock:
    """Execute as this user in a block or, as a decorator, in each call."""
    return shared.registry.context(user=user)


def runtime_context(**variables: Any) -> ContextBlock:
    """Add variables to the RuntimeContext for a block or, as a decorator, for each call."""
    return shared.registry.context(**variables)


def close_executor() -> None:
    """Close the executor that the tests of this process share, if one was started.

    Without this call the executor ends with the process.
    """
    global _executor
    with _lock:
        executor, _executor = _executor, None
    if executor is not None:
        executor.close()


class CodemodeTester:
    """A tester that runs code with the project's tools and records what it called.

    Within its ``with`` block ``get_codemode()``, and so the project's own code,
    uses an executor of this process, whatever the setting ``EXECUTOR_URL``
    says. The executor is started on first use and shared by all tests. It
    isolates as well as the host allows: at least tier ``MIN_TIER``, or C if
    that is not set.

    ``results`` are the outcomes of all executions in the block, and ``calls``
    the records of all their tool calls, in the order in which they began.
    """

    def __init__(self) -> None:
        self.results: list[ExecutionResult] = []
        self._replaced: list[Replacement] = []
        self._former: Callable[[], str] | None = None

    def run(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
    ) -> ExecutionResult:
        """Execute code as ``Codemode.run`` does."""
        return get_codemode().run(
            code,
            inputs=inputs,
            available_tools=available_tools,
            execution_timeout=execution_timeout,
        )

    def run_ok(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
    ) -> Any:
        """Execute code and return its value; raise AssertionError unless it completed."""
        __tracebackhide__ = True
        result = self.run(
            code,
            inputs=inputs,
            available_tools=available_tools,
            execution_timeout=execution_timeout,
        )
        if not result.ok:
            raise AssertionError(f"the code did not complete; {_outcome(result)}{_frames(result)}")
        return result.value

    async def run_async(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
    ) -> ExecutionResult:
        """Execute code from a task; otherwise as ``run``."""
        return await get_codemode().run_async(
            code,
            inputs=inputs,
            available_tools=available_tools,
            execution_timeout=execution_timeout,
        )

    @property
    def calls(self) -> list[ToolCallRecord]:
        """Return the records of all tool calls so far, refused ones included."""
        return [call for result in self.results for call in result.tool_calls]

    @property
    def artifacts(self) -> list[Artifact]:
        """Return the artifacts of all executions so far."""
        return [artifact for result in self.results for artifact in result.artifacts]

    def assert_calls(self, *expected: str | tuple[str, Mapping[str, Any]]) -> None:
        """Raise AssertionError unless exactly these calls were made, in this order.

        A call is a name, or a name and all of its arguments.
        """
        __tracebackhide__ = True
        made = [
            call.name if isinstance(one, str) else (call.name, call.arguments)
            for call, one in zip(self.calls, expected, strict=False)
        ]
        wanted = [one if isinstance(one, str) else (one[0], dict(one[1])) for one in expected]
        if made != wanted or len(self.calls) != len(expected):
            raise AssertionError(f"expected the calls {wanted}; {self._calls_made()}")

    def assert_called(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        outcome: ToolCallOutcome | None = None,
        times: int | None = None,
    ) -> ToolCallRecord:
        """Return the first matching call of a tool; raise AssertionError if there is none.

        Only the given ``arguments`` are compared. ``times`` is the exact number
        of matching calls.
        """
        __tracebackhide__ = True
        wanted = dict(arguments or {})
        fitting = [
            call
            for call in self.calls
            if call.name == name
            and call.arguments | wanted == call.arguments
            and outcome in {None, call.outcome}
        ]
        if not fitting or times not in {None, len(fitting)}:
            how = "".join(
                [
                    f" with {wanted}" if wanted else "",
                    f" with the outcome {outcome!r}" if outcome else "",
                    "" if times is None else f" {times} times, and {len(fitting)} fit",
                ]
            )
            raise AssertionError(f"expected a call of {name!r}{how}; {self._calls_made()}")
        return fitting[0]

    def assert_not_called(self, name: str) -> None:
        """Raise AssertionError if a tool was called."""
        __tracebackhide__ = True
        if any(call.name == name for call in self.calls):
            raise AssertionError(f"expected no call of {name!r}; {self._calls_made()}")

    def replace_tool(self, name: str, function: Callable[..., Any]) -> Replacement:
        """Replace a tool by a function until the end of the test.

        The function gets the arguments by name, checked against the tool's own
        signature. Permission and description stay the tool's. For an
        asynchronous tool the function may be sync or async, for a sync tool it
        must be sync. If used as a ``with`` block, the replacement ends with it.
        """
        tool = self._tool(name)
        if inspect.iscoroutinefunction(function) and not tool.asynchronous:
            raise TypeError(
                f"{name!r} is a sync tool and its replacement asynchronous: code that calls it "
                "awaits nothing; give a function without async"
            )
        return self._replace(replace(tool, function=_of_kind(tool, function), wants_context=False))

    def fail_tool(self, name: str, error: BaseException | type[BaseException]) -> Replacement:
        """Make each call of a tool raise ``error``; otherwise as ``replace_tool``."""

        def fail(**_arguments: Any) -> Any:
            raise error

        return self.replace_tool(name, fail)

    def delay_tool(self, name: str, seconds: float) -> Replacement:
        """Make each call of a tool take that much longer; otherwise as ``replace_tool``."""
        tool = self._tool(name)

        @functools.wraps(tool.function)
        def later(*args: Any, **kwargs: Any) -> Any:
            time.sleep(seconds)
            return tool.function(*args, **kwargs)

        @functools.wraps(tool.function)
        async def alater(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(seconds)
            return await tool.function(*args, **kwargs)

        return self._replace(replace(tool, function=alater if tool.asynchronous else later))

    def cancel_in_tool(self, name: str) -> Replacement:
        """Cancel the execution when its code calls a tool, by closing the shared client.

        All executions of the process that run at this moment are cancelled. An
        asynchronous tool is cancelled before it does anything. A sync tool runs
        to its end, and its result is discarded.
        """
        tool = self._tool(name)

        @functools.wraps(tool.function)
        def cancelled(*args: Any, **kwargs: Any) -> Any:
            # In another thread, because this one may carry the execution.
            closing = threading.Thread(target=shared.close)
            closing.start()
            closing.join()
            return tool.function(*args, **kwargs)

        @functools.wraps(tool.function)
        async def acancelled(*args: Any, **kwargs: Any) -> Any:
            await asyncio.to_thread(shared.close)
            await asyncio.sleep(_CANCEL_SECONDS)
            raise AssertionError(f"{name} was not cancelled although the client was closed")

        return self._replace(replace(tool, function=acancelled if tool.asynchronous else cancelled))

    def execution_started(self, execution: Execution) -> None:
        """Do nothing; an observer must have this method."""

    def execution_finished(
        self, execution: Execution, result: ExecutionResult | None, error: BaseException | None
    ) -> None:
        """Keep the result of an execution."""
        if result is not None:
            self.results.append(result)

    def __enter__(self) -> Self:
        self._former = shared.executor
        shared.close()
        shared.executor = _address
        shared.registry.add_observer(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._replaced:
            self._replaced.pop().undo()
        shared.registry.remove_observer(self)
        shared.close()
        shared.executor = self._former

    def _tool(self, name: str) -> Tool:
        return shared.registry.select([name])[name]

    def _replace(self, tool: Tool) -> Replacement:
        replacement = Replacement(self._tool(tool.name), replace(tool, source=object()))
        self._replaced.append(replacement)
        return replacement

    def _calls_made(self) -> str:
        made = [
            f"{call.name}({call.arguments}): {call.outcome}"
            + (f" ({call.error})" if call.error else "")
            for call in self.calls
        ]
        runs = "".join(
            f"\n  run {number}: {_outcome(result)}"
            for number, result in enumerate(self.results, start=1)
        )
        return f"made were {'; '.join(made) or 'none'}{runs or '; no code was executed'}"


class Replacement:
    """A tool in place of another, until ``undo()`` or the end of the ``with`` block."""

    def __init__(self, former: Tool, tool: Tool) -> None:
        self._former: Tool | None = former
        shared.registry.register_tool(tool.name, tool, overwrite=True)

    def undo(self) -> None:
        """Put the former tool back. Idempotent."""
        former, self._former = self._former, None
        if former is not None:
            shared.registry.register_tool(former.name, former, overwrite=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.undo()


class CodemodeTestMixin(unittest.TestCase):
    """Mixin for Django's TestCase that gives each test a CodemodeTester as ``self.codemode``.

    A class with its own ``setUp`` must call ``super().setUp()``.
    """

    codemode: CodemodeTester

    def setUp(self) -> None:
        """Enter a new CodemodeTester."""
        super().setUp()
        self.codemode = self.enterContext(CodemodeTester())


def _address() -> str:
    """Return the address of the tests' executor; start the executor if there is none."""
    global _executor
    with _lock:
        if _executor is None:
            settings = get_settings()
            given = "CODEMODE_EXECUTOR_MIN_TIER" in os.environ
            tier = settings.min_tier or (None if given else "C")
            _executor = EmbeddedExecutor(log_file=settings.executor_log_file, min_tier=tier)
        return _executor.address()


def _outcome(result: ExecutionResult) -> str:
    """Return a line that describes how an execution ended."""
    error = result.error
    if error is None:
        return result.status
    line = "" if error.line is None else f" (line {error.line})"
    return f"{result.status}: {error.type}: {error.message}{line}"


def _frames(result: ExecutionResult) -> str:
    traceback = result.error.traceback.rstrip() if result.error else ""
    return f"\n{traceback}" if traceback else ""


def _of_kind(tool: Tool, function: Callable[..., Any]) -> Callable[..., Any]:
    if not tool.asynchronous or inspect.iscoroutinefunction(function):
        return function

    @functools.wraps(function)
    async def asynchronous(**arguments: Any) -> Any:
        return function(**arguments)

    return asynchronous
