"""Codemode as tools of a FastMCP server, and an executor as the sandbox of its CodeMode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Unpack

from fastmcp.server.dependencies import get_context
from fastmcp.server.transforms import Transform
from fastmcp.tools import Tool
from fastmcp.tools.base import ToolResult
from mcp_types import ImageContent, TextContent
from pydantic import PrivateAttr

from codemode.core.client import ExecutorClient
from codemode.core.codemode import Codemode
from codemode.core.events import Event, ProgressReported
from codemode.core.registry import ComponentRegistry
from codemode.errors import ExecutionError
from codemode.integrations._direct_calls import DirectCalls, DirectTool
from codemode.integrations._framework_tools import (
    CODE_SCHEMA,
    Answer,
    CallOptions,
    CodeExecution,
    CodeOptions,
    ContextOf,
)
from codemode.integrations._pictures import pictures_of

__all__ = [
    "ExecutorSandbox",
    "code_tool",
    "code_tool_async",
    "describe_per_request",
    "plain_tools",
    "plain_tools_async",
]


class _CodemodeTool(Tool):
    """A tool whose arguments are checked by Codemode."""

    _call: Callable[[dict[str, Any]], Any] = PrivateAttr()
    _execution: CodeExecution | None = PrivateAttr(default=None)

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        answer: Answer = await self._call(arguments)
        images = [
            ImageContent(data=one.base64, mime_type=one.media_type)
            for one in pictures_of(answer.result)
        ]
        content = [TextContent(text=answer.text), *images]
        return ToolResult(content=content, is_error=answer.failed)


def code_tool(
    codemode: Codemode, *, context: ContextOf | None = None, **options: Unpack[CodeOptions]
) -> Tool:
    """Return a tool that executes code, for ``FastMCP.add_tool``.

    ``context`` returns variables of the RuntimeContext for FastMCP's Context.
    The description is that of the current context; ``describe_per_request``
    makes it that of each request. Progress of the code is that of the call. Code
    that fails is a result with ``is_error``.
    """
    execution = CodeExecution(codemode, context, **options)
    return _code_tool(execution, execution.describe())


async def code_tool_async(
    codemode: Codemode, *, context: ContextOf | None = None, **options: Unpack[CodeOptions]
) -> Tool:
    """Return this tool from a task; otherwise like ``code_tool``."""
    execution = CodeExecution(codemode, context, **options)
    return _code_tool(execution, await execution.describe_async())


def plain_tools(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    **options: Unpack[CallOptions],
) -> list[Tool]:
    """Return a tool for each of the named tools, None for all, that this context may call.

    They keep their names: ``orders.get``. Raises ConfigurationError.
    """
    found = DirectCalls(codemode, context, **options).tools(names, dotted=True)
    return [_plain_tool(one) for one in found]


async def plain_tools_async(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    **options: Unpack[CallOptions],
) -> list[Tool]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await DirectCalls(codemode, context, **options).tools_async(names, dotted=True)
    return [_plain_tool(one) for one in found]


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


def describe_per_request() -> Transform:
    """Return a transform for a FastMCP server, which describes each ``code_tool`` anew.

    Each list of tools has the description for the tools that the context of its
    own request may call.
    """
    return _DescribePerRequest()


class _DescribePerRequest(Transform):
    async def list_tools(self, tools: Sequence[Tool]) -> Sequence[Tool]:
        return [await _described(tool) for tool in tools]


async def _described(tool: Tool) -> Tool:
    if not isinstance(tool, _CodemodeTool) or tool._execution is None:
        return tool
    description = await tool._execution.describe_async(get_context())
    return tool.model_copy(update={"description": description})


def _code_tool(execution: CodeExecution, description: str) -> Tool:
    async def execute(arguments: Mapping[str, Any]) -> Answer:
        ctx = get_context()

        async def report(event: Event) -> None:
            if isinstance(event, ProgressReported):
                await ctx.report_progress(event.done, event.total, event.note or None)

        return await execution.execute(arguments.get("code"), ctx, on_event=report)

    tool = _tool(execution.name, description, CODE_SCHEMA, execute)
    tool._execution = execution
    return tool


def _plain_tool(direct: DirectTool) -> Tool:
    async def call(arguments: Mapping[str, Any]) -> Answer:
        return await direct.call(arguments, get_context())

    return _tool(direct.name, direct.description, direct.schema, call)


def _tool(
    name: str,
    description: str,
    schema: dict[str, Any],
    call: Callable[[dict[str, Any]], Any],
) -> _CodemodeTool:
    tool = _CodemodeTool(name=name, description=description, parameters=schema)
    tool._call = call
    return tool
