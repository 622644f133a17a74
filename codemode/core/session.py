"""One sandbox for several runs."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from codemode.core._dispatch.observation import Observation
from codemode.core._link import async_carrier, sync_carrier
from codemode.core._link.request import RunRequest, SandboxRequest, limits_from, run_messages
from codemode.core._link.transcript import Transcript
from codemode.core.client import ExecutorClient, refused
from codemode.core.context import RuntimeContext, get_current_context
from codemode.core.event_stream import (
    Cancellation,
    EventStream,
    last_result,
    last_result_async,
)
from codemode.core.events import Event, ExecutionCompleted
from codemode.core.result import ExecutionResult
from codemode.errors import ConfigurationError, ExecutorClientError

__all__ = ["Session"]


class Session:
    """Run code several times in one sandbox; variables stay from one run to the next.

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
        self._available_tools = available_tools
        self._profile = profile
        config = {"idle_timeout": idle_timeout} if idle_timeout is not None else None
        self._limits = limits_from(client.limits, config, execution_timeout)
        self._context: RuntimeContext | None = None
        self._sandbox: SandboxRequest | None = None
        self._link: sync_carrier.SyncLink | async_carrier.AsyncLink | None = None
        self._runs = 0
        self._ended = ""
        self._busy = threading.Lock()

    def run(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
    ) -> ExecutionResult:
        """Run code in the session's sandbox and return the whole outcome."""
        return last_result(self._events(code, inputs, execution_timeout, "run"))

    async def run_async(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
    ) -> ExecutionResult:
        """Run code from a task; otherwise as ``run``."""
        events = self._events_async(code, inputs, execution_timeout, "run_async")
        return await last_result_async(events)

    def stream(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
    ) -> EventStream:
        """Run code and give the events as they happen, to ``for`` or to ``async for``.

        Leaving the loop before the last event ends the session.
        """
        arguments = (code, inputs, execution_timeout, "stream")
        return EventStream(
            partial(self._events, *arguments), partial(self._events_async, *arguments)
        )

    def _events(
        self,
        code: str,
        inputs: Mapping[str, Any] | None,
        execution_timeout: float | None,
        method: str,
        *,
        cancellation: Cancellation | None = None,
        pause_seconds: float = math.inf,
    ) -> Generator[Event, None, None]:
        cancellation = cancellation or Cancellation()
        link = self._open_link(sync_carrier.SyncLink, "with", method)
        with self._one_at_a_time():
            run, transcript, observation = self._begin(code, inputs, execution_timeout)
            with observation:
                if (refusal := refused(run, self._limits, transcript, cancellation)) is not None:
                    yield refusal
                    return
                messages = run_messages(run, self._limits)
                link.pause_seconds = pause_seconds
                cancellation.watch(link)
                try:
                    with link.within(self._deadline(run)):
                        link.send(messages)
                        for event in sync_carrier.drive(link, transcript, run.run_id):
                            self._note(event, cancellation)
                            yield event
                except BaseException as error:
                    if transcript.final is None:
                        self._ended = f"its last run raised {type(error).__name__}"
                        link.close()
                    raise

    async def _events_async(
        self,
        code: str,
        inputs: Mapping[str, Any] | None,
        execution_timeout: float | None,
        method: str,
        *,
        cancellation: Cancellation | None = None,
    ) -> AsyncGenerator[Event, None]:
        cancellation = cancellation or Cancellation()
        link = self._open_link(async_carrier.AsyncLink, "async with", method)
        with self._one_at_a_time():
            run, transcript, observation = self._begin(code, inputs, execution_timeout)
            async with observation:
                if (refusal := refused(run, self._limits, transcript, cancellation)) is not None:
                    yield refusal
                    return
                messages = run_messages(run, self._limits)
                cancellation.watch(link)
                try:
                    with link.within(self._deadline(run)):
                        await link.send(messages)
                        async for event in async_carrier.drive(link, transcript, run.run_id):
                            self._note(event, cancellation)
                            yield event
                except BaseException as error:
                    if transcript.final is None:
                        self._ended = f"its last run raised {type(error).__name__}"
                        await link.close()
                    raise

    def __enter__(self) -> Self:
        context = self._begin_session()
        tools = self._select()
        self._client.registry.load(context)
        listed = self._client.registry.visible(tools, context)
        self._sandbox = self._client.sandbox_request(
            self._limits, tools, listed, context, profile=self._profile, session=True
        )
        self._link = self._client.connection.open_sync(self._sandbox.messages(None), timeout=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        if isinstance(self._link, sync_carrier.SyncLink):
            self._link.close()

    async def __aenter__(self) -> Self:
        context = self._begin_session()
        tools = self._select()
        await self._client.registry.load_async(context)
        listed = await self._client.registry.visible_async(tools, context)
        self._sandbox = self._client.sandbox_request(
            self._limits, tools, listed, context, profile=self._profile, session=True
        )
        self._link = await self._client.connection.open_async(
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
        if isinstance(self._link, async_carrier.AsyncLink):
            await self._link.close()

    def _end(self) -> None:
        self._ended = self._ended or "its block has ended"
        if self._busy.locked() and self._link is not None:
            # Another thread or task has a run in it, which is told why it ends.
            self._link.abort("the session was closed")

    def _begin_session(self) -> RuntimeContext | None:
        if self._link is not None:
            raise ExecutorClientError("a session can be opened once; call session() again")
        self._client.connection.check_open()
        self._context = get_current_context()
        return self._context

    def _select(self) -> Mapping[str, Any]:
        return self._client.registry.select(self._available_tools)

    def _open_link(self, kind: type[Any], block: str, method: str) -> Any:
        self._client.connection.check_open()
        if self._ended:
            raise ExecutorClientError(f"the session has ended: {self._ended}")
        if not isinstance(self._link, kind):
            raise ExecutorClientError(
                f"{method}() needs a session opened by `{block} codemode.session() as session:`"
            )
        loop = None if self._link.inherited else getattr(self._link, "loop", None)
        if loop is not None and loop is not asyncio.get_running_loop():
            raise ExecutorClientError(
                "the session belongs to the event loop that opened it, and this is another one: "
                "open a session here"
            )
        return self._link

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Refuse a second run while one is going on, instead of mixing them up."""
        if not self._busy.acquire(blocking=False):
            raise ExecutorClientError(
                "the session is running already; it runs one code at a time: open another one"
            )
        try:
            yield
        finally:
            self._busy.release()

    def _begin(
        self, code: str, inputs: Mapping[str, Any] | None, execution_timeout: float | None
    ) -> tuple[RunRequest, Transcript, Observation]:
        context = get_current_context()
        if context != self._context:
            raise ConfigurationError(
                "the session was opened under another context and cannot run under this one; "
                f"they differ in {_difference(self._context, context)}: open another session for it"
            )
        assert self._sandbox is not None
        limits = limits_from(self._limits, None, execution_timeout)
        self._runs += 1
        run = RunRequest(
            code=code,
            inputs=inputs or {},
            execution_timeout=limits.execution_timeout,
            run_id=self._runs,
        )
        transcript = self._client.transcript(self._sandbox, run, context)
        observation = self._client.observation(self._sandbox, run, context)
        observation.transcript = transcript
        return run, transcript, observation

    def _deadline(self, run: RunRequest) -> float:
        assert self._sandbox is not None
        return self._sandbox.deadline(run)

    def _note(self, event: Event, cancellation: Cancellation) -> None:
        if isinstance(event, ExecutionCompleted):
            cancellation.watch(None)  # the stream is the session's again
        survives = ("completed", "failed")
        if isinstance(event, ExecutionCompleted) and event.result.status not in survives:
            self._ended = f"its last run ended with status {event.result.status!r}"


def _difference(one: RuntimeContext | None, other: RuntimeContext | None) -> str:
    """Name the variables, and never show a value: it may be a secret."""
    first, second = dict(one or {}), dict(other or {})
    names = [name for name in first | second if first.get(name) != second.get(name)]
    return ", ".join(map(repr, names)) or "that one of them is not set"
