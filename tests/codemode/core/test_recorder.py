from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codemode import Codemode, InvalidRequestError, Recording, ToolError
from codemode.core.event_stream import Cancellation, last_result, last_result_async
from codemode.core.hooks import ToolCall, ToolFailure, ToolOutcome
from codemode.core.recorder import EndRun, Recorder
from codemode.tools import tool
from tests.support.halves import Half
from tests.support.recorded_guest import Call, planned


def run(
    half: Half, codemode: Codemode, recorder: Recorder, *, code: str = "…", **options: Any
) -> Any:
    client = codemode.client
    options.setdefault("recording", Recording())
    if half.name == "sync":
        return client.execute(code, recorder=recorder, **options)
    return asyncio.run(client.execute_async(code, recorder=recorder, **options))


class Passing:
    """A recorder that lets all through; the tests change one of its methods."""

    def answer(self, call: ToolCall) -> ToolOutcome | None:
        return None

    def perform(self, call: ToolCall, run: Callable[[], ToolOutcome]) -> ToolOutcome:
        return run()

    async def perform_async(
        self, call: ToolCall, run: Callable[[], Awaitable[ToolOutcome]]
    ) -> ToolOutcome:
        return await run()


class InTransaction(Passing):
    """A recorder that writes each outcome in the transaction of the tool's own effect."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def perform(self, call: ToolCall, run: Callable[[], ToolOutcome]) -> ToolOutcome:
        self.database.execute("BEGIN")
        try:
            outcome = run()
            if outcome.failure is not None:
                self.database.execute("ROLLBACK")
                self.database.execute("BEGIN")
            self.write(call, outcome)
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")
        return outcome

    async def perform_async(
        self, call: ToolCall, run: Callable[[], Awaitable[ToolOutcome]]
    ) -> ToolOutcome:
        outcome = await run()
        self.write(call, outcome)
        return outcome

    def write(self, call: ToolCall, outcome: ToolOutcome) -> None:
        row = (call.execution_id, call.label, call.encoded, outcome.value)
        self.database.execute("INSERT INTO outcomes VALUES (?, ?, ?, ?)", row)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(
        tmp_path / "books.sqlite", isolation_level=None, check_same_thread=False
    )
    database.execute("CREATE TABLE amounts (amount INTEGER)")
    database.execute("CREATE TABLE outcomes (execution, label UNIQUE, arguments, value)")
    yield database
    database.close()


def test_a_recorder_writes_the_outcome_in_the_transaction_of_the_effect(
    database: sqlite3.Connection, half: Half
) -> None:
    recording = Recording()

    def book(amount: int) -> int:
        database.execute("INSERT INTO amounts VALUES (?)", (amount,))
        if amount < 0:
            raise ToolError("less than nothing")
        return amount

    plan = [Call(f"m:{amount}", "book", {"amount": amount}) for amount in (1, 2)]
    bad = [Call("m:3", "book", {"amount": -1}), Call("m:4", "book", {"amount": "x"})]
    with planned([*plan, *bad, Call("m:5", "nothing")]) as (codemode, guest):
        codemode.registry.register_tool("book", book)
        result = run(half, codemode, InTransaction(database), recording=recording)
        again = run(half, codemode, InTransaction(database), recording=recording)
    assert result.ok
    assert again.ok
    assert database.execute("SELECT amount FROM amounts").fetchall() == [(1,), (2,)]
    rows = database.execute("SELECT label, value FROM outcomes").fetchall()
    assert rows == [(one.label, one.encoded_value) for one in recording.calls]
    assert [one.outcome for one in recording.calls] == [
        "completed", "completed", "failed", "refused", "refused"
    ]  # fmt: skip
    assert [answer.kind for answer in guest.answers[2:]] == [
        "error", "invalid_arguments", "unknown_tool"
    ]  # fmt: skip


def test_a_call_whose_outcome_cannot_be_written_fails_and_ends_the_run(
    database: sqlite3.Connection, half: Half
) -> None:
    recording, outcomes = Recording(), []

    class Watcher:
        def before_call(self, call: ToolCall) -> None:
            pass

        def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
            outcomes.append(outcome.failure and outcome.failure.type)

    def book() -> None:
        database.execute("INSERT INTO amounts VALUES (1)")

    database.execute("INSERT INTO outcomes VALUES ('', 'm:2', '', '')")
    plan = [Call("m:1", "book"), Call("m:2", "book"), Call("m:3", "book")]
    with planned(plan) as (codemode, guest):
        codemode.registry.register_tool("book", book)
        codemode.registry.add_hook(Watcher())
        result = run(half, codemode, InTransaction(database), recording=recording)
    assert result.status == "failed"
    assert result.error.type == "RecordingError"
    assert "IntegrityError: UNIQUE constraint failed" in result.error.message
    assert [one.outcome for one in result.tool_calls] == ["completed", "failed"]
    assert result.tool_calls[1].error.startswith("RecordingError: the call of book could not be")
    assert outcomes == [None, "RecordingError"]
    assert database.execute("SELECT COUNT(*) FROM amounts").fetchone() == (1,)
    assert [one.outcome for one in recording.calls] == ["completed", "running"]
    assert guest.answers[0] is None
    assert len([one for one in guest.answers if isinstance(one, ToolFailure)]) == 0


class Pausing(Passing):
    """A recorder that holds the calls of one tool until somebody has decided."""

    def __init__(self, name: str, decided: dict[str, ToolOutcome] | None = None) -> None:
        self.name = name
        self.decided = decided or {}
        self.held: list[ToolCall] = []

    def answer(self, call: ToolCall) -> ToolOutcome | None:
        return self.decided.get(call.label or "")

    def perform(self, call: ToolCall, run: Callable[[], ToolOutcome]) -> ToolOutcome:
        if call.name == self.name and call.failure is None:
            self.held.append(call)
            raise EndRun("cancelled", "Paused", f"{call.name} waits for a decision")
        return run()

    async def perform_async(
        self, call: ToolCall, run: Callable[[], Awaitable[ToolOutcome]]
    ) -> ToolOutcome:
        if call.name == self.name and call.failure is None:
            self.held.append(call)
            raise EndRun("cancelled", "Paused", f"{call.name} waits for a decision")
        return await run()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_recorder_ends_the_run_and_what_is_in_flight_ends_and_is_recorded(
    half: Half, asynchronous: bool
) -> None:
    """The tool that is held does not run, and nothing starts after it."""
    recording, ran = Recording(), []
    at_work, pausing = threading.Semaphore(0), Pausing("refund")

    async def slow() -> str:
        at_work.release()
        while not pausing.held:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        ran.append("slow")
        return "done"

    @tool(thread_sensitive=False)
    def slow_too() -> str:
        at_work.release()
        while not pausing.held:
            time.sleep(0.001)
        time.sleep(0.02)
        ran.append("slow_too")
        return "done"

    def refund(order: int) -> None:
        ran.append("refund")

    async def arefund(order: int) -> None:
        ran.append("refund")

    calls = [Call("m:1", "slow", wait=False), Call("m:2", "slow_too", wait=False)]
    held = Call("m:3", "refund", {"order": 17})

    def until_at_work(_: Any) -> None:
        if not pausing.held:
            assert at_work.acquire(timeout=10)
            assert at_work.acquire(timeout=10)

    with planned([*calls, until_at_work, held, Call("m:4", "slow")]) as (codemode, _):
        codemode.registry.register_tool("slow", slow)
        codemode.registry.register_tool("slow_too", slow_too)
        codemode.registry.register_tool("refund", arefund if asynchronous else refund)
        result = run(half, codemode, pausing, recording=recording)
        assert sorted(ran) == ["slow", "slow_too"]
        assert (result.status, result.error.type) == ("cancelled", "Paused")
        assert [(one.name, one.outcome) for one in result.tool_calls[:3]] == [
            ("slow", "completed"), ("slow_too", "completed"), ("refund", "refused")
        ]  # fmt: skip
        assert pausing.held[0].validated == {"order": 17}
        assert [one.outcome for one in recording.calls][:3] == ["completed", "completed", "running"]
        assert not recording.complete
        # A person has refused: the code gets that, and it is on record from then on.
        refusal = ToolFailure(kind="permission_denied", type="Rejected", message="by Ana")
        decided = Pausing("refund", {"m:3": ToolOutcome(failure=refusal)})
        again = run(half, codemode, decided, recording=recording)
    assert again.ok
    assert decided.held == []
    known = {one.label: one for one in recording.calls}
    assert known["m:3"].outcome == "refused"
    assert known["m:3"].failure == refusal
    assert sorted(ran)[:2] == ["slow", "slow"]  # m:4 ran live after the pause


@pytest.mark.parametrize("call", ["refund({})", "await arefund({})", "refund_all({}, 5)"])
def test_a_held_call_runs_as_it_was_held_or_not_at_all(
    codemode: Codemode, half: Half, call: str
) -> None:
    """Also where threads take turns by chance: no other call, under no other label."""
    paid: list[tuple[Any, ...]] = []

    async def arefund(order: int) -> None:
        paid.append((order,))

    def refund(order: int) -> None:
        paid.append((order,))

    def refund_all(order: int, amount: int) -> None:
        paid.append((order, amount))

    for function in (refund, arefund, refund_all):
        codemode.registry.register_tool(function.__name__, function)
    name = call.removeprefix("await ").partition("(")[0]
    held, recording = Pausing(name), Recording()
    code = "import threading\nif more: threading.Thread(target=refund, args=(1,)).start()\n"
    code += f"if first: refund(order)\n{call.format('order')}"

    def resumed(**changed: Any) -> Any:
        kept = Recording.from_bytes(recording.to_bytes())
        inputs = {"order": 17, "first": False, "more": False, **changed}
        return run(half, codemode, Passing(), recording=kept, code=code, inputs=inputs)

    inputs = {"order": 17, "first": False, "more": False}
    assert run(half, codemode, held, recording=recording, code=code, inputs=inputs).error
    assert [one.outcome for one in recording.calls] == ["running"]
    for changed in ({"order": 18}, {"first": True, "order": 18}, {"order": 18, "more": True}):
        assert resumed(**changed).status == "diverged", changed
        assert paid == []
    assert resumed().ok
    assert len(paid) == 1
    assert paid[0][0] == 17


def test_the_end_of_a_run_waits_for_tools_until_its_deadline_only(half: Half) -> None:
    class Refusing(Passing):
        def perform(self, call: ToolCall, run: Callable[[], ToolOutcome]) -> ToolOutcome:
            raise EndRun("cancelled", "Paused", "wait")

    at_work = threading.Event()

    async def sleep() -> None:
        at_work.set()
        await asyncio.sleep(60)

    def until_at_work(_: Any) -> None:
        assert at_work.wait(10)

    plan = [Call("m:1", "sleep", wait=False), until_at_work, Call("m:2", "stop")]
    with planned(plan) as (codemode, _):
        codemode.registry.register_tool("sleep", sleep)
        codemode.registry.register_tool("stop", lambda: None)
        began = time.monotonic()
        result = run(half, codemode, Refusing(), execution_timeout=0.3)
    assert 0.25 < time.monotonic() - began < 10
    assert result.status == "cancelled"
    assert [one.outcome for one in result.tool_calls] == ["cancelled", "refused"]


def test_cancelling_ends_the_wait_for_tools(half: Half) -> None:
    """The status stays that of the recorder, which had ended the run before."""
    at_work = threading.Event()

    class Refusing(Passing):
        def perform(self, call: ToolCall, run: Callable[[], ToolOutcome]) -> ToolOutcome:
            threading.Timer(0.1, cancellation.cancel).start()
            raise EndRun("cancelled", "Paused", "wait")

    async def sleep() -> None:
        at_work.set()
        await asyncio.sleep(60)

    def until_at_work(_: Any) -> None:
        assert at_work.wait(10)

    cancellation = Cancellation()
    plan = [Call("m:1", "sleep", wait=False), until_at_work, Call("m:2", "stop")]
    with planned(plan) as (codemode, _):
        codemode.registry.register_tool("sleep", sleep)
        codemode.registry.register_tool("stop", lambda: None)
        options: dict[str, Any] = {
            "recording": Recording(), "recorder": Refusing(), "cancellation": cancellation
        }  # fmt: skip
        client = codemode.client
        if half.name == "sync":
            result = last_result(client.stream("…", **options))
        else:
            result = asyncio.run(last_result_async(client.stream_async("…", **options)))
    assert result.error is not None
    assert result.error.type == "Paused"
    assert [one.outcome for one in result.tool_calls] == ["cancelled", "refused"]


def test_a_recorder_gives_another_outcome_than_the_tool(half: Half) -> None:
    class Replacing(Passing):
        def perform(self, call: ToolCall, run: Callable[[], ToolOutcome]) -> ToolOutcome:
            run()
            return ToolOutcome(value=b"\x07")

    recording = Recording()
    with planned([Call("m:1", "five")]) as (codemode, guest):
        codemode.registry.register_tool("five", lambda: 5)
        assert run(half, codemode, Replacing(), recording=recording).ok
    assert guest.answers == [7]
    assert recording.calls[0].value == 7


def test_an_answer_that_fails_ends_the_run(half: Half) -> None:
    class Broken(Passing):
        def answer(self, call: ToolCall) -> ToolOutcome | None:
            raise OSError("no disk")

    with planned([Call("m:1", "five", wait=False)]) as (codemode, _):
        codemode.registry.register_tool("five", lambda: 5)
        result = run(half, codemode, Broken())
    assert (result.status, result.error.type) == ("failed", "RecordingError")
    assert "OSError: no disk" in result.error.message


def test_an_outcome_that_is_none_ends_the_run(half: Half) -> None:
    class Empty(Passing):
        def answer(self, call: ToolCall) -> ToolOutcome | None:
            return ToolOutcome()

    recording = Recording()
    with planned([Call("m:1", "five", wait=False)]) as (codemode, _):
        codemode.registry.register_tool("five", lambda: 5)
        result = run(half, codemode, Empty(), recording=recording)
    assert (result.status, result.error.type) == ("failed", "RecordingError")
    assert Recording.from_bytes(recording.to_bytes()).calls[0].outcome == "running"


def test_a_recorder_needs_a_recording(half: Half) -> None:
    with (
        planned([]) as (codemode, _),
        pytest.raises(InvalidRequestError, match=r"pass recording=Recording\(\) as well"),
    ):
        run(half, codemode, Passing(), recording=None)


def test_nothing_of_the_code_runs_after_the_end_and_a_later_run_goes_on(
    codemode: Codemode, half: Half
) -> None:
    """In a real sandbox, whose code catches everything."""
    code = """
try:
    note("before")
    answer = await refund(order=17)
except BaseException as error:
    note("caught")
    answer = str(error)
finally:
    note("finally")
result = answer
"""
    noted, recording = [], Recording()

    async def refund(order: int) -> None:
        noted.append(f"refund {order}")

    def note(text: str) -> None:
        noted.append(text)

    codemode.registry.register_tool("refund", refund)
    codemode.registry.register_tool("note", note)
    pausing = Pausing("refund")
    result = run(half, codemode, pausing, recording=recording, code=code)
    assert (result.status, result.error.type) == ("cancelled", "Paused")
    assert noted == ["before"]
    assert [call.label for call in pausing.held] == [recording.calls[1].label]
    refusal = ToolFailure(kind="permission_denied", type="Rejected", message="by Ana")
    decided = Pausing("", {pausing.held[0].label or "": ToolOutcome(failure=refusal)})
    result = run(half, codemode, decided, recording=recording, code=code)
    assert result.value == "refund: by Ana"
    assert noted == ["before", "caught", "finally"]
    assert [(one.name, one.replayed) for one in result.tool_calls] == [
        ("note", True), ("refund", True), ("note", False), ("note", False)
    ]  # fmt: skip
    again = run(half, codemode, Passing(), recording=recording, code=code)
    assert again.value == "refund: by Ana"
    assert len(noted) == 3
    other = run(half, codemode, Passing(), recording=recording, code="note('x')")
    assert other.status == "diverged"
    assert "note(text='x'), while the recorded call" in other.error.message
    assert len(noted) == 3
