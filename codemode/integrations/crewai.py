"""Codemode as tools of an agent of CrewAI, which runs tools in threads of its own."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Unpack

from asgiref.sync import ThreadSensitiveContext
from crewai.tools import BaseTool, ToolFailure
from pydantic import BaseModel, ConfigDict, PrivateAttr

from codemode.core._dispatch.threads import call_each
from codemode.core.codemode import Codemode
from codemode.integrations._direct_calls import DirectCalls, DirectTool
from codemode.integrations._framework_tools import (
    CODE_SCHEMA,
    Answer,
    CallOptions,
    CodeExecution,
    CodeOptions,
)

__all__ = ["code_tool", "code_tool_async", "plain_tools", "plain_tools_async"]


class _CodemodeTool(BaseTool):
    """A tool whose arguments are checked by Codemode, and may have any names."""

    _codemode: Codemode = PrivateAttr()
    _call: Callable[[dict[str, Any]], Awaitable[Answer]] = PrivateAttr()

    # CrewAI's own have no room for an argument with the name ``self``.
    def run(self, /, **arguments: Any) -> Any:
        return super().run(arguments)

    async def arun(self, /, **arguments: Any) -> Any:
        return await super().arun(arguments)

    # CrewAI awaits it, or calls asyncio.run() in a thread of its own. If it were not a coroutine
    # function, CrewAI might call it in a thread without the caller's context.
    async def _run(
        self, given: dict[str, Any] | None = None, /, **arguments: Any
    ) -> str | ToolFailure:
        async with _own_sync_thread(self._codemode):
            answer = await self._call(arguments if given is None else given)
        return ToolFailure(message=answer.text) if answer.failed else answer.text

    _arun = _run


@asynccontextmanager
async def _own_sync_thread(codemode: Codemode) -> AsyncIterator[None]:
    """Give the sync code of the block a thread of its own, and close what it has opened there.

    The context of the block may name the thread of a sync view for sync code.
    That thread waits for CrewAI, so sync code would wait there for ever.
    """
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="codemode-crewai")
    try:
        async with ThreadSensitiveContext(executor=thread):
            yield
    finally:
        # After a timeout, a sync tool may still be at work there.
        thread.submit(call_each, codemode.registry.extensions.thread_finalizers)
        thread.shutdown(wait=False)


def code_tool(codemode: Codemode, **options: Unpack[CodeOptions]) -> BaseTool:
    """Return a tool that executes code, in the context of the caller of ``kickoff``.

    The description is that of the current context. Code that fails is a
    ToolFailure. CrewAI does not cancel a tool, so an execution ends by itself or
    by ``execution_timeout``, whatever becomes of the caller.
    """
    execution = CodeExecution(codemode, **options)
    return _code_tool(codemode, execution, execution.describe())


async def code_tool_async(codemode: Codemode, **options: Unpack[CodeOptions]) -> BaseTool:
    """Return this tool from a task; otherwise like ``code_tool``."""
    execution = CodeExecution(codemode, **options)
    return _code_tool(codemode, execution, await execution.describe_async())


def plain_tools(
    codemode: Codemode, names: Iterable[str] | None = None, **options: Unpack[CallOptions]
) -> list[BaseTool]:
    """Return a tool for each of the named tools, None for all, that this context may call.

    ``orders.get`` is ``orders_get``. Raises ConfigurationError.
    """
    found = DirectCalls(codemode, **options).tools(names)
    return [_plain_tool(codemode, one) for one in found]


async def plain_tools_async(
    codemode: Codemode, names: Iterable[str] | None = None, **options: Unpack[CallOptions]
) -> list[BaseTool]:
    """Return these tools from a task; otherwise like ``plain_tools``."""
    found = await DirectCalls(codemode, **options).tools_async(names)
    return [_plain_tool(codemode, one) for one in found]


def _code_tool(codemode: Codemode, execution: CodeExecution, description: str) -> BaseTool:
    async def execute(arguments: dict[str, Any]) -> Answer:
        return await execution.execute(arguments.get("code"))

    return _tool(codemode, execution.name, description, CODE_SCHEMA, execute)


def _plain_tool(codemode: Codemode, direct: DirectTool) -> BaseTool:
    return _tool(codemode, direct.name, direct.description, direct.schema, direct.call)


def _tool(
    codemode: Codemode,
    name: str,
    description: str,
    schema: dict[str, Any],
    call: Callable[[dict[str, Any]], Awaitable[Answer]],
) -> BaseTool:
    class Arguments(BaseModel):
        """The arguments as the model sent them, which Codemode checks."""

        model_config = ConfigDict(extra="allow")

        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            # CrewAI changes what it gets.
            return copy.deepcopy(schema)

    tool = _CodemodeTool(
        name=name, description=description, args_schema=Arguments, cache_function=_is_cached
    )
    tool._codemode = codemode
    tool._call = call
    return tool


def _is_cached(_arguments: Any = None, _answer: Any = None) -> bool:
    """Return False: the next call of a tool may have another answer, or another effect."""
    return False
