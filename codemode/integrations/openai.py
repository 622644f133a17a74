"""Codemode as tools of the OpenAI SDK: of the Responses API and of Chat Completions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, Unpack

from codemode.core.codemode import Codemode
from codemode.errors import ConfigurationError
from codemode.integrations._direct_calls import DirectCalls, DirectTool
from codemode.integrations._framework_tools import (
    CODE_SCHEMA,
    Answer,
    CallOptions,
    CodeExecution,
    CodeOptions,
)
from codemode.integrations._pictures import pictures_of

__all__ = [
    "OpenAITool",
    "answer_calls",
    "code_tool",
    "code_tool_async",
    "plain_tools",
    "plain_tools_async",
]

type Kind = Literal["custom", "function", "chat"]


class OpenAITool:
    """A tool of a model of OpenAI: its ``definition``, and the answers to its calls.

    ``definition`` goes into the list ``tools`` of a request.
    """

    def __init__(
        self, name: str, definition: dict[str, Any], call: Callable[[str], Awaitable[Answer]]
    ) -> None:
        self.name = name
        self.definition = definition
        self._call = call

    async def answer(self, call: Any) -> dict[str, Any]:
        """Return what answers a call, an item of a response or a ``tool_call`` of a chat message.

        The tool runs in the context of the current task. A failure is a text for
        the model, which has no flag for one. Answers of the Responses API have the
        pictures of the outcome.
        """
        if call.type == "custom_tool_call":
            output = _output_of(await self._call(call.input))
            return {"type": "custom_tool_call_output", "call_id": call.call_id, "output": output}
        if call.type == "function_call":
            output = _output_of(await self._call(call.arguments))
            return {"type": "function_call_output", "call_id": call.call_id, "output": output}
        function = call.function
        text = (await self._call(function.arguments)).text
        return {"role": "tool", "tool_call_id": call.id, "content": text}


def code_tool(
    codemode: Codemode, *, kind: Kind = "custom", **options: Unpack[CodeOptions]
) -> OpenAITool:
    """Return a tool that executes code.

    ``kind`` is "custom" (the Responses API; the model writes the code as plain
    text), "function" (the Responses API, the code is in JSON) or "chat" (Chat
    Completions). The description is that of the current context.
    """
    execution = CodeExecution(codemode, **options)
    return _code_tool(execution, execution.describe(), kind)


async def code_tool_async(
    codemode: Codemode, *, kind: Kind = "custom", **options: Unpack[CodeOptions]
) -> OpenAITool:
    """Return this tool from a task; otherwise like ``code_tool``."""
    execution = CodeExecution(codemode, **options)
    return _code_tool(execution, await execution.describe_async(), kind)


def plain_tools(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    kind: Literal["function", "chat"] = "function",
    **options: Unpack[CallOptions],
) -> list[OpenAITool]:
    """Return a tool for each of the named tools, None for all, that this context may call.

    ``orders.get`` is ``orders_get``. Raises ConfigurationError.
    """
    found = DirectCalls(codemode, **options).tools(names)
    return [_plain_tool(kind, one) for one in found]


async def plain_tools_async(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    kind: Literal["function", "chat"] = "function",
    **options: Unpack[CallOptions],
) -> list[OpenAITool]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await DirectCalls(codemode, **options).tools_async(names)
    return [_plain_tool(kind, one) for one in found]


async def answer_calls(tools: Iterable[OpenAITool], calls: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the answers to the calls of ``tools``, made at once, in the order of the calls.

    ``calls`` are the ``output`` of a response, or the ``tool_calls`` of a chat
    message. Other items, and calls of other tools, are left to the caller.
    """
    by_name = {tool.name: tool for tool in tools}
    found = [(by_name[name], call) for call in calls if (name := _name_of(call)) in by_name]
    return list(await asyncio.gather(*(tool.answer(call) for tool, call in found)))


def _code_tool(execution: CodeExecution, description: str, kind: Kind) -> OpenAITool:
    if kind == "custom":
        definition: dict[str, Any] = {
            "type": "custom",
            "name": execution.name,
            "description": description,
            "format": {"type": "text"},
        }
        return OpenAITool(execution.name, definition, execution.execute)
    definition = _definition(kind, execution.name, description, CODE_SCHEMA, strict=True)
    return OpenAITool(execution.name, definition, execution.execute_arguments)


def _plain_tool(kind: str, direct: DirectTool) -> OpenAITool:
    # A strict schema would want each property to be required.
    definition = _definition(kind, direct.name, direct.description, direct.schema, strict=False)
    return OpenAITool(direct.name, definition, direct.call)


def _definition(
    kind: str, name: str, description: str, parameters: dict[str, Any], *, strict: bool
) -> dict[str, Any]:
    function = {
        "name": name,
        "description": description,
        "parameters": parameters,
        "strict": strict,
    }
    if kind == "function":
        return {"type": "function", **function}
    if kind == "chat":
        return {"type": "function", "function": function}
    raise ConfigurationError(f"kind={kind!r}; expected 'custom', 'function' or 'chat'")


def _output_of(answer: Answer) -> str | list[dict[str, str]]:
    if not (pictures := pictures_of(answer.result)):
        return answer.text
    images = [{"type": "input_image", "image_url": one.url, "detail": "auto"} for one in pictures]
    return [{"type": "input_text", "text": answer.text}, *images]


def _name_of(call: Any) -> str | None:
    kind = getattr(call, "type", None)
    if kind in ("custom_tool_call", "function_call"):
        name: str = call.name
        return name
    return call.function.name if kind == "function" else None
