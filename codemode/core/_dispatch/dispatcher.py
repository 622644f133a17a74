"""The only door between executed code and the tools."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any

from asgiref.sync import sync_to_async

from codemode.core._dispatch import logs
from codemode.core._dispatch.call_checks import (
    decode_arguments,
    run_after_hooks,
    shown,
    unable,
    unknown_tool,
)
from codemode.core._dispatch.call_log import CallEntry, CallLog
from codemode.core._dispatch.cancelling import canceller
from codemode.core._dispatch.interrupts import is_interrupt
from codemode.core._dispatch.lookups import Lookups
from codemode.core._dispatch.outcomes import CANCELLED, refuse
from codemode.core._dispatch.performer import Performer
from codemode.core._dispatch.pool_share import PoolShare
from codemode.core._dispatch.seam import Seam
from codemode.core._dispatch.threads import adopt_locals, on_sync_thread, sync_code_here
from codemode.core.context import (
    CurrentExecution,
    RuntimeContext,
    bind_tool,
    get_current_execution,
)
from codemode.core.hooks import CallStage, ToolCall, ToolFailure, ToolOutcome
from codemode.core.registry import ComponentRegistry
from codemode.core.result import ToolCallRecord
from codemode.tools.tool import Tool

__all__ = ["Dispatcher"]

# A search for near names costs time in this process, and executed code decides how often.
_MAX_SEARCHES = 50
_CANCELLED = ToolOutcome(failure=CANCELLED)


class Dispatcher:
    """The dispatcher of one run's calls: allow-list, budget, permission, checks, hooks, record.

    ``tools`` are those that the run may call. ``listed`` are the names shown to
    the model (None: all of them); errors name no other tool. ``deadline``, a
    moment on the clock of ``time.monotonic()``, may be set again when the code
    starts later than expected; no tool starts after it. Each tool runs in its
    own copy of ``captured``, the caller's context at the start of the run.
    ``on_error`` gets each exception with which a tool fails. ``seam`` is that of a
    recorded run.

    Make a dispatcher in the caller's thread or task. The sync half calls
    ``call_sync`` and ``run_in_pool`` from there; where there is a loop, a task
    made with ``context=call.context`` awaits ``call_in_async_half``.
    """

    def __init__(
        self,
        *,
        registry: ComponentRegistry,
        tools: Mapping[str, Tool],
        execution_id: str,
        max_calls: int,
        max_value_bytes: int,
        deadline: float,
        captured: contextvars.Context,
        runtime_context: RuntimeContext | None,
        listed: Collection[str] | None = None,
        on_error: Callable[[BaseException], object] | None = None,
        seam: Seam | None = None,
    ) -> None:
        self._extensions = registry.extensions
        self._tools = tools
        self._listed = visible = shown(tools, listed)
        self._lookups = Lookups(
            # Without a reference to this object: a cycle would keep the caller's context.
            lambda: registry.listing(tools, visible),
            extensions=registry.extensions,
            max_value_bytes=max_value_bytes,
        )
        self._execution_id = execution_id
        self._max_calls = max_calls
        self._max_value_bytes = max_value_bytes
        self._captured = captured
        self._thread = threading.get_ident()
        self._runtime_context = runtime_context
        self.seam = seam
        self._performer = Performer(
            extensions=registry.extensions,
            max_value_bytes=max_value_bytes,
            deadline=deadline,
            on_error=on_error,
            seam=seam,
        )
        outer = captured.run(get_current_execution)
        self._depth = 0 if outer is None else outer.depth + 1
        self._pool = PoolShare(self._depth)
        # Reentrant: the garbage collector may end the run in a thread that holds the lock.
        self._lock = threading.RLock()
        self._log = CallLog()
        self._begun = 0
        self._searches = 0
        self._cancelled = False
        self._open: dict[int, ToolCall] = {}
        self._left: ToolCall | None = None

    @property
    def deadline(self) -> float:
        """The moment on the clock of ``time.monotonic()`` after which no tool starts."""
        return self._performer.deadline

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        self._performer.deadline = deadline

    @property
    def holds_sync_thread(self) -> bool:
        """Whether a tool that the run has left behind is still at work on the sync thread."""
        return self._left is not None and self._left.outcome is None

    def begin(
        self, call_id: int, name: str, data: bytes, *, label: str | None = None, steps: bytes = b""
    ) -> ToolCall:
        """Accept a call: count it, decode ``data``, its arguments, and find its tool.

        In a recorded run, whose calls have a ``label``, it may come back as
        ``answered``, or raise EndRun. Nothing else that executed code may send
        raises an exception: a bad call is returned with its ``failure`` set. Safe
        from any thread. Takes time in proportion to the size of the arguments.
        """
        call = self._received(call_id, name, data, label)
        if self.seam is not None and self._answered(call, data, steps):
            return call
        with self._lock:
            self._begun += 1
            begun, cancelled = self._begun, self._cancelled
        # Only one call beyond the budget is recorded: executed code decides how many there are.
        logged = begun <= self._max_calls + 1 and self._log.add(call.entry)
        failure: ToolFailure | None
        if begun > self._max_calls:
            failure = _failure(
                "limit", "ToolCallLimit", f"the run may make at most {self._max_calls} tool calls"
            )
        elif not logged:
            failure = _failure("error", "ProtocolError", f"call id {call_id} was used before")
        elif cancelled:
            failure = CANCELLED
        else:
            failure = self._decode(call, data) or self._find(call)
        if logged:
            logs.call_began(call)
        if failure is None:
            with self._lock:
                self._open[call_id] = call
        else:
            refuse(call, failure)
            if logged:
                logs.call_ended(call)
        return call

    def begin_lookup(
        self, call_id: int, name: str, question: bytes, *, label: str, steps: bytes
    ) -> ToolCall:
        """Accept a question of a recorded run about tools, as ``begin``; it is not counted."""
        call = self._received(call_id, name, question, label)
        self._answered(call, question, steps)
        return call

    def call_sync(self, call: ToolCall) -> ToolOutcome:
        """Run a sync tool in this thread, which must be the thread of ``captured``.

        Of the exceptions during the call, only interrupts are raised, and the
        call is on record by then. Raises TypeError for an async tool.
        """
        if call.failure is not None or call.tool is None:
            return call.context.run(self._performer.refused, call)
        tool = _sync_tool(call, call.tool)
        call.stage = CallStage.TAKEN
        try:
            return call.context.run(self._performer.perform, call, tool)
        except BaseException:
            if call.outcome is None:
                refuse(call, CANCELLED)
            raise
        finally:
            self._close(call)

    def run_in_pool(self, call: ToolCall) -> Future[ToolOutcome]:
        """Check a sync tool's permission in this thread, and run the tool in the pool.

        Raises TypeError for an async tool.
        """
        done: Future[ToolOutcome] = Future()
        if call.failure is not None or call.tool is None:
            done.set_result(self._performer.refused(call))
            return done
        tool = _sync_tool(call, call.tool)
        call.stage = CallStage.TAKEN
        denied = call.context.run(self._extensions.denial, tool, call.runtime_context)
        if denied is not None:
            refuse(call, denied)
            done.set_result(self._performer.refused(call))
            self._close(call)
            return done
        perform = functools.partial(self._performer.perform, permitted=True)
        future = self._pool.submit(call.context.run, self._performer.in_pool, perform, call, tool)
        call.stop = future.cancel
        future.add_done_callback(lambda one: self._pool_ended(call, one.cancelled()))
        return future

    async def call_in_async_half(self, call: ToolCall) -> ToolOutcome:
        """Run any tool from the current task, which was made with ``call.context``.

        Asynchronous tools are awaited here. Sync tools run on the thread for
        sync code, or in the pool when they are not thread-sensitive. Raises
        CancelledError when the task is cancelled; the call is on record by then.
        """
        tool = call.tool
        if call.failure is not None or tool is None:
            return await self._performer.refused_async(call)
        if threading.get_ident() != self._thread:
            adopt_locals()
        call.stage = CallStage.TAKEN
        call.stop = canceller()
        try:
            if tool.asynchronous:
                async with sync_code_here():
                    return await self._performer.perform_async(call, tool)
            if tool.thread_sensitive:
                return await on_sync_thread(self._performer.perform, call, tool)
            return await self._pool_from_loop(call, tool)
        except asyncio.CancelledError:
            # A sync tool that is at work goes on, and its record will show how it ends.
            at_work = call.stage is CallStage.AT_WORK
            if at_work and not tool.asynchronous and tool.thread_sensitive:
                self._left = call
            outcome = call.outcome or (_CANCELLED if at_work else refuse(call, CANCELLED))
            # A thread-sensitive sync tool that has run calls the hooks in its own thread.
            if call.passed_hooks and (tool.asynchronous or not tool.thread_sensitive):
                await on_sync_thread(run_after_hooks, call, outcome)
            raise
        except Exception as error:
            if is_interrupt(error):
                raise
            # The tool could not be reached, so the error is logged and sent to the code.
            self._performer.fail(call, tool, error)
            return await self._performer.refused_async(call)
        finally:
            self._close(call)

    def look_up(self, name: str, question: bytes, call: ToolCall | None = None) -> ToolOutcome:
        """Answer what the code asks about tools, in the caller's thread.

        ``call`` is what ``begin_lookup`` has returned, in a recorded run.
        """
        context = self.context_of_lookup(name)
        answer = functools.partial(context.run, self._lookups.answer, name, question)
        return answer() if call is None or self.seam is None else self.seam.perform(call, answer)

    async def look_up_in_async_half(
        self, name: str, question: bytes, call: ToolCall | None = None
    ) -> ToolOutcome:
        """Answer from the current task, which was made with ``context_of_lookup``."""
        answer = functools.partial(self._lookups.answer_in_async_half, name, question)
        if call is None or self.seam is None:
            return await answer()
        return await self.seam.perform_async(call, answer)

    def context_of_lookup(self, name: str) -> contextvars.Context:
        """Return the context in which a question about tools is answered."""
        return self._context_for(0, name)

    def cancel_all(self) -> None:
        """Cancel the open calls and refuse later calls, once the run has ended.

        A sync tool that already runs is not stopped, and stays ``running`` on
        record until it ends.
        """
        with self._lock:
            self._cancelled = True
            open_calls = list(self._open.values())
        for call in open_calls:
            call.cancelled = True
            stop = call.stop
            if stop is not None:
                stop()
            elif call.stage is CallStage.RECEIVED:
                # The call's task may have been cancelled before its first step.
                refuse(call, CANCELLED)
                self._close(call)

    def records(self) -> tuple[ToolCallRecord, ...]:
        """Return the records of all calls so far, in order, including those still running."""
        return self._log.records()

    def _received(self, call_id: int, name: str, arguments: bytes, label: str | None) -> ToolCall:
        return ToolCall(
            call_id=call_id,
            name=name,
            execution_id=self._execution_id,
            tool=None,
            arguments={},
            failure=None,
            context=self._context_for(call_id, name, label),
            runtime_context=self._runtime_context or RuntimeContext(),
            entry=CallEntry(call_id, name),
            size=len(arguments),
            label=label,
        )

    def _answered(self, call: ToolCall, data: bytes, steps: bytes) -> bool:
        """Ask the recorder for the outcome of a call; return whether it has one."""
        assert self.seam is not None
        call.encoded, call.steps = data, steps
        call.outcome = self.seam.answer(call)
        call.answered = call.outcome is not None
        return call.answered

    def _context_for(
        self, call_id: int, name: str, label: str | None = None
    ) -> contextvars.Context:
        context = self._captured.copy()
        execution = CurrentExecution(
            execution_id=self._execution_id,
            tool=name,
            call_id=call_id,
            expires_at=self.deadline,
            depth=self._depth,
            label=label,
        )
        context.run(bind_tool, self._runtime_context, execution)
        return context

    def _decode(self, call: ToolCall, data: bytes) -> ToolFailure | None:
        arguments = decode_arguments(data, max_bytes=self._max_value_bytes)
        if isinstance(arguments, ToolFailure):
            return arguments
        call.arguments = arguments
        self._log.keep_arguments(call.entry, arguments, data)
        return None

    def _find(self, call: ToolCall) -> ToolFailure | None:
        call.tool = self._tools.get(call.name)
        if call.tool is not None:
            return unable(call.tool)
        with self._lock:
            self._searches += 1
            search = self._searches <= _MAX_SEARCHES
        return unknown_tool(call.name, self._listed, search=search)

    async def _pool_from_loop(self, call: ToolCall, tool: Tool) -> ToolOutcome:
        performer = self._performer
        pool: Any = self._pool  # asgiref only submits to it, whatever its annotation says
        in_pool: Callable[..., Awaitable[ToolOutcome]] = sync_to_async(
            performer.in_pool, thread_sensitive=False, executor=pool
        )
        if not performer.needs_sync_thread(tool):
            return await in_pool(performer.perform, call, tool)
        outcome = await on_sync_thread(performer.admit, call, tool)
        if outcome is None:
            go_on = functools.partial(performer.go_on, refusal=None)
            outcome = await in_pool(go_on, call, tool)
            await on_sync_thread(run_after_hooks, call, call.outcome or outcome)
            return outcome
        return await performer.refused_async(call)

    def _pool_ended(self, call: ToolCall, cancelled: bool) -> None:
        if cancelled:
            refuse(call, CANCELLED)
        self._close(call)

    def _close(self, call: ToolCall) -> None:
        call.stop = None
        with self._lock:
            was_open = self._open.pop(call.call_id, None) is not None
        if was_open:
            logs.call_ended(call)


def _failure(kind: Any, type_name: str, message: str) -> ToolFailure:
    return ToolFailure(kind=kind, type=type_name, message=message)


def _sync_tool(call: ToolCall, tool: Tool) -> Tool:
    if tool.asynchronous:
        raise TypeError(f"tool {call.name!r} is asynchronous; use call_in_async_half()")
    return tool
