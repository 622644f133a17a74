"""The client of an executor: each execution on a stream of its own, sync or async."""

from __future__ import annotations

import copy
import math
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import SecretStr

from codemode.config import ClientConfig, Limits, TLSConfig
from codemode.core._link import async_carrier, sync_carrier
from codemode.core._link.connection import Connection
from codemode.core._link.driver import Run, Steps, run_once
from codemode.core._link.inside_loop import call_outside_loop
from codemode.core._link.request import RunOptions, RunRequest, SandboxRequest, limits_from
from codemode.core.context import RuntimeContext, get_current_context
from codemode.core.event_stream import Cancellation, last_result, last_result_async
from codemode.core.events import Event
from codemode.core.executor_info import ExecutorInfo
from codemode.core.recorder import Recorder
from codemode.core.recording import Recording
from codemode.core.registry import ComponentRegistry
from codemode.core.result import ExecutionResult
from codemode.embedded.executor import EmbeddedExecutor
from codemode.tools import Tool

__all__ = ["ExecutorClient"]

FairnessKey = Callable[[RuntimeContext | None], str]


class ExecutorClient:
    """A client that executes code on an executor, with the tools of a registry.

    Safe to share between threads, tasks and event loops, and usable on both
    sides of a fork. Each call is independent and captures the caller's context
    when it begins. With ``executor_url=None`` the client starts an executor of
    its own on first use, one per process.

    ``timeout`` is the default ``execution_timeout`` in seconds; ``limits``
    holds all defaults. An execution waits ``connect_timeout`` seconds for a
    connection to the executor, such as while the executor restarts.

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
        self._fairness_key = fairness_key or (lambda context: "")
        self._connection = Connection(
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
        return self._connection.url

    @property
    def profile(self) -> str:
        """Return the profile of executions that name none."""
        return self._profile

    @property
    def embedded(self) -> EmbeddedExecutor | None:
        """Return the embedded executor (its ``pid``, its ``log_path``), or None."""
        return self._connection.embedded

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
        recording: Recording | None = None,
        recorder: Recorder | None = None,
        execution_id: str | None = None,
    ) -> ExecutionResult:
        """Execute code and return its whole outcome; a failure of the code does not raise.

        ``available_tools`` None means all, [] none. ``config`` overrides the
        client's limits, by the names of ``Limits``. ``inputs`` become global
        variables of the code. ``execution_timeout`` in seconds. ``profile``
        names the preloaded packages of the sandbox, None the client's own.

        ``recording`` makes it a recorded run: what the recording holds is
        answered from it, and what is new is written into it. ``recorder``, for
        the calls that it does not hold, may wrap or hold them, or end the run.
        ``execution_id``, of 1 to 200 printable ASCII characters, names the
        execution; a replay keeps that of its recording.

        Inside a running event loop this works, in a worker thread, but blocks
        the loop: use ``execute_async`` there.

        Raises ExecutorClientError, ConfigurationError, ValueEncodingError.
        """
        options = RunOptions(
            code=code,
            inputs=inputs,
            available_tools=available_tools,
            config=config,
            execution_timeout=execution_timeout,
            context=context,
            profile=profile,
            recording=recording,
            recorder=recorder,
            execution_id=execution_id,
        )
        return call_outside_loop(lambda: last_result(self._events(options)), self.registry)

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
        recording: Recording | None = None,
        recorder: Recorder | None = None,
        execution_id: str | None = None,
    ) -> ExecutionResult:
        """Execute code from a task; otherwise as ``execute``. Cancelling kills the sandbox."""
        options = RunOptions(
            code=code,
            inputs=inputs,
            available_tools=available_tools,
            config=config,
            execution_timeout=execution_timeout,
            context=context,
            profile=profile,
            recording=recording,
            recorder=recorder,
            execution_id=execution_id,
        )
        return await last_result_async(self._events_async(options))

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
        recording: Recording | None = None,
        recorder: Recorder | None = None,
        execution_id: str | None = None,
        cancellation: Cancellation | None = None,
        pause_seconds: float = math.inf,
    ) -> Generator[Event, None, None]:
        """Execute code from a thread and give the events as they happen.

        Closing the generator before its end kills the sandbox; ``cancellation``
        ends the run from elsewhere. ``pause_seconds`` is for
        ``EventStream.with_pauses``.
        """
        options = RunOptions(
            code=code,
            inputs=inputs,
            available_tools=available_tools,
            config=config,
            execution_timeout=execution_timeout,
            context=context,
            profile=profile,
            recording=recording,
            recorder=recorder,
            execution_id=execution_id,
        )
        return self._events(options, cancellation=cancellation, pause_seconds=pause_seconds)

    def stream_async(
        self,
        code: str,
        available_tools: Iterable[str] | None = None,
        config: Limits | Mapping[str, Any] | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
        context: RuntimeContext | None = None,
        profile: str | None = None,
        recording: Recording | None = None,
        recorder: Recorder | None = None,
        execution_id: str | None = None,
        cancellation: Cancellation | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Execute code from a task and give the events as they happen.

        Closing the generator (``aclose``) before its end kills the sandbox.
        """
        options = RunOptions(
            code=code,
            inputs=inputs,
            available_tools=available_tools,
            config=config,
            execution_timeout=execution_timeout,
            context=context,
            profile=profile,
            recording=recording,
            recorder=recorder,
            execution_id=execution_id,
        )
        return self._events_async(options, cancellation=cancellation)

    def info(self) -> ExecutorInfo:
        """Ask the executor for its versions, isolation, limits and profiles."""
        return call_outside_loop(self._connection.info, self.registry, "info")

    async def info_async(self) -> ExecutorInfo:
        """Ask from a task; otherwise as ``info``."""
        return await self._connection.info_async()

    def check_open(self) -> None:
        """Raise ClientClosedError after ``close()``."""
        self._connection.check_open()

    def close(self) -> None:
        """Cancel all runs, end their sandboxes and the embedded executor. Idempotent.

        Later calls raise ClientClosedError.
        """
        self._connection.close()

    async def close_async(self) -> None:
        """Close from a task; otherwise as ``close``."""
        await self._connection.close_async()

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

    def _events(
        self,
        options: RunOptions,
        cancellation: Cancellation | None = None,
        pause_seconds: float = math.inf,
    ) -> Generator[Event, None, None]:
        def begin() -> Run:
            recorded = options.with_source()
            context = options.context if options.context is not None else get_current_context()
            sandbox = self._sandbox(recorded, context)
            return self._run(recorded, sandbox, context, cancellation, pause_seconds)

        return sync_carrier.carry(begin, self._course(self._connection.open_sync))

    def _events_async(
        self, options: RunOptions, cancellation: Cancellation | None = None
    ) -> AsyncGenerator[Event, None]:
        async def begin() -> Run:
            recorded = options.with_source()
            context = options.context if options.context is not None else get_current_context()
            sandbox = await self._sandbox_async(recorded, context)
            return self._run(recorded, sandbox, context, cancellation, math.inf)

        return async_carrier.carry(begin, self._course(self._connection.open_async))

    def _run(
        self,
        options: RunOptions,
        sandbox: SandboxRequest,
        context: RuntimeContext | None,
        cancellation: Cancellation | None,
        pause_seconds: float,
    ) -> Run:
        return Run(
            self.registry,
            sandbox,
            RunRequest.of(options, sandbox.limits),
            context,
            cancellation,
            pause_seconds,
            recording=options.recording,
            recorder=options.recorder,
        )

    def _course(self, open_link: Callable[..., Any]) -> Callable[[Run], Steps]:
        return partial(run_once, open_link=open_link, waits=self._connection.waits())

    def _sandbox(
        self, options: RunOptions, context: RuntimeContext | None, *, session: bool = False
    ) -> SandboxRequest:
        tools, request = self._wanted(options, session)
        recording = options.recording
        if recording is None or (listed := recording._listed(tools)) is None:
            self.registry.load(context)
            listed = self.registry.visible(tools, context)
            if recording is not None:
                recording._note_listed(tools, listed)
        listing = self.registry.listing(tools, listed)
        return request(listing=listing, fairness_key=self._fairness_key(context))

    async def _sandbox_async(
        self, options: RunOptions, context: RuntimeContext | None, *, session: bool = False
    ) -> SandboxRequest:
        tools, request = self._wanted(options, session)
        recording = options.recording
        if recording is None or (listed := recording._listed(tools)) is None:
            await self.registry.load_async(context)
            listed = await self.registry.visible_async(tools, context)
            if recording is not None:
                recording._note_listed(tools, listed)
        listing = self.registry.listing(tools, listed)
        return request(listing=listing, fairness_key=self._fairness_key(context))

    def _wanted(
        self, options: RunOptions, session: bool
    ) -> tuple[Mapping[str, Tool], Callable[..., SandboxRequest]]:
        """Return the tools of a sandbox, and its request but for what the context decides."""
        self._connection.check_open()
        limits = limits_from(self.limits, options.config, options.execution_timeout)
        tools = self.registry.select(options.available_tools)
        profile = options.profile or self._profile
        request = partial(
            SandboxRequest,
            limits=limits,
            peer=self._connection.peer,
            profile=profile,
            session=session,
        )
        return tools, request
