from __future__ import annotations

from typing import Any

from codemode import Recording, get_current_execution
from tests.support.recorded_guest import Call, Print, planned

CALLS = [
    Call("m:1", "add", {"amount": 1}, b"m:1@5\n"),
    Call("m:2", "fail", {}, b"m:2@6\n"),
    Call("m:3", "add", {"amount": 2}),
]


class Till:
    """Two tools, and a record of each time one ran."""

    def __init__(self) -> None:
        self.amounts: list[int] = []
        self.keys: list[tuple[str | None, str]] = []

    def add(self, amount: int) -> dict[str, int]:
        execution = get_current_execution()
        assert execution is not None
        self.keys.append((execution.label, execution.idempotency_key))
        self.amounts.append(amount)
        return {"total": sum(self.amounts)}

    def fail(self) -> None:
        raise LookupError("no such order")

    def serve(self, codemode: Any) -> None:
        codemode.registry.register_tool("add", self.add)
        codemode.registry.register_tool("fail", self.fail)


def test_what_is_recorded_is_answered_and_runs_no_tool_again() -> None:
    till, recording = Till(), Recording()
    plan = [Print("a"), *CALLS, Print("b")]
    with planned(plan) as (codemode, guest):
        till.serve(codemode)
        first = codemode.run("…", recording=recording)
        again = codemode.run("…", recording=recording)
    assert (first.status, again.status) == ("completed", "completed")
    assert till.amounts == [1, 2]
    assert recording.complete
    assert again.execution_id == first.execution_id == recording.execution_id
    assert (first.stdout, again.stdout) == ("ab", "ab")
    assert [(one.label, one.name, one.arguments, one.outcome) for one in recording.calls] == [
        ("m:1", "add", {"amount": 1}, "completed"),
        ("m:2", "fail", {}, "failed"),
        ("m:3", "add", {"amount": 2}, "completed"),
    ]
    assert [one.value for one in recording.calls] == [{"total": 1}, None, {"total": 3}]
    assert recording.calls[1].failure is not None
    assert recording.calls[1].failure.type == "LookupError"
    replayed = [(one.name, one.outcome, one.replayed) for one in again.tool_calls]
    assert replayed == [
        ("add", "completed", True), ("fail", "failed", True), ("add", "completed", True)
    ]  # fmt: skip
    assert not any(one.replayed for one in first.tool_calls)
    assert guest.replays[0]["calls"] == []
    assert guest.replays[1]["steps"] == b"m:1@5\nm:2@6\n"
    assert guest.replays[0]["seed"] == guest.replays[1]["seed"]
    assert guest.replays[0]["start"] == guest.replays[1]["start"]
    assert [(one[0], one[3]) for one in guest.replays[1]["calls"]] == [
        ("m:1", 3), ("m:2", 4), ("m:3", 3)
    ]  # fmt: skip
