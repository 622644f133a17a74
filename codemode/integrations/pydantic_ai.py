"""Codemode as tools of a pydantic-ai agent."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Unpack

from pydantic_ai import BinaryContent, CustomEvent, RunContext, Tool, ToolFailed
from pydantic_ai.tools import ToolDefinition

from codemode.core.codemode import Codemode
from codemode.core.events import Event
from codemode.integrations._direct_calls import DirectCalls, DirectTool
from codemode.integrations._framework_tools import (
    CallOptions,
    CodeExecution,
    CodeOptions,
    ContextOf,
)
from codemode.integrations._pictures import pictures_of

__all__ = ["CodemodeEvent", "code_tool", "plain_tools", "plain_tools_async"]


@dataclasses.dataclass(kw_only=True, repr=False)
class CodemodeEvent(CustomEvent, name="codemode"):
    """An event of an execution, in the event stream of the agent's run."""

    event: Any


def code_tool(
    codemode: Codemode, *, context: ContextOf | None = None, **options: Unpack[CodeOptions]
) -> Tool[Any]:
    """Return a tool that executes code.

    ``context`` returns variables of the RuntimeContext for an agent's
    RunContext, such as ``lambda ctx: {"user": ctx.deps.user}``. The description
    is made anew for each request to the model, for the tools that this context
    may call. The events of an execution are emitted as ``CodemodeEvent``. Code
    that fails is a failed tool result and uses no retry of the agent.
    """
    execution = CodeExecution(codemode, context, **options)

    async def execute_code(ctx: RunContext[Any], code: str) -> Any:
        async def emit(event: Event) -> None:
            await ctx.emit(CodemodeEvent(event=event))

        answer = await execution.execute(code, ctx, on_event=emit)
        if answer.failed:
            raise ToolFailed(answer.text)
        if not (pictures := pictures_of(answer.result)):
            return answer.text
        images = (BinaryContent(data=one.data, media_type=one.media_type) for one in pictures)
        return [answer.text, *images]

    async def prepare(ctx: RunContext[Any], definition: ToolDefinition) -> ToolDefinition:
        description = await execution.describe_async(ctx)
        return dataclasses.replace(definition, description=description)

    return Tool(execute_code, takes_ctx=True, name=execution.name, prepare=prepare)


def plain_tools(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    **options: Unpack[CallOptions],
) -> list[Tool[Any]]:
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
) -> list[Tool[Any]]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await DirectCalls(codemode, context, **options).tools_async(names)
    return [_plain_tool(one) for one in found]


def _plain_tool(direct: DirectTool) -> Tool[Any]:
    async def call(ctx: RunContext[Any], /, **arguments: Any) -> str:
        answer = await direct.call(arguments, ctx)
        if answer.failed:
            raise ToolFailed(answer.text)
        return answer.text

    return Tool.from_schema(call, direct.name, direct.description, direct.schema, takes_ctx=True)
