"""Hooks and observers, and the records that they see of tool calls and executions."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from codemode.core.context import RuntimeContext
from codemode.tools.errors import FailureKind, ToolError
from codemode.tools.tool import Tool

if TYPE_CHECKING:
    from codemode.core._dispatch.call_log import CallEntry
    from codemode.core.result import ExecutionResult, ToolCallRecord

__all__ = [
    "Execution",
    "ExecutionObserver",
    "ToolCall",
    "ToolFailure",
    "ToolHook",
    "ToolOutcome",
    "failure_of",
]

_MAX_MESSAGE = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFailure:
    """Say why a call failed, as it travels: ``type`` is the name of an exception."""

    kind: FailureKind
    type: str
    message: str


# What is decoded, checked or encoded of more bytes than this would hold up a loop.
OFF_LOOP_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """Be what a call came to: an encoded value, or a failure."""

    value: bytes | None = None
    failure: ToolFailure | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class ToolCall:
    """Be one call: its tool, its arguments and the context it runs in.

    ``arguments`` are as they came, in ``size`` bytes, ``validated`` as the tool
    gets them (empty until they were checked). ``failure`` is set once the call is refused.
    ``runtime_context`` is empty where the run has none.
    """

    call_id: int
    name: str
    execution_id: str
    tool: Tool | None
    arguments: dict[str, Any] = field(repr=False)
    failure: ToolFailure | None
    context: contextvars.Context = field(repr=False)
    runtime_context: RuntimeContext
    entry: CallEntry = field(repr=False)
    size: int = field(default=0, repr=False)
    validated: dict[str, Any] = field(default_factory=dict, repr=False)
    started: bool = False
    cancelled: bool = False
    at_work: bool = False
    stop: Callable[[], object] | None = field(default=None, repr=False)
    outcome: ToolOutcome | None = field(default=None, repr=False)
    passed_hooks: list[ToolHook] = field(default_factory=list, repr=False)

    @property
    def record(self) -> ToolCallRecord:
        """Return the record of the call as it stands now."""
        return self.entry.record()

    @property
    def asynchronous(self) -> bool:
        """Tell whether the tool is asynchronous; False for a refused call."""
        return self.tool is not None and self.tool.asynchronous

    @property
    def thread_sensitive(self) -> bool:
        """Tell whether a sync tool must stay on the caller's thread."""
        return self.tool is None or self.tool.thread_sensitive


class ToolHook(Protocol):
    """See each tool call before it runs and after it.

    Hooks are sync and may use the database. Both methods run on the thread
    for sync code; in the sync half, for a tool that is not thread-sensitive,
    both run on the tool's pool thread. What ``before_call`` sets in context
    variables, the tool sees.
    """

    def before_call(self, call: ToolCall) -> None:
        """Look at a permitted call with valid arguments; raise ToolCallRefused to refuse it.

        Anything else it raises refuses the call too, and is logged.
        """

    def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
        """Look at what came of a call that this hook's ``before_call`` let through.

        Hooks are called in reverse order. What one raises is logged; the
        outcome stands.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Describe an execution that is about to be handed to an executor.

    ``context`` is the caller's, empty where there is none. ``tools`` are those
    that the code may call, by name. ``session`` tells that it is one run of a
    session. ``execution_timeout`` in seconds.
    """

    execution_id: str
    code: str = field(repr=False)
    inputs: Mapping[str, Any] = field(repr=False)
    context: RuntimeContext
    tools: Mapping[str, Tool] = field(repr=False)
    execution_timeout: float
    session: bool


class ExecutionObserver(Protocol):
    """See each execution begin and end.

    Observers are sync and may use the database: they run in the caller's
    thread, or on the thread for sync code when a task executes. What one raises
    is logged and changes nothing. Who was told of the begin is told of the end,
    exactly once, however it comes. The caller waits for that; a task waits at
    most 5 seconds for the thread, and not at all where a sync tool of its own
    execution still holds it. Then the end is told as soon as the thread is free.
    """

    def execution_started(self, execution: Execution) -> None:
        """Look at an execution before its code is sent."""

    def execution_finished(
        self, execution: Execution, result: ExecutionResult | None, error: BaseException | None
    ) -> None:
        """Look at what came of it.

        ``result`` is the whole outcome, whatever its status; of a run that its
        caller gave up, with the status ``cancelled``. ``error`` is what went
        wrong outside the code, with the ``result`` so far, or None when nothing
        had begun.
        """


def failure_of(error: BaseException) -> ToolFailure:
    """Return how an exception travels: its type's name and its own text, no traceback."""
    kind = error.kind if isinstance(error, ToolError) else "error"
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - __str__ of others may do anything
        message = ""
    if len(message) > _MAX_MESSAGE:
        message = f"{message[:_MAX_MESSAGE]}... ({len(message)} characters)"
    return ToolFailure(kind=kind, type=_sendable(type(error).__name__), message=_sendable(message))


def _sendable(text: str) -> str:
    """Return text that UTF-8 can carry: half a surrogate pair becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
