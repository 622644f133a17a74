"""Codemode as tools of LangChain, for agents of LangGraph."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from importlib import import_module
from typing import Any, Unpack

from asgiref.sync import async_to_sync
from langchain_core.tools import StructuredTool, ToolException
from langgraph.runtime import Runtime, get_runtime
from pydantic import PrivateAttr

from codemode.core._link.inside_loop import call_in_worker_thread, call_outside_loop
from codemode.core.codemode import Codemode
from codemode.core.events import Event
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
    "code_tool",
    "code_tool_async",
    "describe_per_request",
    "plain_tools",
    "plain_tools_async",
]


class _CodemodeTool(StructuredTool):
    """A tool whose arguments are checked by Codemode, and may have any names."""

    _execution: CodeExecution | None = PrivateAttr(default=None)

    # LangChain's own take ``config`` and ``run_manager``: arguments of these names would be lost.
    def _run(self, /, *_: Any, **arguments: Any) -> Any:
        assert self.func is not None
        return self.func(**arguments)

    async def _arun(self, /, *_: Any, **arguments: Any) -> Any:
        assert self.coroutine is not None
        return await self.coroutine(**arguments)


def code_tool(
    codemode: Codemode, *, context: ContextOf | None = None, **options: Unpack[CodeOptions]
) -> StructuredTool:
    """Return a tool that executes code.

    ``context`` returns variables of the RuntimeContext for the Runtime of the
    graph, such as ``lambda runtime: {"user": runtime.context["user"]}``. The
    description is that of the current context; ``describe_per_request`` makes it
    that of each request. The events of an execution are written to the stream
    "custom", as ``{"codemode": event}``. The artifact of the tool message is the
    ExecutionResult. Code that fails is a message with the status "error".
    """
    execution = CodeExecution(codemode, context, **options)
    return _code_tool(execution, execution.describe())


async def code_tool_async(
    codemode: Codemode, *, context: ContextOf | None = None, **options: Unpack[CodeOptions]
) -> StructuredTool:
    """Return this tool from a task; otherwise like ``code_tool``."""
    execution = CodeExecution(codemode, context, **options)
    return _code_tool(execution, await execution.describe_async())


def plain_tools(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    context: ContextOf | None = None,
    **options: Unpack[CallOptions],
) -> list[StructuredTool]:
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
) -> list[StructuredTool]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await DirectCalls(codemode, context, **options).tools_async(names)
    return [_plain_tool(one) for one in found]


def describe_per_request() -> Any:
    """Return a middleware for ``create_agent``, which describes each ``code_tool`` anew.

    Each request to the model has the description for the tools that its own
    context may call. Needs the package ``langchain``, which all else here does
    without.
    """
    # By its name, as mypy with the plugin of django-stubs fails in that package.
    middleware = import_module("langchain.agents.middleware")

    class DescribePerRequest(middleware.AgentMiddleware):  # type: ignore[name-defined,misc]  # not known to mypy
        """A middleware that describes each ``code_tool`` anew."""

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            tools = [_described(tool, request.runtime) for tool in request.tools]
            return handler(request.override(tools=tools))

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            tools = [await _described_async(tool, request.runtime) for tool in request.tools]
            return await handler(request.override(tools=tools))

    return DescribePerRequest()


def _described(tool: Any, runtime: Runtime[Any]) -> Any:
    if not isinstance(tool, _CodemodeTool) or tool._execution is None:
        return tool
    described = partial(async_to_sync(_described_async), tool, runtime)
    return call_in_worker_thread(described, tool._execution.codemode.registry)


async def _described_async(tool: Any, runtime: Runtime[Any]) -> Any:
    if not isinstance(tool, _CodemodeTool) or tool._execution is None:
        return tool
    description = await tool._execution.describe_async(runtime)
    return tool.model_copy(update={"description": description})


def _code_tool(execution: CodeExecution, description: str) -> StructuredTool:
    async def execute_code(**arguments: Any) -> tuple[Any, Any]:
        runtime = _runtime()
        listen = None if runtime is None else _writer(runtime)
        answer = await execution.execute(arguments.get("code"), runtime, on_event=listen)
        return _content_of(answer)

    tool = _tool(execution.codemode, execute_code, execution.name, description, CODE_SCHEMA)
    tool._execution = execution
    return tool


def _writer(runtime: Runtime[Any]) -> Callable[[Event], None]:
    return lambda event: runtime.stream_writer({"codemode": event})


def _plain_tool(direct: DirectTool) -> StructuredTool:
    async def call(**arguments: Any) -> tuple[Any, Any]:
        return _content_of(await direct.call(arguments, _runtime()))

    return _tool(direct.calls.codemode, call, direct.name, direct.description, direct.schema)


def _tool(
    codemode: Codemode,
    coroutine: Callable[..., Coroutine[Any, Any, Any]],
    name: str,
    description: str,
    schema: dict[str, Any],
) -> _CodemodeTool:
    def call(**arguments: Any) -> Any:
        return _call_sync(codemode, partial(async_to_sync(coroutine), **arguments))

    tool = _CodemodeTool.from_function(
        func=call,
        coroutine=coroutine,
        name=name,
        description=description,
        args_schema=schema,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )
    assert isinstance(tool, _CodemodeTool)
    return tool


def _call_sync(codemode: Codemode, call: Callable[[], Any]) -> Any:
    """Call a tool in the caller's thread, or apart from the threads of a graph.

    A sync call of a graph has moved its tools to threads of LangChain's, where nobody would
    close what tools open.
    """
    if _runtime() is not None:
        return call_in_worker_thread(call, codemode.registry)
    return call_outside_loop(call, codemode.registry, "invoke", "ainvoke")


def _runtime() -> Runtime[Any] | None:
    try:
        return get_runtime()
    except (RuntimeError, KeyError):  # outside of a graph
        return None


def _content_of(answer: Answer) -> tuple[str | list[dict[str, str]], Any]:
    if answer.failed:
        raise ToolException(answer.text)
    if not (pictures := pictures_of(answer.result)):
        return answer.text, answer.result
    images = [
        {"type": "image", "base64": one.base64, "mime_type": one.media_type} for one in pictures
    ]
    return [{"type": "text", "text": answer.text}, *images], answer.result
