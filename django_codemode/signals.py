"""Signals, sent robustly: an exception of a receiver is logged and has no other effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.dispatch import Signal

from codemode.core.hooks import Execution, ToolCall, ToolOutcome
from codemode.core.result import ExecutionResult
from codemode.tools import Tool
from django_codemode.shared import shared

__all__ = ["execution_finished", "execution_started", "tool_called"]


class _LazySignal(Signal):
    """A signal that watches only while it has receivers: watching costs tasks a thread switch."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        super().__init__()
        self._on_change = on_change

    def connect(self, *args: Any, **kwargs: Any) -> None:
        super().connect(*args, **kwargs)
        self._on_change()

    def disconnect(self, *args: Any, **kwargs: Any) -> bool:
        disconnected = super().disconnect(*args, **kwargs)
        self._on_change()
        return disconnected


class _CallWatcher:
    """The hook that sends ``tool_called`` after each call."""

    def before_call(self, call: ToolCall) -> None:
        """Let every call pass."""

    def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
        """Send ``tool_called``."""
        tool_called.send_robust(
            sender=Tool,
            tool=call.tool,
            record=call.record,
            execution_id=call.execution_id,
            context=call.runtime_context,
        )


class _ExecutionWatcher:
    """The observer that sends ``execution_started`` and ``execution_finished``."""

    def execution_started(self, execution: Execution) -> None:
        """Send ``execution_started``."""
        execution_started.send_robust(
            sender=Execution,
            execution=execution,
            execution_id=execution.execution_id,
            context=execution.context,
        )

    def execution_finished(
        self, execution: Execution, result: ExecutionResult | None, error: BaseException | None
    ) -> None:
        """Send ``execution_finished``."""
        execution_finished.send_robust(
            sender=Execution,
            execution=execution,
            execution_id=execution.execution_id,
            context=execution.context,
            result=result,
            error=error,
        )


_calls = _CallWatcher()
_executions = _ExecutionWatcher()


def _watch_calls() -> None:
    if tool_called.receivers:
        shared.registry.add_hook(_calls)
    elif _calls in shared.registry.hooks:
        shared.registry.remove_hook(_calls)


def _watch_executions() -> None:
    if execution_started.receivers or execution_finished.receivers:
        shared.registry.add_observer(_executions)
    elif _executions in shared.registry.observers:
        shared.registry.remove_observer(_executions)


execution_started = _LazySignal(_watch_executions)
"""Sent when an execution begins, before its code is handed to an executor.

Arguments: ``sender`` (the class ``Execution``), ``execution`` (the Execution:
code, inputs, tools, timeout), ``execution_id``, and ``context`` (the caller's
RuntimeContext). Receivers run on the thread for synchronous code, and the code
is sent when they have returned.
"""

execution_finished = _LazySignal(_watch_executions)
"""Sent when an execution has ended, once for each ``execution_started``.

Arguments: those of ``execution_started``, ``result`` (the ExecutionResult,
whatever its status; ``cancelled`` even when the caller abandoned it) and
``error``: None, or what went wrong outside the code, such as
ExecutorBusyError; ``result`` is None then unless the run had begun.
"""

tool_called = _LazySignal(_watch_calls)
"""Sent when a tool call has ended, whether it completed, failed or was cancelled.

Arguments: ``sender`` (the class ``Tool``), ``tool`` (the Tool), ``record`` (the
ToolCallRecord: name, arguments, outcome, duration), ``execution_id``, and
``context`` (the caller's RuntimeContext). Receivers run on the thread for
synchronous code, between the tool and the code that waits for it. A call that
was refused before it came to its tool is in the result of
``execution_finished`` only.
"""
