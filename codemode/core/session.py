"""One sandbox for several runs."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from codemode.core import async_half, sync_half
from codemode.core.client import ExecutorClient, last_result
from codemode.core.context import RuntimeContext, get_current_context
from codemode.core.events import ExecutionCompleted
from codemode.core.request import RunRequest, SandboxRequest, limits_from, run_messages
from codemode.core.result import ExecutionResult
from codemode.core.transcript import Transcript
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
    ) -> None:
        self._client = client
        self._available_tools = available_tools
        config = {"idle_timeout": idle_timeout} if idle_timeout is not None else None
        self._limits = limits_from(client.limits, config, execution_timeout)
        self._context: RuntimeContext | None = None
        self._sandbox: SandboxRequest | None = None
        self._link: sync_half.SyncLink | async_half.AsyncLink | None = None
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
        link = self._open_link(sync_half.SyncLink, "with", "run")
        with self._one_at_a_time():
            run, transcript, refusal = self._begin(code, inputs, execution_timeout)
            if refusal is not None:
                return refusal
            link.send(run_messages(run, self._limits))
            try:
                return self._finish(last_result(sync_half.drive(link, transcript, run.run_id)))
            except BaseException as error:
                self._ended = f"its last run raised {type(error).__name__}"
                link.close()
                raise

    async def run_async(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        execution_timeout: float | None = None,
    ) -> ExecutionResult:
        """Run code from a task; otherwise as ``run``."""
        link = self._open_link(async_half.AsyncLink, "async with", "run_async")
        with self._one_at_a_time():
            run, transcript, refusal = self._begin(code, inputs, execution_timeout)
            if refusal is not None:
                return refusal
            try:
                await link.catch_up()
                await link.send(run_messages(run, self._limits))
                result = None
                async for event in async_half.drive(link, transcript, run.run_id):
                    if isinstance(event, ExecutionCompleted):
                        result = event.result
                assert result is not None, "a stream ends with its result or raises"
                return self._finish(result)
            except BaseException as error:
                self._ended = f"its last run raised {type(error).__name__}"
                await link.close()
                raise

    def __enter__(self) -> Self:
        context = self._begin_session()
        tools = self._select()
        listed = self._client.registry.visible(tools, context)
        self._sandbox = self._client.sandbox_request(
            self._limits, tools, listed, context, session=True
        )
        self._link = self._client.connection.open_sync(self._sandbox.messages(None), timeout=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = self._ended or "its block has ended"
        if isinstance(self._link, sync_half.SyncLink):
            self._link.close()

    async def __aenter__(self) -> Self:
        context = self._begin_session()
        tools = self._select()
        listed = await self._client.registry.visible_async(tools, context)
        self._sandbox = self._client.sandbox_request(
            self._limits, tools, listed, context, session=True
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
        self._ended = self._ended or "its block has ended"
        if isinstance(self._link, async_half.AsyncLink):
            await self._link.close()

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
        return self._link

    def _one_at_a_time(self) -> _Busy:
        return _Busy(self._busy)

    def _begin(
        self, code: str, inputs: Mapping[str, Any] | None, execution_timeout: float | None
    ) -> tuple[RunRequest, Transcript, ExecutionResult | None]:
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
        refusal = None
        if run.code_bytes() > limits.max_code_bytes:
            refusal = transcript.refuse_code_size(run.code_bytes(), limits.max_code_bytes)
        return run, transcript, refusal

    def _finish(self, result: ExecutionResult) -> ExecutionResult:
        survives = ("completed", "failed")
        if result.status not in survives:
            self._ended = f"its last run ended with status {result.status!r}"
        return result


def _difference(one: RuntimeContext | None, other: RuntimeContext | None) -> str:
    """Name the variables, and never show a value: it may be a secret."""
    first, second = dict(one or {}), dict(other or {})
    names = [name for name in first | second if first.get(name) != second.get(name)]
    return ", ".join(map(repr, names)) or "that one of them is not set"


class _Busy:
    """Refuse a second run while one is going on, instead of mixing them up."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise ExecutorClientError(
                "the session is running already; it runs one code at a time: open another one"
            )

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()
