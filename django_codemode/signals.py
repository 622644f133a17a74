"""Signals, sent robustly: what a receiver raises is logged and changes nothing."""

from __future__ import annotations

from typing import Any

from django.dispatch import Signal

from codemode.core.calls import ToolCall, ToolOutcome
from codemode.tools import Tool
from django_codemode.shared import shared

__all__ = ["tool_called"]


class _SignalHook:
    """Send ``tool_called`` after each call."""

    def before_call(self, call: ToolCall) -> None:
        """Let every call pass."""

    def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
        """Tell the receivers about the call."""
        tool_called.send_robust(
            sender=Tool,
            tool=call.tool,
            record=call.record,
            execution_id=call.execution_id,
            context=call.runtime_context,
        )


_hook = _SignalHook()


class _ToolCalledSignal(Signal):
    """Watch the calls only while somebody listens: a hook costs async tools a change of thread."""

    def connect(self, *args: Any, **kwargs: Any) -> None:
        super().connect(*args, **kwargs)
        shared.registry.add_hook(_hook)

    def disconnect(self, *args: Any, **kwargs: Any) -> bool:
        disconnected = super().disconnect(*args, **kwargs)
        if not self.has_listeners(Tool) and _hook in shared.registry.hooks:
            shared.registry.remove_hook(_hook)
        return disconnected


tool_called = _ToolCalledSignal()
"""Tell that a tool call has ended, also when a check refused it after the permission.

Arguments: ``sender`` (the class ``Tool``), ``tool`` (the Tool), ``record`` (the
ToolCallRecord: name, arguments, outcome, duration), ``execution_id``, and
``context`` (the caller's RuntimeContext). Receivers run on the thread for
synchronous code, between the tool and the code that waits for it.
"""
