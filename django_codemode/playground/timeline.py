"""The tool calls of a run over time, as bars."""

from __future__ import annotations

from dataclasses import dataclass

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from codemode.core.events import Event, ToolCallFinished, ToolCallStarted
from codemode.core.result import ExecutionResult
from django_codemode.playground.outcome import shown_arguments
from django_codemode.playground.presentation import OF_A_CALL, present

__all__ = ["MAX_BARS", "Bar", "CallValues", "Timeline"]

_LEAST_PERCENT = 1
MAX_BARS = 500
MAX_VALUE_BYTES = 1024 * 1024
MAX_VALUES_CHARACTERS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The bar of one tool call. ``start`` and ``width`` are percentages of the run's time."""

    name: str
    arguments: str
    outcome: str
    error: str
    value: str
    duration_ms: float | None
    start: str
    width: str


class CallValues:
    """The values that calls of one run returned, as HTML of bounded size."""

    def __init__(self) -> None:
        self._left = MAX_VALUES_CHARACTERS

    def html(self, event: ToolCallFinished) -> SafeString:
        """Return the value of a call as HTML; "" if the call has none."""
        size = len(event.encoded or b"")
        if not size:
            return SafeString()
        small = size <= MAX_VALUE_BYTES and self._left > 0
        html = render_to_string(
            "django_codemode/playground/value.html",
            {"shown": present(event.value, OF_A_CALL) if small else None, "left_out": size},
        )
        self._left -= len(html)
        return html


class Timeline:
    """The bars of a run's calls, by the clock of the process that runs the tools."""

    def __init__(self) -> None:
        self._values = CallValues()
        self._starts: dict[int, float] = {}
        self._html: dict[int, SafeString] = {}
        self._end = 0.001

    def note(self, event: Event) -> None:
        """Note a call that an event reports."""
        if isinstance(event, ToolCallStarted | ToolCallFinished):
            self._end = max(self._end, event.at_ms)
        if isinstance(event, ToolCallStarted):
            self._starts[event.call_id] = event.at_ms
        elif isinstance(event, ToolCallFinished) and len(self._html) < MAX_BARS:
            self._html[event.call_id] = self._values.html(event)

    def bars(self, result: ExecutionResult) -> list[Bar]:
        """Return a bar for each call of the run, up to MAX_BARS."""
        whole = max(self._end, result.usage.wall_seconds * 1000)
        bars = []
        for call in result.tool_calls[:MAX_BARS]:
            start = min(100 - _LEAST_PERCENT, self._starts.get(call.call_id, 0) / whole * 100)
            # A call without a duration was still running when the run ended.
            share = 100.0 if call.duration_ms is None else call.duration_ms / whole * 100
            bars.append(
                Bar(
                    name=call.name,
                    arguments=shown_arguments(call.arguments),
                    outcome=call.outcome,
                    error=call.error or "",
                    value=self._html.get(call.call_id, ""),
                    duration_ms=call.duration_ms,
                    # As text, because a localised number is not a valid SVG attribute.
                    start=f"{start:.2f}%",
                    width=f"{min(100 - start, max(_LEAST_PERCENT, share)):.2f}%",
                )
            )
        return bars
