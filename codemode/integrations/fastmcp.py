"""Codemode as tools of a FastMCP server, and an executor as the sandbox of its CodeMode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

from fastmcp.server.dependencies import get_context
from fastmcp.tools import Tool
from fastmcp.tools.base import ToolResult
from pydantic import PrivateAttr

from codemode.core.client import ExecutorClient
from codemode.core.codemode import Codemode
from codemode.core.events import Event, ProgressReported
from codemode.core.registry import ComponentRegistry
from codemode.errors import ExecutionError
from codemode.integrations._framework_tools import (
    CODE_SCHEMA,
    Answer,
    CodeExecution,
    CodeOptions,
    ContextOf,
    DirectTool,
    acting,
    direct_tools,
    direct_tools_async,
)

__all__ = ["ExecutorSandbox", "code_tool", "code_tool_async", "plain_tools", "plain_tools_async"]


class _CodemodeTool(Tool):
    """A tool whose arguments are checked by Codemode."""

    _call: Callable[[dict[str, Any]], Any] = PrivateAttr()

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        answer: Answer = await self._call(arguments)
        return ToolResult(content=answer.text, is_error=answer.failed)


def code_tool(
    codemode: Codemode, *, context: ContextOf | None = None, **options: Unpack[CodeOptions]
) -> Tool:
    """Return a tool that executes code, for ``FastMCP.add_tool``.

    ``context`` returns variables of the RuntimeContext for FastMCP's Context.
    The description is that of the current context. Progress of the code is that
    of the call. Code that fails is a result with ``is_error``.
    """
    execution = CodeExecution(codemode, **options)
    return _code_tool(codemode, execution, execution.describe(), context)


async def code_tool_async(
    codemode: Codemode, *, context: ContextOf | None = None, **options: Unpack[CodeOptions]
) -> Tool:
    """Return this tool from a task; otherwise like ``code_tool``."""
    execution = CodeExecution(codemode, **options)
    return _code_tool(codemode, execution, await execution.describe_async(), context)


def plain_tools(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    execution_timeout: float | None = None,
    max_chars: int = 20_000,
) -> list[Tool]:
    """Return a tool for each of the named tools, None for all, that this context may call.

    They keep their names: ``orders.get``. Raises ConfigurationError.
    """
    found = direct_tools(
        codemode, names, execution_timeout=execution_timeout, max_chars=max_chars, dotted=True
    )
    return [_plain_tool(codemode, one, context) for one in found]


async def plain_tools_async(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    execution_timeout: float | None = None,
    max_chars: int = 20_000,
) -> list[Tool]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await direct_tools_async(
        codemode, names, execution_timeout=execution_timeout, max_chars=max_chars, dotted=True
    )
    return [_plain_tool(codemode, one, context) for one in found]


class ExecutorSandbox:
    """The sandbox of FastMCP's CodeMode: full CPython, in an executor.

    ``CodeMode(sandbox_provider=ExecutorSandbox(client))``. Raises ExecutionError
    for code that fails, with the text for the model, and ExecutorClientError.
    """

    def __init__(
        self, client: ExecutorClient | None = None, *, execution_timeout: float | None = None
    ) -> None:
        self._codemode = Codemode(client)
        self._execution_timeout = execution_timeout

    async def run(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        external_functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Any:
        """Execute code with the functions as its tools, and return its value."""
        registry = ComponentRegistry()
        for name, function in (external_functions or {}).items():
            registry.register_tool(name, function)
        result = await Codemode(self._codemode.client, registry).run_async(
            code, inputs=inputs, execution_timeout=self._execution_timeout
        )
        if not result.ok:
            raise ExecutionError(result)
        return result.value

    async def close_async(self) -> None:
        """Close the client."""
        await self._codemode.close_async()


def _code_tool(
    codemode: Codemode, execution: CodeExecution, description: str, context: ContextOf | None
) -> Tool:
    async def execute(arguments: Mapping[str, Any]) -> Answer:
        ctx = get_context()

        async def report(event: Event) -> None:
            if isinstance(event, ProgressReported):
                await ctx.report_progress(event.done, event.total, event.note or None)

        with acting(codemode, context, ctx):
            return await execution.execute(arguments.get("code"), on_event=report)

    return _tool(execution.name, description, CODE_SCHEMA, execute)


def _plain_tool(codemode: Codemode, direct: DirectTool, context: ContextOf | None) -> Tool:
    async def call(arguments: Mapping[str, Any]) -> Answer:
        with acting(codemode, context, get_context()):
            return await direct.call(arguments)

    return _tool(direct.name, direct.description, direct.schema, call)


def _tool(
    name: str,
    description: str,
    schema: dict[str, Any],
    call: Callable[[dict[str, Any]], Any],
) -> Tool:
    tool = _CodemodeTool(name=name, description=description, parameters=schema)
    tool._call = call
    return tool
