"""One call of a tool without code: through the same door as the calls of a run, and no executor.

A direct call has a dispatcher of its own, so that it passes the same checks and
hooks, runs in the same threads and sees the same context as a run's call.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from codemode.config import Limits
from codemode.core._dispatch.cancelling import cancel_once
from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core._dispatch.threads import UNWIND_SECONDS, off_loop
from codemode.core._grpc.apart import take
from codemode.core._link.link import Finished
from codemode.core._link.tool_loop import ToolLoop, Work
from codemode.core.context import RuntimeContext, get_current_context
from codemode.core.hooks import OFF_LOOP_BYTES, ToolCall, ToolFailure, ToolOutcome
from codemode.core.registry import ComponentRegistry
from codemode.errors import InvalidRequestError, ValueEncodingError
from codemode.tools import Tool
from codemode.tools.errors import (
    InvalidArguments,
    ToolCallRefused,
    ToolError,
    ToolFailed,
    ToolPermissionDenied,
    ToolTimeout,
    UnknownTool,
)
from codemode.values import decode, encode
from codemode.values.shortening import shorten

__all__ = ["DirectCall"]

_NO_ARGUMENTS = encode({})
_REFUSALS: dict[str, type[ToolCallRefused]] = {
    "invalid_arguments": InvalidArguments,
    "permission_denied": ToolPermissionDenied,
    "unknown_tool": UnknownTool,
}

# Referenced, so that no task is collected half-way; one that does not end in time stays here.
_tasks: set[asyncio.Task[ToolOutcome]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectCall:
    """A wish to call one tool, which either half may carry out, once.

    The value is the one that executed code would get: it has been encoded and
    decoded, within ``limits.max_value_bytes``. Raises ToolError for whatever
    keeps the tool from returning it.
    """

    registry: ComponentRegistry
    name: str
    arguments: Mapping[str, Any] | None
    available_tools: Iterable[str] | None
    limits: Limits
    _errors: list[BaseException] = field(default_factory=list, init=False, repr=False)

    def run(self) -> Any:
        """Call the tool from a thread without a running loop."""
        context = get_current_context()
        tools = self._selected()
        self.registry.load(context)
        listed = {} if self.name in tools else self.registry.visible(tools, context)
        dispatcher = self._dispatcher(tools, listed, context)
        call = dispatcher.begin(1, self.name, self._encoded(tools))
        try:
            outcome = self._in_sync_half(call, dispatcher)
        finally:
            dispatcher.cancel_all()
        return self._decoded(self._value_of(call, outcome))

    async def run_async(self) -> Any:
        """Call the tool from a task."""
        context = get_current_context()
        tools = self._selected()
        await self.registry.load_async(context)
        listed = {} if self.name in tools else await self.registry.visible_async(tools, context)
        dispatcher = self._dispatcher(tools, listed, context)
        data = self._encoded(tools)
        if len(data) > OFF_LOOP_BYTES:
            call = await off_loop(dispatcher.begin, 1, self.name, data)
        else:
            call = dispatcher.begin(1, self.name, data)
        value = self._value_of(call, await self._in_async_half(call, dispatcher))
        if len(value) > OFF_LOOP_BYTES:
            return await off_loop(self._decoded, value)
        return self._decoded(value)

    def _selected(self) -> Mapping[str, Tool]:
        _check_name(self.name)
        return self.registry.select(self.available_tools)

    def _dispatcher(
        self,
        tools: Mapping[str, Tool],
        listed: Mapping[str, Tool],
        context: RuntimeContext | None,
    ) -> Dispatcher:
        return Dispatcher(
            registry=self.registry,
            tools=tools,
            listed=listed,
            execution_id=uuid.uuid4().hex,
            max_calls=1,
            max_value_bytes=self.limits.max_value_bytes,
            deadline=time.monotonic() + self.limits.execution_timeout,
            captured=contextvars.copy_context(),
            runtime_context=context,
            on_error=self._errors.append,
        )

    def _encoded(self, tools: Mapping[str, Tool]) -> bytes:
        """Return the arguments as a run's code would send them; raise InvalidArguments."""
        tool = tools.get(self.name)
        if tool is None:
            return _NO_ARGUMENTS  # the dispatcher refuses the name
        given: Any = {} if self.arguments is None else self.arguments
        if not isinstance(given, Mapping):
            raise InvalidArguments(
                f"the arguments of {self.name} are {shorten(given)}, a {type(given).__name__}; "
                f"expected a dict of names to values. The signature is {tool.signature}"
            )
        try:
            return encode(dict(given), max_bytes=self.limits.max_value_bytes, path="arguments")
        except ValueEncodingError as error:
            raise InvalidArguments(f"{error}. The signature is {tool.signature}") from error

    def _in_sync_half(self, call: ToolCall, dispatcher: Dispatcher) -> ToolOutcome:
        """Run a tool as a run of the sync half does; an async one on a loop of its own."""
        if call.failure is not None or (not call.asynchronous and call.thread_sensitive):
            return dispatcher.call_sync(call)
        inbox: SimpleQueue[Any] = SimpleQueue()
        if not call.asynchronous:
            dispatcher.run_in_pool(call).add_done_callback(inbox.put)
            return self._take(inbox, call, dispatcher)
        loop = ToolLoop(inbox)
        try:
            loop.start(call, dispatcher)
            return self._take(inbox, call, dispatcher)
        finally:
            dispatcher.cancel_all()
            try:
                loop.stop()
            except BaseException:  # of a signal handler
                loop.abandon()
                raise

    def _take(self, inbox: SimpleQueue[Any], call: ToolCall, dispatcher: Dispatcher) -> ToolOutcome:
        """Wait for the outcome, and run meanwhile what the tool wants of this thread."""
        while True:
            try:
                item = take(inbox, within=dispatcher.deadline - time.monotonic())
            except Empty:
                raise self._late(call) from None
            match item:
                case Work():
                    item.run()
                case Finished(_, outcome):
                    return outcome
                case Future():
                    done: Future[ToolOutcome] = item
                    return done.result()
                case BaseException():
                    raise item

    async def _in_async_half(self, call: ToolCall, dispatcher: Dispatcher) -> ToolOutcome:
        """Run a tool as a run of the async half does, in a task with its own context."""
        task = asyncio.create_task(dispatcher.call_in_async_half(call), context=call.context)
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        try:
            await asyncio.wait((task,), timeout=dispatcher.deadline - time.monotonic())
            if not task.done():
                raise self._late(call)
        finally:
            dispatcher.cancel_all()
            if not task.done():
                cancel_once(task)
                await asyncio.wait((task,), timeout=UNWIND_SECONDS)
        return task.result()

    def _late(self, call: ToolCall) -> ToolTimeout:
        dropped = "goes on in its thread, and its value is dropped"
        end = "was cancelled" if call.asynchronous else dropped
        seconds = self.limits.execution_timeout
        return ToolTimeout(
            f"{self.name} took longer than execution_timeout={seconds:g} s; it {end}"
        )

    def _value_of(self, call: ToolCall, outcome: ToolOutcome) -> bytes:
        if outcome.failure is None:
            return outcome.value or b""
        # Taken out: the traceback of the cause refers to this list, by the performer.
        cause = self._errors.pop() if self._errors else None
        raise _error_for(call, outcome.failure) from cause

    def _decoded(self, value: bytes) -> Any:
        return decode(value, max_bytes=self.limits.max_value_bytes)


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise InvalidRequestError(
            f"the name of the tool is {shorten(name)}, a {type(name).__name__}; "
            "expected a str such as 'orders.get'"
        )


def _error_for(call: ToolCall, failure: ToolFailure) -> ToolError:
    """Return the exception for a failure, with no more text than executed code would see."""
    name, message = call.name, failure.message
    if call.failure is None:
        if failure.kind not in _REFUSALS and failure.type != "ToolError":
            raised = f"{name} raised {failure.type}"
            message = f"{raised}: {message}" if message else raised
        elif name not in message:
            message = f"{name}: {message}" if message else f"{name} failed ({failure.kind})"
        return ToolFailed(message, tool=name, type=failure.type, kind=failure.kind)
    if name not in message and failure.kind != "unknown_tool":
        message = f"{name}: {message}"
    if failure.type == "ExecutionTimeout":
        return ToolTimeout(message)
    refused = _REFUSALS.get(failure.kind)
    return ToolCallRefused(message, failure.kind) if refused is None else refused(message)
