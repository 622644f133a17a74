from __future__ import annotations

import contextvars
import time

import pytest

from codemode import Recording
from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core._dispatch.outcomes import WITHHELD
from codemode.core._dispatch.seam import Seam
from codemode.core._link.request import result_messages
from codemode.core.registry import ComponentRegistry
from codemode.core.result import ToolCallOutcome
from codemode.values import encode


@pytest.fixture
def recording() -> Recording:
    return Recording()


def dispatcher(recording: Recording, *, deadline: float) -> Dispatcher:
    registry = ComponentRegistry()
    registry.register_tool("five", lambda: 5)
    recorded = recording._begin(execution_id="e", profile="default", code="", inner=None)
    return Dispatcher(
        registry=registry,
        tools=registry.select(None),
        execution_id="e",
        max_calls=2,
        max_value_bytes=1_000,
        deadline=deadline,
        captured=contextvars.copy_context(),
        runtime_context=None,
        seam=Seam(recorded),
    )


def outcomes(recording: Recording) -> list[ToolCallOutcome]:
    return [one.outcome for one in recording.calls]


def test_a_call_after_the_deadline_gets_no_answer_and_is_not_recorded(recording: Recording) -> None:
    """A replay with more time must not get the failure."""
    late = dispatcher(recording, deadline=0.0)
    call = late.begin(1, "five", encode({}), label="m:1")
    assert late.call_sync(call) is WITHHELD
    assert result_messages(1, 1, WITHHELD) == []
    assert outcomes(recording) == ["running"]
    assert [one.outcome for one in late.records()] == ["refused"]


def test_a_call_that_comes_after_the_end_of_the_run_is_not_recorded(recording: Recording) -> None:
    ended = dispatcher(recording, deadline=time.monotonic() + 60)
    ended.cancel_all()
    assert ended.call_sync(ended.begin(1, "five", encode({}), label="m:1")) is WITHHELD
    assert outcomes(recording) == ["running"]


def test_a_refusal_is_recorded_because_the_code_gets_it(recording: Recording) -> None:
    running = dispatcher(recording, deadline=time.monotonic() + 60)
    for number in (1, 2, 3):
        running.call_sync(running.begin(number, "five", encode({}), label=f"m:{number}"))
    assert outcomes(recording) == ["completed", "completed", "refused"]
    assert recording.calls[2].failure is not None
    assert recording.calls[2].failure.type == "ToolCallLimit"
