"""Hooks and observers, and the records that they see of tool calls and executions."""

from __future__ import annotations

import contextvars
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from codemode.core.context import RuntimeContext
from codemode.tools.errors import FailureKind, ToolError
from codemode.tools.tool import Tool
from codemode.values.shortening import cut

if TYPE_CHECKING:
    from codemode.core._dispatch.call_log import CallEntry
    from codemode.core.result import ExecutionResult, ToolCallRecord

__all__ = [
    "CallStage",
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
    """The reason why a call failed, as it travels; ``type`` is the name of an exception."""

    kind: FailureKind
    type: str
    message: str


# Decoding, checking or encoding a value of more bytes than this would hold up an event loop.
OFF_LOOP_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """The outcome of a call: an encoded value, or a failure."""

    value: bytes | None = None
    failure: ToolFailure | None = None


class CallStage(enum.Enum):
    """How far a call has come."""

    RECEIVED = enum.auto()
    TAKEN = enum.auto()  # by a thread or a task, which will close the call
    AT_WORK = enum.auto()  # a sync tool runs, and nothing can stop it any more


@dataclass(slots=True, kw_only=True, eq=False)
class ToolCall:
    """One call: its tool, its arguments and the context in which it runs.

    ``arguments`` are as received, in ``size`` bytes; ``validated`` are as the
    tool gets them, and empty until they have been checked. ``failure`` is set
    once the call is refused. ``runtime_context`` is empty where the run has none.
    Of a recorded run, ``label`` is the call's name within the run, ``encoded``
    has the arguments as they travel, ``steps`` what the code has taken in since
    the last call, and ``answered`` is set where the outcome was on record.
    ``cancelled`` is set by another thread than the one that takes ``stage`` on.
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
    stage: CallStage = CallStage.RECEIVED
    cancelled: bool = False
    stop: Callable[[], object] | None = field(default=None, repr=False)
    outcome: ToolOutcome | None = field(default=None, repr=False)
    passed_hooks: list[ToolHook] = field(default_factory=list, repr=False)
    label: str | None = None
    encoded: bytes = field(default=b"", repr=False)
    steps: bytes = field(default=b"", repr=False)
    answered: bool = False

    @property
    def record(self) -> ToolCallRecord:
        """The record of the call as it stands now."""
        return self.entry.record()

    @property
    def asynchronous(self) -> bool:
        """Whether the tool is asynchronous; False where there is no tool."""
        return self.tool is not None and self.tool.asynchronous

    @property
    def thread_sensitive(self) -> bool:
        """Whether a sync tool must stay on the caller's thread."""
        return self.tool is None or self.tool.thread_sensitive


class ToolHook(Protocol):
    """A hook that sees each tool call before it runs and after it.

    Hooks are sync and may use the database. Both methods run on the thread
    for sync code; in the sync half, for a tool that is not thread-sensitive,
    both run on the tool's pool thread. The tool sees the context variables that
    ``before_call`` sets.
    """

    def before_call(self, call: ToolCall) -> None:
        """Inspect a permitted call with valid arguments; raise ToolCallRefused to refuse it.

        Any other exception refuses the call too, and is logged.
        """

    def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
        """Inspect the outcome of a call that this hook's ``before_call`` let through.

        Hooks are called in reverse order. An exception of a hook is logged; the
        outcome stands.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """An execution that is about to be handed to an executor.

    ``context`` is the caller's, empty where there is none. ``tools`` are those
    that the code may call, by name. ``session`` is True for one run of a
    session. ``execution_timeout`` is in seconds.
    """

    execution_id: str
    code: str = field(repr=False)
    inputs: Mapping[str, Any] = field(repr=False)
    context: RuntimeContext
    tools: Mapping[str, Tool] = field(repr=False)
    execution_timeout: float
    session: bool


class ExecutionObserver(Protocol):
    """An observer of the begin and the end of each execution.

    Observers are sync and may use the database: they run in the caller's
    thread, or on the thread for sync code when a task executes. An exception of
    an observer is logged and changes nothing. An observer that was notified of
    the begin is notified of the end, exactly once, however the execution ends.
    The caller waits for that. A task waits at most 5 seconds for the thread, and
    not at all where a sync tool of its own execution still holds the thread. The
    observer is then notified as soon as the thread is free.
    """

    def execution_started(self, execution: Execution) -> None:
        """Inspect an execution before its code is sent."""

    def execution_finished(
        self, execution: Execution, result: ExecutionResult | None, error: BaseException | None
    ) -> None:
        """Inspect the outcome of an execution.

        ``result`` is the whole outcome, whatever its status; the status is
        ``cancelled`` if the caller gave up the run. ``error`` is the exception
        for what went wrong outside the code. ``result`` is then the outcome so
        far, or None when nothing had begun.
        """


def failure_of(error: BaseException) -> ToolFailure:
    """Return an exception as it travels: the name of its type and its text, no traceback."""
    kind = error.kind if isinstance(error, ToolError) else "error"
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - __str__ of others may do anything
        message = ""
    if len(message) > _MAX_MESSAGE:
        message = f"{cut(message, _MAX_MESSAGE)} ({len(message)} characters)"
    return ToolFailure(kind=kind, type=_sendable(type(error).__name__), message=_sendable(message))


def _sendable(text: str) -> str:
    """Return text that UTF-8 can encode: a lone surrogate becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
