"""The tool calls of a run over time, as bars."""

from __future__ import annotations

import time
from dataclasses import dataclass

from codemode.core.events import Event, ExecutionStarted, ToolCallFinished, ToolCallStarted
from codemode.core.result import ExecutionResult
from codemode.values import to_text

__all__ = ["MAX_BARS", "Bar", "Timeline"]

_LEAST_PERCENT = 1
_MAX_ARGUMENTS = 2_000
MAX_BARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The bar of one tool call. ``start`` and ``width`` are percentages of the run's time."""

    name: str
    arguments: str
    outcome: str
    error: str
    duration_ms: float | None
    start: str
    width: str


class Timeline:
    """The start times of a run's calls, noted as its events arrive."""

    def __init__(self) -> None:
        self._began = time.monotonic()  # until it is known when the code began
        self._starts: dict[int, float] = {}

    def note(self, event: Event) -> None:
        """Note the time of an event of the run."""
        if isinstance(event, ExecutionStarted):
            self._began = time.monotonic()
        elif isinstance(event, ToolCallStarted):
            self._starts[event.call_id] = self._now_ms()
        elif isinstance(event, ToolCallFinished):
            # Events may arrive late. The call has ended by now, so it started at ``latest`` or
            # before: a later start would make it seem to last into the calls after it.
            latest = max(0.0, self._now_ms() - event.duration_ms)
            self._starts[event.call_id] = min(self._starts.get(event.call_id, latest), latest)

    def _now_ms(self) -> float:
        return (time.monotonic() - self._began) * 1000

    def bars(self, result: ExecutionResult) -> list[Bar]:
        """Return a bar for each call of the run, up to MAX_BARS."""
        whole = max(self._now_ms(), 0.001)
        bars = []
        for call in result.tool_calls[:MAX_BARS]:
            start = min(100 - _LEAST_PERCENT, self._starts.get(call.call_id, 0) / whole * 100)
            # A call without a duration was still running when the run ended.
            share = 100.0 if call.duration_ms is None else call.duration_ms / whole * 100
            bars.append(
                Bar(
                    name=call.name,
                    arguments=to_text(call.arguments)[:_MAX_ARGUMENTS],
                    outcome=call.outcome,
                    error=call.error or "",
                    duration_ms=call.duration_ms,
                    # As text, because a localised number is not a valid SVG attribute.
                    start=f"{start:.2f}%",
                    width=f"{min(100 - start, max(_LEAST_PERCENT, share)):.2f}%",
                )
            )
        return bars
