"""The client of an executor: every execution on a stream of its own, in two honest halves."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import threading
import time
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from pydantic import SecretStr

from codemode.config import ClientConfig, Limits, TLSConfig
from codemode.core import async_half, sync_half
from codemode.core.channels import Channels, Target, parse_target
from codemode.core.context import RuntimeContext, get_current_context
from codemode.core.dispatch import Dispatcher
from codemode.core.events import Event, ExecutionCompleted
from codemode.core.failures import client_error
from codemode.core.info import ExecutorInfo, info_from
from codemode.core.registry import ComponentRegistry
from codemode.core.request import RunRequest, SandboxRequest, limits_from
from codemode.core.result import ExecutionResult
from codemode.core.threads import adopt_locals
from codemode.core.transcript import Transcript
from codemode.errors import ClientClosedError, ConfigurationError, ExecutorConnectionError
from codemode.executor.embedded import EmbeddedExecutor
from codemode.protos import codemode_pb2 as pb
from codemode.tools import Tool
from codemode.wire import PROTOCOL_VERSION

__all__ = ["ExecutorClient"]

logger = logging.getLogger(__name__)

FairnessKey = Callable[[RuntimeContext | None], str]
_INFO_TIMEOUT = 10.0

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
    holds all defaults. Raises ConfigurationError for a malformed URL.
    """

    def __init__(
        self,
        executor_url: str | None = None,
        api_key: str | SecretStr | None = None,
        *,
        registry: ComponentRegistry | None = None,
        timeout: float | None = None,
        tls: TLSConfig | None = None,
        limits: Limits | None = None,
        profile: str = "default",
        min_tier: str | None = None,
        executor_log_file: Path | None = None,
        fairness_key: FairnessKey | None = None,
    ) -> None:
        self.registry = registry if registry is not None else ComponentRegistry()
        self.limits = limits_from(limits or Limits(), None, timeout)
        self.url = executor_url or "embedded"
        self._profile = profile
        self._tls = tls
        self._fairness_key = fairness_key
        key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
        if key and not (key.isascii() and key.isprintable()):
            raise ConfigurationError(
                "executor_api_key has a character that no request header can carry; expected "
                "printable ASCII: look for a line break or an accent"
            )
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        self._lock = threading.Lock()
        self._closed = False
        self._links: weakref.WeakSet[Any] = weakref.WeakSet()
        self._channels: Channels | None = None
        self._address: str | None = None
        self._embedded: EmbeddedExecutor | None = None
        if executor_url is None:
            self._embedded = EmbeddedExecutor(log_file=executor_log_file, min_tier=min_tier)
        else:
            self._channels = Channels(parse_target(executor_url, tls), tls)
        _all_clients.add(self)

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
            limits=config.limits,
            profile=config.profile,
            min_tier=config.min_tier,
            executor_log_file=config.executor_log_file,
            fairness_key=fairness_key,
        )

    @property
    def embedded(self) -> EmbeddedExecutor | None:
        """Return the executor of this client's own (its ``pid``, its ``log_path``), or None."""
        return self._embedded

    def execute(
        self,
        code: str,
        available_tools: Iterable[str] | None = None,
        config: Limits | Mapping[str, Any] | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
        context: RuntimeContext | None = None,
    ) -> ExecutionResult:
        """Execute code and return its whole outcome; a failure of the code does not raise.

        ``available_tools`` None means all, [] none. ``config`` overrides the
        client's limits, by the names of ``Limits``. ``inputs`` become global
        variables of the code. ``execution_timeout`` in seconds.

        Inside a running event loop this works, in a worker thread, but blocks
        the loop: use ``execute_async`` there.

        Raises ExecutorClientError, ConfigurationError, ValueEncodingError.
        """
        return self.run_sync(
            lambda: last_result(
                self.stream(
                    code,
                    available_tools,
                    config,
                    inputs=inputs,
                    execution_timeout=execution_timeout,
                    context=context,
                )
            )
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
    ) -> ExecutionResult:
        """Execute code from a task; otherwise as ``execute``. Cancelling kills the sandbox."""
        result = None
        events = self.stream_async(
            code,
            available_tools,
            config,
            inputs=inputs,
            execution_timeout=execution_timeout,
            context=context,
        )
        async for event in events:
            if isinstance(event, ExecutionCompleted):
                result = event.result
        assert result is not None, "a stream ends with its result or raises"
        return result

    def stream(
        self,
        code: str,
        available_tools: Iterable[str] | None = None,
        config: Limits | Mapping[str, Any] | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
        context: RuntimeContext | None = None,
    ) -> Generator[Event, None, None]:
        """Execute code from a thread and give the events as they happen.

        Closing the generator before its end kills the sandbox.
        """
        self._check_open()
        limits = limits_from(self.limits, config, execution_timeout)
        context = context if context is not None else get_current_context()
        tools = self.registry.select(available_tools)
        listed = self.registry.visible(tools, context)
        sandbox = self.sandbox_request(limits, tools, listed, context)
        run = RunRequest(code=code, inputs=inputs or {}, execution_timeout=limits.execution_timeout)
        for pause in _PAUSES:
            transcript = self.transcript(sandbox, run, context)
            if (refusal := _too_large(run, limits, transcript)) is not None:
                yield refusal
                return
            link = self.open_sync(sandbox, run, timeout=sandbox.deadline())
            try:
                yield from sync_half.drive(link, transcript, run.run_id)
                return
            except ExecutorConnectionError:
                if transcript.started or pause is None:
                    raise
            finally:
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
    ) -> AsyncGenerator[Event, None]:
        """Execute code from a task and give the events as they happen.

        Closing the generator (``aclose``) before its end kills the sandbox.
        """
        self._check_open()
        limits = limits_from(self.limits, config, execution_timeout)
        context = context if context is not None else get_current_context()
        tools = self.registry.select(available_tools)
        listed = await self.registry.visible_async(tools, context)
        sandbox = self.sandbox_request(limits, tools, listed, context)
        run = RunRequest(code=code, inputs=inputs or {}, execution_timeout=limits.execution_timeout)
        for pause in _PAUSES:
            transcript = self.transcript(sandbox, run, context)
            if (refusal := _too_large(run, limits, transcript)) is not None:
                yield refusal
                return
            link = await self.open_async(sandbox, run, timeout=sandbox.deadline())
            try:
                async for event in async_half.drive(link, transcript, run.run_id):
                    yield event
                return
            except ExecutorConnectionError:
                if transcript.started or pause is None:
                    raise
            finally:
                await link.close()
            await asyncio.sleep(pause)

    def info(self) -> ExecutorInfo:
        """Ask the executor for its versions, isolation, limits and profiles."""
        return self.run_sync(self._info)

    async def info_async(self) -> ExecutorInfo:
        """Ask from a task; otherwise as ``info``."""
        self._check_open()
        channels = await self._channels_async()
        try:
            with self._open_channel():
                answer = await channels.async_stub().GetInfo(
                    _info_request(), metadata=self._metadata, timeout=_INFO_TIMEOUT
                )
        except grpc.RpcError as error:
            raise client_error(error, self.url, None) from error
        return info_from(answer)

    def close(self) -> None:
        """Cancel what runs, end its sandboxes and the embedded executor. Idempotent.

        Later calls raise ClientClosedError.
        """
        if self._close_links():
            if self._channels is not None:
                self._channels.close()
            if self._embedded is not None:
                self._embedded.close()

    async def close_async(self) -> None:
        """Close from a task; otherwise as ``close``."""
        if self._close_links():
            if self._channels is not None:
                await self._channels.close_async()
            if self._embedded is not None:
                await asyncio.to_thread(self._embedded.close)

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

    # For the facade and its sessions.

    def run_sync[T](self, function: Callable[[], T]) -> T:
        """Call ``function`` here, or in a worker thread when an event loop runs here."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            inside_loop = False
        else:
            inside_loop = True
        if not inside_loop:
            return function()
        _warn_about_loop()
        return _in_worker_thread(function, self.registry)

    def sandbox_request(
        self,
        limits: Limits,
        tools: Mapping[str, Tool],
        listed: Mapping[str, Tool],
        context: RuntimeContext | None,
        *,
        session: bool = False,
    ) -> SandboxRequest:
        """Describe a sandbox: what its code may call, and what of it the code is shown."""
        return SandboxRequest(
            limits=limits,
            tools=tools,
            listed=listed,
            profile=self._profile,
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
        )

    def open_sync(
        self, sandbox: SandboxRequest, run: RunRequest | None, *, timeout: float | None
    ) -> sync_half.SyncLink:
        """Open a stream from a thread."""
        messages = sandbox.messages(run)
        channels = self._connect()
        with self._open_channel():
            link = sync_half.SyncLink(
                channels.stub(),
                messages,
                url=self.url,
                metadata=self._metadata,
                timeout=timeout,
            )
        self._keep(link)
        return link

    async def open_async(
        self, sandbox: SandboxRequest, run: RunRequest | None, *, timeout: float | None
    ) -> async_half.AsyncLink:
        """Open a stream from a task."""
        messages = sandbox.messages(run)
        channels = await self._channels_async()
        with self._open_channel():
            link = async_half.AsyncLink(
                channels.async_stub(), url=self.url, metadata=self._metadata, timeout=timeout
            )
        self._keep(link)
        await link.send(messages)
        return link

    def _info(self) -> ExecutorInfo:
        self._check_open()
        try:
            with self._open_channel():
                stub = self._connect().stub()
                answer = stub.GetInfo(
                    _info_request(), metadata=self._metadata, timeout=_INFO_TIMEOUT
                )
        except grpc.RpcError as error:
            raise client_error(error, self.url, None) from error
        return info_from(answer)

    @contextlib.contextmanager
    def _open_channel(self) -> Iterator[None]:
        """Say what it means that gRPC refuses a call: its channel was closed meanwhile."""
        try:
            yield
        except ConfigurationError:
            raise
        except (ValueError, grpc.aio.UsageError) as error:
            if self._closed:
                raise ClientClosedError from error
            raise ExecutorConnectionError(
                f"the connection to {self.url} was closed; call again"
            ) from error

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosedError

    def _connect(self) -> Channels:
        """Return the channels, starting the embedded executor when there is none."""
        self._check_open()
        if self._embedded is None:
            assert self._channels is not None
            return self._channels
        address = self._embedded.address()
        with self._lock:
            if self._channels is None or self._address != address:
                if self._channels is not None:
                    self._channels.close()
                self._channels = Channels(Target(address, secure=False), None)
                self._address = address
            channels = self._channels
        if self._closed:
            # close() ran while the executor was being started.
            self._embedded.close()
            raise ClientClosedError
        return channels

    async def _channels_async(self) -> Channels:
        if self._embedded is not None and self._embedded.pid is None:
            return await asyncio.to_thread(self._connect)
        return self._connect()

    def _keep(self, link: Any) -> None:
        with self._lock:
            self._links.add(link)
            closed = self._closed
        if closed:
            link.abort()

    def _close_links(self) -> bool:
        """Refuse new calls and cancel the running ones; False when that was done already."""
        with self._lock:
            if self._closed:
                return False
            self._closed = True
            links = list(self._links)
        for link in links:
            link.abort()
        return True

    def _forget(self) -> None:
        """Start afresh in a forked child: what runs in the parent is the parent's."""
        self._lock = threading.Lock()
        self._links = weakref.WeakSet()


def last_result(events: Iterable[Event]) -> ExecutionResult:
    """Consume a run's events and return its result."""
    result = None
    for event in events:
        if isinstance(event, ExecutionCompleted):
            result = event.result
    assert result is not None, "a stream ends with its result or raises"
    return result


def _too_large(
    run: RunRequest, limits: Limits, transcript: Transcript
) -> ExecutionCompleted | None:
    size = run.code_bytes()
    if size <= limits.max_code_bytes:
        return None
    return ExecutionCompleted(result=transcript.refuse_code_size(size, limits.max_code_bytes))


def _info_request() -> pb.GetInfoRequest:
    return pb.GetInfoRequest(protocol_version=PROTOCOL_VERSION)


def _in_worker_thread[T](function: Callable[[], T], registry: ComponentRegistry) -> T:
    context = contextvars.copy_context()

    def adopted() -> T:
        adopt_locals()
        return function()

    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(context.run(adopted))
        except BaseException as error:  # noqa: BLE001  # raised in the caller's thread
            failure.append(error)
        finally:
            for finalizer in registry.pool_finalizers:
                finalizer()

    thread = threading.Thread(target=work, name="codemode-execute")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


_warned_about_loop = False


def _warn_about_loop() -> None:
    global _warned_about_loop
    if not _warned_about_loop:
        _warned_about_loop = True
        warnings.warn(
            "execute() was called inside a running event loop, which it blocks, and its tools run "
            "in another thread; await execute_async() instead",
            RuntimeWarning,
            stacklevel=4,
        )


_all_clients: weakref.WeakSet[ExecutorClient] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for client in list(_all_clients):
        client._forget()


os.register_at_fork(after_in_child=_after_fork_in_child)
