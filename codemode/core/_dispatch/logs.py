"""The log entries of executions and tool calls: names and times, no values."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from codemode.values.shortening import cut

if TYPE_CHECKING:
    from codemode.core.hooks import Execution, ToolCall
    from codemode.core.result import ExecutionResult

__all__ = ["call_began", "call_ended", "execution_began", "execution_ended"]

_executions = logging.getLogger("codemode.executions")
_tools = logging.getLogger("codemode.tools")

_MAX_NAME = 60


def execution_began(execution: Execution) -> float:
    """Log that code is about to be handed to an executor; return ``time.monotonic()``."""
    if _executions.isEnabledFor(logging.DEBUG):
        names = sorted(execution.context)
        _executions.debug(
            "Execution %s begins: context %s; %d tools; %g s",
            execution.execution_id,
            ", ".join(names) or "empty",
            len(execution.tools),
            execution.execution_timeout,
            extra={"execution_id": execution.execution_id, "context_names": names},
        )
    return time.monotonic()


def execution_ended(
    execution: Execution,
    began: float,
    result: ExecutionResult | None,
    error: BaseException | None,
) -> None:
    """Log the outcome of an execution: its status, or the exception that it raises."""
    if not _executions.isEnabledFor(logging.DEBUG):
        return
    duration_ms = (time.monotonic() - began) * 1000
    if error is not None:
        outcome: str = "ended"
        why: str | None = type(error).__name__
    elif result is not None:
        outcome, why = result.status, result.error.type if result.error else None
    else:
        outcome, why = "ended", None
    _executions.debug(
        "Execution %s %s in %.1f ms after %d tool calls%s",
        execution.execution_id,
        outcome,
        duration_ms,
        len(result.tool_calls) if result is not None else 0,
        _because(why),
        extra={"execution_id": execution.execution_id, "duration_ms": duration_ms},
    )


def call_began(call: ToolCall) -> None:
    """Log that executed code calls a tool."""
    if _tools.isEnabledFor(logging.DEBUG):
        _tools.debug(
            "Execution %s calls %s (call %d)",
            call.execution_id,
            _name(call),
            call.call_id,
            extra=_of(call),
        )


def call_ended(call: ToolCall) -> None:
    """Log how a call ended; of a failure, log only the name of its exception."""
    if not _tools.isEnabledFor(logging.DEBUG):
        return
    record = call.record
    failure = call.failure or (call.outcome and call.outcome.failure)
    duration_ms = record.duration_ms or 0.0
    _tools.debug(
        "Execution %s: %s (call %d) %s in %.1f ms%s",
        call.execution_id,
        _name(call),
        call.call_id,
        record.outcome,
        duration_ms,
        _because(failure.type if failure else None),
        extra={**_of(call), "duration_ms": duration_ms},
    )


def _of(call: ToolCall) -> dict[str, Any]:
    return {"execution_id": call.execution_id, "tool": _name(call), "call_id": call.call_id}


def _name(call: ToolCall) -> str:
    """Return the call's name, made harmless if no tool has it: executed code chose it."""
    return call.name if call.tool is not None else _loggable(call.name)


def _because(why: str | None) -> str:
    return f": {_loggable(why)}" if why else ""


def _loggable(text: str) -> str:
    """Return a name unchanged, and escape any other text, so that it cannot fake a log line."""
    text = cut(text, _MAX_NAME)
    return text if text.replace(".", "").isidentifier() and text.isascii() else ascii(text)
