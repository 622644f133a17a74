"""Codemode as tools of an agent of the OpenAI Agents SDK."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Unpack

from agents import CustomTool, FunctionTool
from agents.tool_context import ToolContext

from codemode.core.codemode import Codemode
from codemode.errors import ConfigurationError
from codemode.integrations._framework_tools import (
    CODE_SCHEMA,
    CodeExecution,
    CodeOptions,
    ContextOf,
    DirectTool,
    acting,
    direct_tools,
    direct_tools_async,
)

__all__ = ["code_tool", "code_tool_async", "plain_tools", "plain_tools_async"]

type Kind = Literal["function", "custom"]


def code_tool(
    codemode: Codemode,
    *,
    kind: Kind = "function",
    context: ContextOf | None = None,
    **options: Unpack[CodeOptions],
) -> FunctionTool | CustomTool:
    """Return a tool that executes code.

    ``kind="custom"`` sends the code as plain text, without JSON around it; only
    models of the Responses API take it. ``context`` returns variables of the
    RuntimeContext for a ToolContext, such as ``lambda ctx: {"user": ctx.context}``.
    The description is that of the current context. Code that fails is a text
    for the model, as an exception would end the agent's run.
    """
    execution = CodeExecution(codemode, **options)
    return _code_tool(codemode, execution, execution.describe(), kind, context)


async def code_tool_async(
    codemode: Codemode,
    *,
    kind: Kind = "function",
    context: ContextOf | None = None,
    **options: Unpack[CodeOptions],
) -> FunctionTool | CustomTool:
    """Return this tool from a task; otherwise like ``code_tool``."""
    execution = CodeExecution(codemode, **options)
    return _code_tool(codemode, execution, await execution.describe_async(), kind, context)


def plain_tools(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    execution_timeout: float | None = None,
    max_chars: int = 20_000,
) -> list[FunctionTool]:
    """Return a tool for each of the named tools, None for all, that this context may call.

    ``orders.get`` is ``orders_get``. Raises ConfigurationError.
    """
    found = direct_tools(codemode, names, execution_timeout=execution_timeout, max_chars=max_chars)
    return [_plain_tool(codemode, one, context) for one in found]


async def plain_tools_async(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    execution_timeout: float | None = None,
    max_chars: int = 20_000,
) -> list[FunctionTool]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await direct_tools_async(
        codemode, names, execution_timeout=execution_timeout, max_chars=max_chars
    )
    return [_plain_tool(codemode, one, context) for one in found]


def _code_tool(
    codemode: Codemode,
    execution: CodeExecution,
    description: str,
    kind: Kind,
    context: ContextOf | None,
) -> FunctionTool | CustomTool:
    async def execute(ctx: ToolContext[Any], code: Any) -> str:
        with acting(codemode, context, ctx):
            return (await execution.execute(code)).text

    async def execute_arguments(ctx: ToolContext[Any], arguments: str) -> str:
        with acting(codemode, context, ctx):
            return (await execution.execute_arguments(arguments)).text

    if kind == "custom":
        return CustomTool(
            name=execution.name,
            description=description,
            on_invoke_tool=execute,
            format={"type": "text"},
        )
    if kind != "function":
        raise ConfigurationError(f"kind={kind!r}; expected 'function' or 'custom'")
    return FunctionTool(
        name=execution.name,
        description=description,
        params_json_schema=CODE_SCHEMA,
        on_invoke_tool=execute_arguments,
    )


def _plain_tool(codemode: Codemode, direct: DirectTool, context: ContextOf | None) -> FunctionTool:
    async def call(ctx: ToolContext[Any], arguments: str) -> str:
        with acting(codemode, context, ctx):
            return (await direct.call(arguments)).text

    return FunctionTool(
        name=direct.name,
        description=direct.description,
        params_json_schema=direct.schema,
        on_invoke_tool=call,
        strict_json_schema=False,  # which would want each property to be required
    )
