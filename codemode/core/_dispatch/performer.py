"""One call from its checks to its outcome, on the current thread or task."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from codemode.core._dispatch.call_checks import run_after_hooks, run_before_hooks, validate
from codemode.core._dispatch.extensions import Extensions
from codemode.core._dispatch.interrupts import is_interrupt
from codemode.core._dispatch.outcomes import CANCELLED, TIME_IS_OVER, refuse
from codemode.core._dispatch.seam import Seam
from codemode.core._dispatch.threads import adopt_locals, call_each, off_loop, on_sync_thread
from codemode.core.hooks import (
    OFF_LOOP_BYTES,
    CallStage,
    ToolCall,
    ToolFailure,
    ToolOutcome,
    failure_of,
)
from codemode.errors import ValueEncodingError
from codemode.tools.errors import ToolError
from codemode.tools.tool import Tool
from codemode.values import encode

__all__ = ["Performer"]

logger = logging.getLogger("codemode.tools")


class Performer:
    """The steps of each call: permission, validation, hooks, tool and encoding.

    They run in the current thread and context, unless a method says otherwise.
    ``seam`` is that of a recorded run, past which all outcomes go.
    """

    def __init__(
        self,
        *,
        extensions: Extensions,
        max_value_bytes: int,
        deadline: float,
        on_error: Callable[[BaseException], object] | None = None,
        seam: Seam | None = None,
    ) -> None:
        self._extensions = extensions
        self._max_value_bytes = max_value_bytes
        self.deadline = deadline
        self._on_error = on_error
        self._seam = seam

    def admit(self, call: ToolCall, tool: Tool, *, permitted: bool = False) -> ToolOutcome | None:
        """Check a call and show it to the hooks; return the outcome if it is refused, or None."""
        failure = (
            self._in_time(call)
            or (None if permitted else self._extensions.denial(tool, call.runtime_context))
            or validate(call, tool)
            or run_before_hooks(self._extensions.hooks.all, call)
        )
        if failure is None:
            return None
        outcome = refuse(call, failure)
        run_after_hooks(call, outcome)
        return outcome

    def perform(self, call: ToolCall, tool: Tool, *, permitted: bool = False) -> ToolOutcome:
        """Perform all steps of a sync tool's call."""
        try:
            return self.go_on(call, tool, self.admit(call, tool, permitted=permitted))
        finally:
            run_after_hooks(call, call.outcome or ToolOutcome(failure=CANCELLED))

    def go_on(self, call: ToolCall, tool: Tool, refusal: ToolOutcome | None) -> ToolOutcome:
        """Run a sync tool's call that is admitted; either way past the recorder."""
        if self._seam is None:
            return refusal or self.run(call, tool)
        if refusal is not None:
            return self.refused(call)
        return self._seam.perform(call, partial(self.run, call, tool))

    def refused(self, call: ToolCall) -> ToolOutcome:
        """Return the outcome of a call whose tool has not run, past the recorder."""
        outcome = call.outcome or ToolOutcome(failure=call.failure)
        return outcome if self._seam is None else self._seam.perform(call, lambda: outcome)

    async def refused_async(self, call: ToolCall) -> ToolOutcome:
        """Return this outcome in a task."""
        outcome = call.outcome or ToolOutcome(failure=call.failure)
        if self._seam is None:
            return outcome

        async def refusal() -> ToolOutcome:
            return outcome

        return await self._seam.perform_async(call, refusal)

    async def perform_async(self, call: ToolCall, tool: Tool) -> ToolOutcome:
        """Perform all steps of an asynchronous tool's call, with hooks on the sync thread.

        Checks that may use the database run there too.
        """
        hops = self.needs_sync_thread(tool)
        outcome: ToolOutcome | None
        if hops:
            outcome = await on_sync_thread(self.admit, call, tool)
        elif call.size > OFF_LOOP_BYTES:
            outcome = await off_loop(self.admit, call, tool)
        else:
            outcome = self.admit(call, tool)
        if outcome is not None:
            return await self.refused_async(call)
        if self._seam is None:
            outcome = await self.run_async(call, tool)
        else:
            outcome = await self._seam.perform_async(call, partial(self.run_async, call, tool))
        if call.passed_hooks:
            await on_sync_thread(run_after_hooks, call, call.outcome or outcome)
        return outcome

    async def run_async(self, call: ToolCall, tool: Tool) -> ToolOutcome:
        """Run an admitted call of an asynchronous tool and encode its value."""
        try:
            value = await tool.call(call.runtime_context, call.validated)
            return self._succeed(call, tool, value)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something within the tool was cancelled, not the call.
            return self.fail(call, tool, error)
        except BaseException as error:
            outcome = self.fail(call, tool, error)
            if is_interrupt(error):
                raise
            return outcome

    def run(self, call: ToolCall, tool: Tool) -> ToolOutcome:
        """Run an admitted call of a sync tool and encode its value."""
        call.stage = CallStage.AT_WORK
        try:
            value = tool.call(call.runtime_context, call.validated)
            if inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()
                raise TypeError(
                    f"{tool.name} returned an awaitable though it is not async; "
                    "declare it with async def"
                )
            return self._succeed(call, tool, value)
        except BaseException as error:
            outcome = self.fail(call, tool, error)
            if is_interrupt(error):
                raise
            return outcome

    def in_pool(
        self, step: Callable[[ToolCall, Tool], ToolOutcome], call: ToolCall, tool: Tool
    ) -> ToolOutcome:
        """Perform ``step`` in this thread of the pool, with housekeeping before and after."""
        adopt_locals()
        # Before the step too, because the thread may have been idle for hours.
        call_each(self._extensions.pool_housekeeping)
        try:
            return step(call, tool)
        finally:
            call_each(self._extensions.pool_housekeeping)

    def needs_sync_thread(self, tool: Tool) -> bool:
        """Return whether the checks of a call run code that may use the database."""
        return tool.permission is not None or bool(self._extensions.hooks.all)

    def _in_time(self, call: ToolCall) -> ToolFailure | None:
        if call.cancelled or (self._seam is not None and self._seam.ending is not None):
            return CANCELLED
        if time.monotonic() >= self.deadline:
            return ToolFailure(
                kind="limit",
                type=TIME_IS_OVER,
                message=f"the execution's time was over before {call.name} could run",
            )
        return None

    def _succeed(self, call: ToolCall, tool: Tool, value: Any) -> ToolOutcome:
        data = encode(value, max_bytes=self._max_value_bytes, path=f"{tool.name}()")
        call.entry.end("completed")
        call.outcome = ToolOutcome(value=data)
        return call.outcome

    def fail(self, call: ToolCall, tool: Tool, error: BaseException) -> ToolOutcome:
        """Record that the tool has failed, and return that outcome."""
        failure = failure_of(error)
        if isinstance(error, ValueEncodingError):
            logger.warning(
                "Tool %s returned what cannot travel, in execution %s: %s",
                tool.name,
                call.execution_id,
                failure.message,
            )
        elif not isinstance(error, ToolError):
            logger.error(
                "Tool %s failed in execution %s", tool.name, call.execution_id, exc_info=error
            )
        if self._on_error is not None:
            self._on_error(error)
        call.entry.end("failed", f"{failure.type}: {failure.message}")
        call.outcome = ToolOutcome(failure=failure)
        return call.outcome
