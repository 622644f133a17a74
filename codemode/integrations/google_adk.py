"""Codemode as tools of an agent of Google's Agent Development Kit (ADK)."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Unpack

from google.adk.models.llm_request import LlmRequest
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext
from google.genai.types import FunctionDeclaration

from codemode.core.codemode import Codemode
from codemode.integrations._direct_calls import DirectCalls, DirectTool
from codemode.integrations._framework_tools import (
    CODE_SCHEMA,
    Answer,
    CallOptions,
    CodeExecution,
    CodeOptions,
    ContextOf,
)

__all__ = ["code_tool", "plain_tools", "plain_tools_async"]


class _CodemodeTool(BaseTool):
    """A tool whose arguments are checked by Codemode."""

    def __init__(
        self,
        name: str,
        description: str,
        schema: dict[str, Any],
        call: Callable[[dict[str, Any], ToolContext], Awaitable[Answer]],
    ) -> None:
        super().__init__(name=name, description=description)
        self._schema = schema
        self._call = call

    def _get_declaration(self) -> FunctionDeclaration:
        return FunctionDeclaration(
            name=self.name, description=self.description, parameters_json_schema=self._schema
        )

    async def run_async(self, *, args: dict[str, Any], tool_context: ToolContext) -> dict[str, str]:
        answer = await self._call(args, tool_context)
        return {"error" if answer.failed else "result": answer.text}


class _CodeTool(_CodemodeTool):
    """A tool whose description is made for each request to the model."""

    def __init__(self, execution: CodeExecution) -> None:
        super().__init__(execution.name, "Execute a Python program.", CODE_SCHEMA, self._execute)
        self._execution = execution

    async def process_llm_request(
        self, *, tool_context: ToolContext, llm_request: LlmRequest
    ) -> None:
        # Requests of other users may be made meanwhile, so this one gets a tool of its own.
        described = copy.copy(self)
        described.description = await self._execution.describe_async(tool_context)
        llm_request.append_tools([described])

    async def _execute(self, arguments: dict[str, Any], ctx: ToolContext) -> Answer:
        return await self._execution.execute(arguments.get("code"), ctx)


def code_tool(
    codemode: Codemode, *, context: ContextOf | None = None, **options: Unpack[CodeOptions]
) -> BaseTool:
    """Return a tool that executes code.

    ``context`` returns variables of the RuntimeContext for a ToolContext, such
    as ``lambda ctx: {"user_id": ctx.user_id}``. The description is made anew for
    each request to the model, for the tools that this context may call. The
    answer is ``{"result": text}``, or ``{"error": text}`` for code that fails, as
    an exception would end the agent's run.
    """
    return _CodeTool(CodeExecution(codemode, context, **options))


def plain_tools(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    **options: Unpack[CallOptions],
) -> list[BaseTool]:
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
) -> list[BaseTool]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await DirectCalls(codemode, context, **options).tools_async(names)
    return [_plain_tool(one) for one in found]


def _plain_tool(direct: DirectTool) -> BaseTool:
    return _CodemodeTool(direct.name, direct.description, direct.schema, direct.call)
