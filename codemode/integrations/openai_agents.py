"""Codemode as tools of an agent of the OpenAI Agents SDK."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Unpack

from agents import CustomTool, FunctionTool, ToolOutputImage, ToolOutputText
from agents.tool_context import ToolContext

from codemode.core.codemode import Codemode
from codemode.errors import ConfigurationError
from codemode.integrations._direct_calls import DirectCalls, DirectTool
from codemode.integrations._framework_tools import (
    CODE_SCHEMA,
    CallOptions,
    CodeExecution,
    CodeOptions,
    ContextOf,
)
from codemode.integrations._pictures import pictures_of

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
    execution = CodeExecution(codemode, context, **options)
    return _code_tool(execution, execution.describe(), kind)


async def code_tool_async(
    codemode: Codemode,
    *,
    kind: Kind = "function",
    context: ContextOf | None = None,
    **options: Unpack[CodeOptions],
) -> FunctionTool | CustomTool:
    """Return this tool from a task; otherwise like ``code_tool``."""
    execution = CodeExecution(codemode, context, **options)
    return _code_tool(execution, await execution.describe_async(), kind)


def plain_tools(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    **options: Unpack[CallOptions],
) -> list[FunctionTool]:
    """Return a tool for each of the named tools, None for all, that this context may call.

    ``orders.get`` is ``orders_get``. Raises ConfigurationError.
    """
    found = DirectCalls(codemode, context, **options).tools(names)
    return [_plain_tool(one) for one in found]


async def plain_tools_async(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    **options: Unpack[CallOptions],
) -> list[FunctionTool]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await DirectCalls(codemode, context, **options).tools_async(names)
    return [_plain_tool(one) for one in found]


def _code_tool(execution: CodeExecution, description: str, kind: Kind) -> FunctionTool | CustomTool:
    async def execute(ctx: ToolContext[Any], code: Any) -> str:
        return (await execution.execute(code, ctx)).text

    async def execute_arguments(ctx: ToolContext[Any], arguments: str) -> Any:
        answer = await execution.execute_arguments(arguments, ctx)
        if not (pictures := pictures_of(answer.result)):
            return answer.text
        images = (ToolOutputImage(image_url=one.url) for one in pictures)
        return [ToolOutputText(text=answer.text), *images]

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


def _plain_tool(direct: DirectTool) -> FunctionTool:
    async def call(ctx: ToolContext[Any], arguments: str) -> str:
        return (await direct.call(arguments, ctx)).text

    return FunctionTool(
        name=direct.name,
        description=direct.description,
        params_json_schema=direct.schema,
        on_invoke_tool=call,
        strict_json_schema=False,  # which would want each property to be required
    )
