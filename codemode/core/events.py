"""What a stream tells while an execution runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from codemode.core.result import ExecutionResult, ToolCallOutcome

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
    """Tell that a sandbox has taken the code; ``isolation`` is its tier."""

    type: ClassVar[Literal["started"]] = "started"
    execution_id: str
    isolation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReceived:
    """Tell what the code printed, in the order in which it did."""

    type: ClassVar[Literal["output"]] = "output"
    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallStarted:
    """Tell that the code calls a tool."""

    type: ClassVar[Literal["tool_call_started"]] = "tool_call_started"
    call_id: int
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallFinished:
    """Tell how a tool call ended; ``error`` is what the code was told, if it failed."""

    type: ClassVar[Literal["tool_call_finished"]] = "tool_call_finished"
    call_id: int
    name: str
    outcome: ToolCallOutcome
    duration_ms: float
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReported:
    """Tell what the code reported by ``progress()``; ``total`` is None when unknown."""

    type: ClassVar[Literal["progress"]] = "progress"
    done: float
    total: float | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCompleted:
    """Tell that the execution has ended, whatever its status; always the last event."""

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
