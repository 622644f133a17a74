"""Codemode as tools of the Anthropic SDK, for its tool runner."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Unpack, cast

from anthropic import beta_async_tool
from anthropic.lib.tools import BetaAsyncFunctionTool, ToolError
from anthropic.types.beta.beta_tool_result_block_param import Content

from codemode.core.codemode import Codemode
from codemode.integrations._direct_calls import DirectCalls, DirectTool
from codemode.integrations._framework_tools import (
    CODE_SCHEMA,
    Answer,
    CallOptions,
    CodeExecution,
    CodeOptions,
)
from codemode.integrations._pictures import Picture, pictures_of

__all__ = ["code_tool", "code_tool_async", "plain_tools", "plain_tools_async"]

Function = Callable[..., Coroutine[Any, Any, str | Iterable[Content]]]
AsyncTool = BetaAsyncFunctionTool[Function]


def code_tool(codemode: Codemode, **options: Unpack[CodeOptions]) -> AsyncTool:
    """Return a tool that executes code, in the context of the task that runs the tool runner.

    The description is that of the current context. Code that fails is a tool
    result with ``is_error``.
    """
    execution = CodeExecution(codemode, **options)
    return _code_tool(execution, execution.describe())


async def code_tool_async(codemode: Codemode, **options: Unpack[CodeOptions]) -> AsyncTool:
    """Return this tool from a task; otherwise like ``code_tool``."""
    execution = CodeExecution(codemode, **options)
    return _code_tool(execution, await execution.describe_async())


def plain_tools(
    codemode: Codemode, names: Iterable[str] | None = None, **options: Unpack[CallOptions]
) -> list[AsyncTool]:
    """Return a tool for each of the named tools, None for all, that this context may call.

    ``orders.get`` is ``orders_get``. Raises ConfigurationError.
    """
    found = DirectCalls(codemode, **options).tools(names)
    return [_plain_tool(one) for one in found]


async def plain_tools_async(
    codemode: Codemode, names: Iterable[str] | None = None, **options: Unpack[CallOptions]
) -> list[AsyncTool]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await DirectCalls(codemode, **options).tools_async(names)
    return [_plain_tool(one) for one in found]


def _code_tool(execution: CodeExecution, description: str) -> AsyncTool:
    async def execute_code(code: Any = None) -> str | Iterable[Content]:
        return _content_of(await execution.execute(code))

    return _tool(execute_code, execution.name, description, CODE_SCHEMA)


def _plain_tool(direct: DirectTool) -> AsyncTool:
    async def call(**arguments: Any) -> str | Iterable[Content]:
        return _content_of(await direct.call(arguments))

    return _tool(call, direct.name, direct.description, direct.schema)


def _tool(
    function: Function,
    name: str,
    description: str,
    schema: dict[str, Any],
) -> AsyncTool:
    decorate = beta_async_tool(name=name, description=description, input_schema=cast("Any", schema))
    return decorate(function)


def _content_of(answer: Answer) -> str | Iterable[Content]:
    if answer.failed:
        raise ToolError(answer.text)
    if not (pictures := pictures_of(answer.result)):
        return answer.text
    return [{"type": "text", "text": answer.text}, *map(_image, pictures)]


def _image(picture: Picture) -> Content:
    media_type = cast("Any", picture.media_type)
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": media_type, "data": picture.base64},
    }
