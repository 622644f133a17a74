"""Outcomes of calls whose tools have not run."""

from __future__ import annotations

from codemode.core.hooks import ToolCall, ToolFailure, ToolOutcome

__all__ = ["CANCELLED", "TIME_IS_OVER", "WITHHELD", "refuse"]

CANCELLED = ToolFailure(kind="cancelled", type="Cancelled", message="the call was cancelled")

TIME_IS_OVER = "ExecutionTimeout"
"""The type of the failure of a call that came after the run's deadline."""

WITHHELD = ToolOutcome()
"""The outcome of a call that gets no answer: its run ends by it, or before it."""


def refuse(call: ToolCall, failure: ToolFailure) -> ToolOutcome:
    """Record that the tool has not run, and return that outcome."""
    call.failure = failure
    call.outcome = ToolOutcome(failure=failure)
    error = f"{failure.type}: {failure.message}"
    call.entry.end("cancelled" if failure.kind == "cancelled" else "refused", error)
    return call.outcome
