"""The bars of tool calls, by the clock of the process that runs the tools."""

from __future__ import annotations

import json

from codemode.core.events import ToolCallFinished, ToolCallStarted
from codemode.core.result import ExecutionResult, ToolCallRecord, Usage
from codemode.values import encode
from django_codemode.playground import timeline
from django_codemode.playground.timeline import CallValues, Timeline


def finished(value: object, call_id: int = 1, at_ms: float = 2_000.0) -> ToolCallFinished:
    return ToolCallFinished(
        call_id=call_id,
        name="a",
        outcome="completed",
        duration_ms=1_000,
        at_ms=at_ms,
        encoded=encode(value),
    )


def test_bars_show_when_a_call_began_how_long_it_took_and_what_it_returned() -> None:
    calls = (
        ToolCallRecord(
            call_id=1, name="a", arguments={"x": 1}, outcome="completed", duration_ms=1000
        ),
        ToolCallRecord(call_id=2, name="b", arguments={}, outcome="running"),
    )
    noted = Timeline()
    noted.note(ToolCallStarted(call_id=1, name="a", arguments={"x": 1}, at_ms=1_000))
    noted.note(finished("<b>", at_ms=2_000))
    noted.note(ToolCallStarted(call_id=2, name="b", arguments={}, at_ms=3_000))

    first, second = noted.bars(
        ExecutionResult(
            status="timeout", execution_id="1", tool_calls=calls, usage=Usage(wall_seconds=4)
        )
    )

    assert (first.start, first.width, first.arguments) == ("25.00%", "25.00%", '{"x": 1}')
    assert "&lt;b&gt;" in first.value
    assert (second.start, second.width, second.outcome) == ("75.00%", "25.00%", "running")
    assert second.value == ""


def test_without_a_known_end_the_last_call_ends_the_time() -> None:
    record = ToolCallRecord(
        call_id=1, name="a", arguments={}, outcome="completed", duration_ms=1_000
    )
    noted = Timeline()
    noted.note(ToolCallStarted(call_id=1, name="a", arguments={}, at_ms=1_000))
    noted.note(finished(1))
    [bar] = noted.bars(ExecutionResult(status="crashed", execution_id="1", tool_calls=(record,)))
    assert (bar.start, bar.width) == ("50.00%", "50.00%")


class TestValues:
    def test_a_value_is_shown_in_part(self) -> None:
        html = CallValues().html(finished([{"n": n} for n in range(100)]))
        assert html.count("<tr>") == 21
        assert "100 rows, the first 20 shown" in html

    def test_a_call_without_a_value_shows_none(self) -> None:
        failed = ToolCallFinished(call_id=1, name="a", outcome="failed", duration_ms=1, error="no")
        assert CallValues().html(failed) == ""

    def test_large_values_and_many_values_are_only_measured(self) -> None:
        values = CallValues()
        assert "2.0\xa0MB, too much" in values.html(finished("x" * 2 * 1024 * 1024))
        html = values.html(finished("x" * 2_000))
        for _ in range(timeline.MAX_VALUES_CHARACTERS // len(html) + 1):
            html = values.html(finished("x" * 2_000))
        assert "too much" in html

    def test_the_arguments_are_cut(self) -> None:
        arguments = {"x": "y" * 3_000}
        record = ToolCallRecord(call_id=1, name="a", arguments=arguments, outcome="running")
        [bar] = Timeline().bars(
            ExecutionResult(status="crashed", execution_id="1", tool_calls=(record,))
        )
        assert bar.arguments == f"{json.dumps(arguments)[:2_000]}…"
