"""Codemode as tools of LangChain, for agents of LangGraph."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Unpack

from langchain_core.tools import StructuredTool, ToolException
from langgraph.runtime import Runtime, get_runtime

from codemode.core.codemode import Codemode
from codemode.core.events import Event
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

__all__ = ["code_tool", "code_tool_async", "plain_tools", "plain_tools_async"]


def code_tool(
    codemode: Codemode, *, context: ContextOf | None = None, **options: Unpack[CodeOptions]
) -> StructuredTool:
    """Return a tool that executes code.

    ``context`` returns variables of the RuntimeContext for the Runtime of the
    graph, such as ``lambda runtime: {"user": runtime.context["user"]}``. The
    description is that of the current context. The events of an execution are
    written to the stream "custom", as ``{"codemode": event}``. The artifact of
    the tool message is the ExecutionResult. Code that fails is a message with
    the status "error".
    """
    execution = CodeExecution(codemode, **options)
    return _code_tool(codemode, execution, execution.describe(), context)


async def code_tool_async(
    codemode: Codemode, *, context: ContextOf | None = None, **options: Unpack[CodeOptions]
) -> StructuredTool:
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
) -> list[StructuredTool]:
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
) -> list[StructuredTool]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await direct_tools_async(
        codemode, names, execution_timeout=execution_timeout, max_chars=max_chars
    )
    return [_plain_tool(codemode, one, context) for one in found]


def _code_tool(
    codemode: Codemode, execution: CodeExecution, description: str, context: ContextOf | None
) -> StructuredTool:
    async def execute_code(code: Any = None) -> tuple[str, Any]:
        runtime = _runtime()
        listen = None if runtime is None else _writer(runtime)
        with acting(codemode, context, runtime):
            return _content_of(await execution.execute(code, on_event=listen))

    return _tool(execute_code, execution.name, description, CODE_SCHEMA)


def _writer(runtime: Runtime[Any]) -> Callable[[Event], None]:
    return lambda event: runtime.stream_writer({"codemode": event})


def _plain_tool(
    codemode: Codemode, direct: DirectTool, context: ContextOf | None
) -> StructuredTool:
    async def call(**arguments: Any) -> tuple[str, Any]:
        with acting(codemode, context, _runtime()):
            return _content_of(await direct.call(arguments))

    return _tool(call, direct.name, direct.description, direct.schema)


def _tool(
    coroutine: Callable[..., Coroutine[Any, Any, Any]],
    name: str,
    description: str,
    schema: dict[str, Any],
) -> StructuredTool:
    return StructuredTool.from_function(
        coroutine=coroutine,
        name=name,
        description=description,
        args_schema=schema,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _runtime() -> Runtime[Any] | None:
    try:
        return get_runtime()
    except (RuntimeError, KeyError):  # outside of a graph
        return None


def _content_of(answer: Answer) -> tuple[str, Any]:
    if answer.failed:
        raise ToolException(answer.text)
    return answer.text, answer.result
