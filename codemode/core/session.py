"""One sandbox for several runs."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from codemode.core._link import async_carrier, sync_carrier
from codemode.core._link.async_carrier import AsyncLink
from codemode.core._link.driver import Run, Steps, run_in_session
from codemode.core._link.link import Link
from codemode.core._link.request import RunOptions, RunRequest, SandboxRequest, limits_from
from codemode.core._link.sync_carrier import SyncLink
from codemode.core._recording.source import recording_source
from codemode.core.client import ExecutorClient
from codemode.core.context import RuntimeContext, get_current_context
from codemode.core.event_stream import (
    Cancellation,
    EventStream,
    last_result,
    last_result_async,
)
from codemode.core.events import Event
from codemode.core.recording import Recording
from codemode.core.result import ExecutionResult
from codemode.errors import ConfigurationError, ExecutorClientError, InvalidRequestError

__all__ = ["Session"]


class Session:
    """One sandbox for several runs, whose variables stay from one run to the next.

    A session belongs to the half in whose block it was opened: ``with`` and
    ``run``, or ``async with`` and ``run_async``. It is bound to the context of
    its opening; a run under another one raises ConfigurationError. CPU, memory
    and tool calls are counted over the whole session, the wall clock per run.
    A run that ends by a limit, a timeout or a crash ends the session.
    """

    def __init__(
        self,
        client: ExecutorClient,
        *,
        available_tools: Iterable[str] | None,
        execution_timeout: float | None,
        idle_timeout: float | None,
        profile: str | None = None,
    ) -> None:
        self._client = client
        config = {"idle_timeout": idle_timeout} if idle_timeout is not None else None
        limits = limits_from(client.limits, config, execution_timeout)
        self._options = RunOptions(available_tools=available_tools, config=limits, profile=profile)
        self._context: RuntimeContext | None = None
        self._sandbox: SandboxRequest | None = None
        self._link: Link | None = None
        self._runs = 0
        self._busy = threading.Lock()

    def run(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
        recording: Recording | None = None,
    ) -> ExecutionResult:
        """Run code in the session's sandbox and return the whole outcome.

        A run of a session depends on those before it, so it cannot be recorded:
        raises InvalidRequestError for a ``recording``.
        """
        _refuse(recording)
        options = RunOptions(code=code, inputs=inputs, execution_timeout=execution_timeout)
        return last_result(self._events("run", options))

    async def run_async(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
        recording: Recording | None = None,
    ) -> ExecutionResult:
        """Run code from a task; otherwise as ``run``."""
        _refuse(recording)
        options = RunOptions(code=code, inputs=inputs, execution_timeout=execution_timeout)
        return await last_result_async(self._events_async("run_async", options))

    def stream(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
        recording: Recording | None = None,
    ) -> EventStream:
        """Run code and give the events as they happen, to ``for`` or to ``async for``.

        Leaving the loop before the last event ends the session.
        """
        _refuse(recording)
        options = RunOptions(code=code, inputs=inputs, execution_timeout=execution_timeout)
        return EventStream(
            partial(self._events, "stream", options), partial(self._events_async, "stream", options)
        )

    def _events(
        self,
        method: str,
        options: RunOptions,
        cancellation: Cancellation | None = None,
        pause_seconds: float = math.inf,
    ) -> Generator[Event, None, None]:
        def begin() -> Run:
            self._usable_link(SyncLink, "with", method)
            return self._begin(options, cancellation, pause_seconds)

        return sync_carrier.carry(begin, self._course)

    def _events_async(
        self, method: str, options: RunOptions, cancellation: Cancellation | None = None
    ) -> AsyncGenerator[Event, None]:
        async def begin() -> Run:
            self._usable_link(AsyncLink, "async with", method).check_loop()
            return self._begin(options, cancellation)

        return async_carrier.carry(begin, self._course)

    def _course(self, run: Run) -> Steps:
        assert self._link is not None
        return run_in_session(run, self._link)

    def __enter__(self) -> Self:
        self._open()
        self._sandbox = self._client._sandbox(self._options, self._context, session=True)
        self._link = self._client._connection.open_sync(self._sandbox.messages(None), timeout=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        if isinstance(self._link, SyncLink):
            self._link.close()

    async def __aenter__(self) -> Self:
        self._open()
        self._sandbox = await self._client._sandbox_async(
            self._options, self._context, session=True
        )
        self._link = await self._client._connection.open_async(
            self._sandbox.messages(None), timeout=None
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        if isinstance(self._link, AsyncLink):
            await self._link.close()

    def _open(self) -> None:
        if (source := recording_source()) is not None:
            raise InvalidRequestError(
                f"a session cannot be recorded, and {source} is in use for all runs; use run() of "
                "the Codemode instead"
            )
        if self._link is not None:
            raise ExecutorClientError("a session can be opened once; call session() again")
        self._client.check_open()
        self._context = get_current_context()

    def _end(self) -> None:
        if self._link is not None:
            self._link.spent = self._link.spent or "its block has ended"
            if self._busy.locked():
                # Another thread or task has a run in it, whose result gives this as its reason.
                self._link.abort("the session was closed")

    def _usable_link[L: Link](self, kind: type[L], block: str, method: str) -> L:
        self._client.check_open()
        link = self._link
        if link is not None and link.spent:
            raise ExecutorClientError(f"the session has ended: {link.spent}")
        if not isinstance(link, kind):
            raise ExecutorClientError(
                f"{method}() needs a session opened by `{block} codemode.session() as session:`"
            )
        return link

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Refuse a second run while the first is going on."""
        if not self._busy.acquire(blocking=False):
            raise ExecutorClientError(
                "the session is running already; it runs one code at a time: open another one"
            )
        try:
            yield
        finally:
            self._busy.release()

    def _begin(
        self,
        options: RunOptions,
        cancellation: Cancellation | None,
        pause_seconds: float = math.inf,
    ) -> Run:
        context = get_current_context()
        if context != self._context:
            raise ConfigurationError(
                "the session was opened under another context and cannot run under this one; "
                f"they differ in {_difference(self._context, context)}: open another session for it"
            )
        assert self._sandbox is not None
        limits = limits_from(self._sandbox.limits, None, options.execution_timeout)
        self._runs += 1
        request = RunRequest.of(options, limits, self._runs)
        return Run(
            self._client.registry,
            self._sandbox,
            request,
            context,
            cancellation,
            pause_seconds,
            turn=self._one_at_a_time(),
        )


def _refuse(recording: Recording | None) -> None:
    if recording is not None:
        raise InvalidRequestError(
            "a run of a session cannot be recorded, because it depends on the runs before it; "
            "use run(code, recording=...) of the Codemode instead"
        )


def _difference(one: RuntimeContext | None, other: RuntimeContext | None) -> str:
    """Name the variables, and never show a value: it may be a secret."""
    first, second = dict(one or {}), dict(other or {})
    names = [name for name in first | second if first.get(name) != second.get(name)]
    return ", ".join(map(repr, names)) or "that one of them is not set"
