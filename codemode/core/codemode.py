"""The facade over one registry and one client."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from codemode.catalogue.catalogue import Catalogue, catalogue_of
from codemode.catalogue.instructions import Sandbox, instructions_for
from codemode.config import ClientConfig
from codemode.core._dispatch.threads import off_loop
from codemode.core._link.inside_loop import call_outside_loop
from codemode.core._link.request import limits_from
from codemode.core.client import ExecutorClient, FairnessKey
from codemode.core.context import RuntimeContext, get_current_context
from codemode.core.direct_call import DirectCall
from codemode.core.event_stream import EventStream
from codemode.core.recording import Recording
from codemode.core.registry import ComponentRegistry
from codemode.core.result import ExecutionResult
from codemode.core.session import Session
from codemode.errors import ExecutionError
from codemode.tools.tool import Tool
from codemode.wire.profile_packages import PACKAGES_OF_PROFILES

__all__ = ["Codemode", "EventStream"]

# An embedded executor runs this process's Python; only a call would tell that of another.
_OWN_PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"
_ANY_PYTHON = "Python 3.12 or later"


class Codemode:
    """A facade that executes a model's code with the tools of a registry.

    Share one facade per process, between all threads, tasks and loops. Use it
    in a ``with`` or ``async with`` block, or call ``close()``.
    """

    def __init__(
        self, client: ExecutorClient | None = None, registry: ComponentRegistry | None = None
    ) -> None:
        if client is None:
            client = ExecutorClient(registry=registry)
        self.client = client if registry is None else client.with_registry(registry)
        self.registry = self.client.registry

    @classmethod
    def from_client_config(
        cls,
        config: ClientConfig,
        *,
        registry: ComponentRegistry | None = None,
        fairness_key: FairnessKey | None = None,
    ) -> Self:
        """Return the facade that a ClientConfig describes. Raises ConfigurationError."""
        client = ExecutorClient.from_config(config, registry=registry, fairness_key=fairness_key)
        return cls(client)

    def with_context(self, **variables: Any) -> Self:
        """Replace the current task's context with these variables; return the facade."""
        self.registry.set_context(RuntimeContext(variables))
        return self

    def execute(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
        profile: str | None = None,
        recording: Recording | None = None,
        execution_id: str | None = None,
    ) -> str:
        """Execute code and return what a model should read: ``ExecutionResult.for_model()``.

        A value alone is a str unchanged, or else JSON; output alone is returned as
        it was printed. ``inputs`` become global variables of the code.
        ``available_tools=None`` means all tools, ``[]`` none. ``execution_timeout``
        is in seconds. ``profile`` selects the sandbox's preloaded packages. What
        ``recording`` holds is answered from it; what is new is written into it.

        Raises ExecutionError when the code failed, with a message for the model
        and the whole outcome as ``result``, and ExecutorClientError when
        something outside the code failed.
        """
        return _text(
            self.run(
                code,
                inputs=inputs,
                available_tools=available_tools,
                execution_timeout=execution_timeout,
                profile=profile,
                recording=recording,
                execution_id=execution_id,
            )
        )

    async def execute_async(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
        profile: str | None = None,
        recording: Recording | None = None,
        execution_id: str | None = None,
    ) -> str:
        """Execute code from a task; otherwise like ``execute``."""
        result = await self.run_async(
            code,
            inputs=inputs,
            available_tools=available_tools,
            execution_timeout=execution_timeout,
            profile=profile,
            recording=recording,
            execution_id=execution_id,
        )
        if isinstance(result.value, str | int | float | None):
            return _text(result)
        return await off_loop(_text, result)  # a large value takes long to convert

    def run(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
        profile: str | None = None,
        recording: Recording | None = None,
        execution_id: str | None = None,
    ) -> ExecutionResult:
        """Execute code and return the whole outcome; a failure of the code does not raise."""
        return self.client.execute(
            code,
            available_tools,
            inputs=inputs,
            execution_timeout=execution_timeout,
            profile=profile,
            recording=recording,
            execution_id=execution_id,
        )

    async def run_async(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
        profile: str | None = None,
        recording: Recording | None = None,
        execution_id: str | None = None,
    ) -> ExecutionResult:
        """Execute code from a task; otherwise like ``run``."""
        return await self.client.execute_async(
            code,
            available_tools,
            inputs=inputs,
            execution_timeout=execution_timeout,
            profile=profile,
            recording=recording,
            execution_id=execution_id,
        )

    def stream(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
        profile: str | None = None,
        recording: Recording | None = None,
        execution_id: str | None = None,
    ) -> EventStream:
        """Execute code and return its events as they happen, for ``for`` or ``async for``.

        The last event has the result. If the loop is left early, the sandbox is
        killed when the stream is closed: use ``with`` or ``async with`` for that.
        """
        arguments: dict[str, Any] = {
            "available_tools": available_tools,
            "inputs": inputs,
            "execution_timeout": execution_timeout,
            "profile": profile,
            "recording": recording,
            "execution_id": execution_id,
        }
        return EventStream(
            partial(self.client.stream, code, **arguments),
            partial(self.client.stream_async, code, **arguments),
        )

    def session(
        self,
        *,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
        idle_timeout: float | None = None,
        profile: str | None = None,
    ) -> Session:
        """Open one sandbox for several runs that share their variables.

        Use the session in a ``with`` or ``async with`` block. It is bound to the
        context, the user and the tools with which it was opened.
        ``execution_timeout`` is per run. Both timeouts are in seconds.
        """
        return Session(
            self.client,
            available_tools=available_tools,
            execution_timeout=execution_timeout,
            idle_timeout=idle_timeout,
            profile=profile,
        )

    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
    ) -> Any:
        """Call one tool as executed code would, without code and executor; return its value.

        The call passes the same checks and hooks, and runs in the same threads
        and context, as a call of ``run``. Its value has been converted as for
        executed code: a dataclass is a dict. ``execution_timeout`` is in
        seconds; a sync tool in this thread is not interrupted by it.

        Raises ToolError: UnknownTool, InvalidArguments, ToolPermissionDenied or
        another ToolCallRefused before the tool runs, ToolFailed when it raised,
        ToolTimeout. Raises ConfigurationError for a wrong option, and
        ClientClosedError after ``close()``.
        """
        call = self._direct_call(name, arguments, available_tools, execution_timeout)
        return call_outside_loop(call.run, self.registry, "call_tool")

    async def call_tool_async(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        available_tools: Iterable[str] | None = None,
        execution_timeout: float | None = None,
    ) -> Any:
        """Call one tool from a task; otherwise like ``call_tool``.

        Cancelling the task cancels an async tool. A sync tool goes on in its thread.
        """
        call = self._direct_call(name, arguments, available_tools, execution_timeout)
        return await call.run_async()

    def _direct_call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        available_tools: Iterable[str] | None,
        execution_timeout: float | None,
    ) -> DirectCall:
        self.client.check_open()
        return DirectCall(
            registry=self.registry,
            name=name,
            arguments=arguments,
            available_tools=available_tools,
            limits=limits_from(self.client.limits, None, execution_timeout),
        )

    def catalogue(
        self,
        available_tools: Iterable[str] | None = None,
        *,
        max_tokens: int | None = None,
        notes: bool = True,
    ) -> Catalogue:
        """Return the tools as a model reads them, in the richest tier that fits ``max_tokens``.

        Only tools that the current context may call are in it. The same tools
        give the same bytes. ``notes=False`` leaves out the notes on arguments.
        Starts and asks no executor. Raises ConfigurationError for a tool that is
        not registered, and for a budget into which not even a line fits.
        """
        tools = self._permitted(available_tools, "catalogue")
        return catalogue_of(tools, max_tokens=max_tokens, notes=notes)

    async def catalogue_async(
        self,
        available_tools: Iterable[str] | None = None,
        *,
        max_tokens: int | None = None,
        notes: bool = True,
    ) -> Catalogue:
        """Return the catalogue from a task; otherwise like ``catalogue``."""
        tools = await self.permitted_tools_async(available_tools)
        return await off_loop(partial(catalogue_of, max_tokens=max_tokens, notes=notes), tools)

    def instructions(
        self, available_tools: Iterable[str] | None = None, *, max_tokens: int | None = None
    ) -> str:
        """Return the description of a tool ``execute_code(code)``, for a model.

        It has the rules of the code, the properties of the sandbox as the
        client's configuration says, and the catalogue, within ``max_tokens``
        altogether. Otherwise like ``catalogue``.
        """
        tools = self._permitted(available_tools, "instructions")
        return instructions_for(tools, self._sandbox(), max_tokens=max_tokens)

    async def instructions_async(
        self, available_tools: Iterable[str] | None = None, *, max_tokens: int | None = None
    ) -> str:
        """Return the instructions from a task; otherwise like ``instructions``."""
        tools = await self.permitted_tools_async(available_tools)
        return await off_loop(
            partial(instructions_for, max_tokens=max_tokens), tools, self._sandbox()
        )

    def permitted_tools(self, available_tools: Iterable[str] | None = None) -> Mapping[str, Tool]:
        """Return the tools that the current context may call, by name.

        ``available_tools`` selects some of them, as for ``run``. Starts and asks
        no executor. Raises ConfigurationError for a tool that is not registered.
        """
        return self._permitted(available_tools, "permitted_tools")

    async def permitted_tools_async(
        self, available_tools: Iterable[str] | None = None
    ) -> Mapping[str, Tool]:
        """Return these tools from a task; otherwise like ``permitted_tools``."""
        tools = self.registry.select(available_tools)
        context = get_current_context()
        if any(tool.permission is not None for tool in tools.values()):
            await self.registry.load_async(context)
        return await self.registry.visible_async(tools, context)

    def close(self) -> None:
        """Close the client. Idempotent."""
        self.client.close()

    async def close_async(self) -> None:
        """Close the client from a task. Idempotent."""
        await self.client.close_async()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close_async()

    def _permitted(self, available_tools: Iterable[str] | None, name: str) -> Mapping[str, Tool]:
        tools = self.registry.select(available_tools)
        if all(tool.permission is None for tool in tools.values()):
            return tools
        context = get_current_context()

        def check() -> Mapping[str, Tool]:
            self.registry.load(context)
            return self.registry.visible(tools, context)

        return call_outside_loop(check, self.registry, name)

    def _sandbox(self) -> Sandbox:
        limits = self.client.limits
        return Sandbox(
            python=_OWN_PYTHON if self.client.embedded is not None else _ANY_PYTHON,
            packages=PACKAGES_OF_PROFILES.get(self.client.profile, ()),
            execution_timeout=limits.execution_timeout,
            max_memory_bytes=limits.max_memory_bytes,
            max_tool_calls=limits.max_tool_calls,
        )


def _text(result: ExecutionResult) -> str:
    if not result.ok:
        raise ExecutionError(result)
    return result.for_model()
