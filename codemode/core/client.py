"""The client of an executor: every execution on a stream of its own, in two honest halves."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import math
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import SecretStr

from codemode.config import ClientConfig, Limits, TLSConfig
from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core._dispatch.observation import Observation
from codemode.core._link import async_carrier, sync_carrier
from codemode.core._link.connection import Connection
from codemode.core._link.inside_loop import call_outside_loop
from codemode.core._link.request import RunRequest, SandboxRequest, limits_from
from codemode.core._link.transcript import Transcript
from codemode.core.context import RuntimeContext, get_current_context
from codemode.core.event_stream import Cancellation, last_result, last_result_async
from codemode.core.events import Event, ExecutionCompleted
from codemode.core.executor_info import ExecutorInfo
from codemode.core.hooks import Execution
from codemode.core.registry import ComponentRegistry
from codemode.core.result import ExecutionResult
from codemode.embedded.executor import EmbeddedExecutor
from codemode.errors import ExecutorConnectionError
from codemode.tools import Tool

__all__ = ["ExecutorClient"]

FairnessKey = Callable[[RuntimeContext | None], str]

# Seconds between attempts to hand the code to an executor; None ends them.
# They end with `started` as well: before it no tool can have been called, and
# after it nothing is ever sent twice.
_PAUSES = (0.05, 0.1, 0.2, None)


class ExecutorClient:
    """Execute code on an executor, with the tools of a registry.

    Safe to share between threads, tasks and event loops, and usable on both
    sides of a fork. Each call is independent and captures the caller's context
    when it begins. With ``executor_url=None`` the client starts an executor of
    its own on first use, one per process.

    ``timeout`` is the default ``execution_timeout`` in seconds; ``limits``
    holds all defaults. ``connect_timeout`` is how many seconds an execution
    waits for a connection to the executor, such as while that starts again.

    Raises ConfigurationError for a malformed URL.
    """

    def __init__(
        self,
        executor_url: str | None = None,
        api_key: str | SecretStr | None = None,
        *,
        registry: ComponentRegistry | None = None,
        timeout: float | None = None,
        tls: TLSConfig | None = None,
        connect_timeout: float = 10.0,
        limits: Limits | None = None,
        profile: str = "default",
        min_tier: str | None = None,
        executor_log_file: Path | None = None,
        fairness_key: FairnessKey | None = None,
    ) -> None:
        self.registry = registry if registry is not None else ComponentRegistry()
        self.limits = limits_from(limits or Limits(), None, timeout)
        self._profile = profile
        self._fairness_key = fairness_key
        self.connection = Connection(
            executor_url,
            api_key,
            tls=tls,
            connect_timeout=connect_timeout,
            min_tier=min_tier,
            executor_log_file=executor_log_file,
        )

    @classmethod
    def from_config(
        cls,
        config: ClientConfig,
        *,
        registry: ComponentRegistry | None = None,
        fairness_key: FairnessKey | None = None,
    ) -> Self:
        """Make the client that a ClientConfig describes."""
        return cls(
            config.executor_url,
            config.executor_api_key,
            registry=registry,
            tls=config.tls,
            connect_timeout=config.connect_timeout,
            limits=config.limits,
            profile=config.profile,
            min_tier=config.min_tier,
            executor_log_file=config.executor_log_file,
            fairness_key=fairness_key,
        )

    def with_registry(self, registry: ComponentRegistry) -> Self:
        """Return a client with other tools on the same connection; closing one closes both."""
        client = copy.copy(self)
        client.registry = registry
        return client

    @property
    def url(self) -> str:
        """Return the executor's URL as it was given, or "embedded"."""
        return self.connection.url

    @property
    def embedded(self) -> EmbeddedExecutor | None:
        """Return the executor of this client's own (its ``pid``, its ``log_path``), or None."""
        return self.connection.embedded

    def execute(
        self,
        code: str,
        available_tools: Iterable[str] | None = None,
        config: Limits | Mapping[str, Any] | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
        context: RuntimeContext | None = None,
        profile: str | None = None,
    ) -> ExecutionResult:
        """Execute code and return its whole outcome; a failure of the code does not raise.

        ``available_tools`` None means all, [] none. ``config`` overrides the
        client's limits, by the names of ``Limits``. ``inputs`` become global
        variables of the code. ``execution_timeout`` in seconds. ``profile`` is
        what the sandbox has preloaded, None the client's own profile.

        Inside a running event loop this works, in a worker thread, but blocks
        the loop: use ``execute_async`` there.

        Raises ExecutorClientError, ConfigurationError, ValueEncodingError.
        """
        return call_outside_loop(
            lambda: last_result(
                self.stream(
                    code,
                    available_tools,
                    config,
                    inputs=inputs,
                    execution_timeout=execution_timeout,
                    context=context,
                    profile=profile,
                )
            ),
            self.registry,
        )

    async def execute_async(
        self,
        code: str,
        available_tools: Iterable[str] | None = None,
        config: Limits | Mapping[str, Any] | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
        context: RuntimeContext | None = None,
        profile: str | None = None,
    ) -> ExecutionResult:
        """Execute code from a task; otherwise as ``execute``. Cancelling kills the sandbox."""
        events = self.stream_async(
            code,
            available_tools,
            config,
            inputs=inputs,
            execution_timeout=execution_timeout,
            context=context,
            profile=profile,
        )
        return await last_result_async(events)

    def stream(
        self,
        code: str,
        available_tools: Iterable[str] | None = None,
        config: Limits | Mapping[str, Any] | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
        context: RuntimeContext | None = None,
        profile: str | None = None,
        cancellation: Cancellation | None = None,
        pause_seconds: float = math.inf,
    ) -> Generator[Event, None, None]:
        """Execute code from a thread and give the events as they happen.

        Closing the generator before its end kills the sandbox; ``cancellation``
        ends the run from elsewhere. ``pause_seconds`` is for
        ``EventStream.with_pauses``.
        """
        cancellation = cancellation or Cancellation()
        self.connection.check_open()
        limits = limits_from(self.limits, config, execution_timeout)
        context = context if context is not None else get_current_context()
        tools = self.registry.select(available_tools)
        self.registry.load(context)
        listed = self.registry.visible(tools, context)
        sandbox = self.sandbox_request(limits, tools, listed, context, profile=profile)
        run = RunRequest(code=code, inputs=inputs or {}, execution_timeout=limits.execution_timeout)
        with self.observation(sandbox, run, context) as observation:
            waits = takewhile(lambda _: not cancellation.why, self.connection.waits())
            for pause in _PAUSES:
                transcript = observation.transcript = self.transcript(sandbox, run, context)
                if (refusal := refused(run, limits, transcript, cancellation)) is not None:
                    yield refusal
                    return
                link = self.connection.open_sync(
                    sandbox.messages(run), timeout=sandbox.deadline(run), waited=waits
                )
                link.pause_seconds = pause_seconds
                cancellation.watch(link)
                try:
                    yield from sync_carrier.drive(link, transcript, run.run_id)
                    return
                except ExecutorConnectionError:
                    if transcript.started or pause is None:
                        raise
                finally:
                    cancellation.watch(None)
                    link.close()
                time.sleep(pause)

    async def stream_async(
        self,
        code: str,
        available_tools: Iterable[str] | None = None,
        config: Limits | Mapping[str, Any] | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
        context: RuntimeContext | None = None,
        profile: str | None = None,
        cancellation: Cancellation | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Execute code from a task and give the events as they happen.

        Closing the generator (``aclose``) before its end kills the sandbox.
        """
        cancellation = cancellation or Cancellation()
        self.connection.check_open()
        limits = limits_from(self.limits, config, execution_timeout)
        context = context if context is not None else get_current_context()
        tools = self.registry.select(available_tools)
        await self.registry.load_async(context)
        listed = await self.registry.visible_async(tools, context)
        sandbox = self.sandbox_request(limits, tools, listed, context, profile=profile)
        run = RunRequest(code=code, inputs=inputs or {}, execution_timeout=limits.execution_timeout)
        async with self.observation(sandbox, run, context) as observation:
            waits = takewhile(lambda _: not cancellation.why, self.connection.waits())
            for pause in _PAUSES:
                transcript = observation.transcript = self.transcript(sandbox, run, context)
                if (refusal := refused(run, limits, transcript, cancellation)) is not None:
                    yield refusal
                    return
                link = await self.connection.open_async(
                    sandbox.messages(run), timeout=sandbox.deadline(run), waited=waits
                )
                cancellation.watch(link)
                try:
                    async for event in async_carrier.drive(link, transcript, run.run_id):
                        yield event
                    return
                except ExecutorConnectionError:
                    if transcript.started or pause is None:
                        raise
                finally:
                    cancellation.watch(None)
                    await link.close()
                await asyncio.sleep(pause)

    def info(self) -> ExecutorInfo:
        """Ask the executor for its versions, isolation, limits and profiles."""
        return call_outside_loop(self.connection.info, self.registry)

    async def info_async(self) -> ExecutorInfo:
        """Ask from a task; otherwise as ``info``."""
        return await self.connection.info_async()

    def close(self) -> None:
        """Cancel what runs, end its sandboxes and the embedded executor. Idempotent.

        Later calls raise ClientClosedError.
        """
        self.connection.close()

    async def close_async(self) -> None:
        """Close from a task; otherwise as ``close``."""
        await self.connection.close_async()

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

    # For the facade's sessions.

    def sandbox_request(
        self,
        limits: Limits,
        tools: Mapping[str, Tool],
        listed: Mapping[str, Tool],
        context: RuntimeContext | None,
        *,
        profile: str | None = None,
        session: bool = False,
    ) -> SandboxRequest:
        """Describe a sandbox: what its code may call, and what of it the code is shown."""
        return SandboxRequest(
            limits=limits,
            tools=tools,
            listed=listed,
            profile=profile or self._profile,
            session=session,
            fairness_key=self._fairness_key(context) if self._fairness_key else "",
        )

    def transcript(
        self, sandbox: SandboxRequest, run: RunRequest, context: RuntimeContext | None
    ) -> Transcript:
        """Begin the record of a run, with the only door to its tools."""
        limits = sandbox.limits
        dispatcher = Dispatcher(
            registry=self.registry,
            tools=sandbox.tools,
            listed=sandbox.listed,
            execution_id=run.execution_id,
            max_calls=limits.max_tool_calls,
            max_value_bytes=limits.max_value_bytes,
            deadline=time.monotonic() + run.execution_timeout,
            captured=contextvars.copy_context(),
            runtime_context=context,
        )
        return Transcript(
            execution_id=run.execution_id,
            execution_timeout=run.execution_timeout,
            dispatcher=dispatcher,
            max_value_bytes=limits.max_value_bytes,
            max_output_bytes=limits.max_output_bytes,
        )

    def observation(
        self, sandbox: SandboxRequest, run: RunRequest, context: RuntimeContext | None
    ) -> Observation:
        """Tell the registry's observers of a run, in a block around it."""
        execution = Execution(
            execution_id=run.execution_id,
            code=run.code,
            inputs=run.inputs,
            context=context if context is not None else RuntimeContext(),
            tools=sandbox.tools,
            execution_timeout=run.execution_timeout,
            session=sandbox.session,
        )
        return Observation(self.registry.observers, execution)


def refused(
    run: RunRequest, limits: Limits, transcript: Transcript, cancellation: Cancellation
) -> ExecutionCompleted | None:
    """Return the end of a run that is not sent: it was cancelled, or its code is too large."""
    if cancellation.why:
        return ExecutionCompleted(result=transcript.cancelled(cancellation.why))
    size = run.code_bytes()
    if size <= limits.max_code_bytes:
        return None
    return ExecutionCompleted(result=transcript.refuse_code_size(size, limits.max_code_bytes))
