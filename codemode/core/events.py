"""The events of a stream, while an execution runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from codemode.core.result import ExecutionResult, ToolCallOutcome
from codemode.values import decode

__all__ = [
    "Event",
    "ExecutionCompleted",
    "ExecutionStarted",
    "OutputReceived",
    "ProgressReported",
    "ToolCallFinished",
    "ToolCallStarted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStarted:
    """The start of an execution in a sandbox, whose tier is ``isolation``."""

    type: ClassVar[Literal["started"]] = "started"
    execution_id: str
    isolation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReceived:
    """Output of the code, in the order in which the code printed it."""

    type: ClassVar[Literal["output"]] = "output"
    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallStarted:
    """The start of a tool call, ``at_ms`` milliseconds after the code began."""

    type: ClassVar[Literal["tool_call_started"]] = "tool_call_started"
    call_id: int
    name: str
    arguments: dict[str, Any]
    at_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallFinished:
    """The end of a tool call, ``at_ms`` milliseconds after the code began.

    ``error`` is the message that the code got, if the call failed. ``encoded``
    is what the code got of a call that completed, as it travels.
    """

    type: ClassVar[Literal["tool_call_finished"]] = "tool_call_finished"
    call_id: int
    name: str
    outcome: ToolCallOutcome
    duration_ms: float
    error: str | None = None
    at_ms: float = 0.0
    encoded: bytes | None = field(default=None, repr=False)

    @property
    def value(self) -> Any:
        """The value that the code got, decoded anew each time; None where it got none."""
        if self.encoded is None:
            return None
        return decode(self.encoded, max_bytes=len(self.encoded))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReported:
    """A report of the code by ``progress()``; ``total`` is None when unknown."""

    type: ClassVar[Literal["progress"]] = "progress"
    done: float
    total: float | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCompleted:
    """The end of an execution, whatever its status; always the last event."""

    type: ClassVar[Literal["completed"]] = "completed"
    result: ExecutionResult


Event = (
    ExecutionStarted
    | OutputReceived
    | ToolCallStarted
    | ToolCallFinished
    | ProgressReported
    | ExecutionCompleted
)
