from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from codemode import Codemode, Recording, get_current_execution
from codemode.core import events
from codemode.core._link.request import RunOptions
from codemode.core.event_stream import EventStream
from codemode.core.hooks import ToolCall, ToolOutcome
from codemode.errors import ExecutorProtocolError, InvalidRequestError
from codemode.protos import codemode_pb2 as pb
from codemode.tools import tool
from codemode.values import encode
from codemode.wire.constants import SEARCH
from codemode.wire.protobuf import CHUNK_BYTES
from tests.support.halves import Half
from tests.support.recorded_guest import Call, Guest, Print, planned
from tests.support.scripted_executor import scripted

CALLS = [
    Call("m:1", "add", {"amount": 1}, b"|em:1+5\n"),
    Call("m:2", "fail", {}, b"|em:2+6\n"),
    Call("m:3", "aadd", {"amount": 2}),
]
CRASH = pb.ExecutorMessage(failed=pb.Failed(run_id=1, status="crashed", type="Crashed"))


class HalfARecorder:
    def answer(self, call: ToolCall) -> ToolOutcome | None:
        return None


class Till:
    """Three tools, and a record of each time one ran."""

    def __init__(self) -> None:
        self.amounts: list[int] = []
        self.keys: list[tuple[str | None, str]] = []

    def add(self, amount: int) -> dict[str, int]:
        execution = get_current_execution()
        assert execution is not None
        assert execution.idempotency_key == execution.idempotency_key
        self.keys.append((execution.label, execution.idempotency_key))
        self.amounts.append(amount)
        return {"total": sum(self.amounts)}

    async def aadd(self, amount: int) -> dict[str, int]:
        return self.add(amount)

    def fail(self) -> None:
        raise LookupError("no such order")

    def serve(self, codemode: Any) -> None:
        for name in ("add", "aadd", "fail"):
            codemode.registry.register_tool(name, getattr(self, name))


def test_what_is_recorded_is_answered_and_runs_no_tool_again(half: Half) -> None:
    till, recording = Till(), Recording()
    plan = [Print("a"), *CALLS, Print("b")]
    with planned(plan) as (codemode, guest):
        till.serve(codemode)
        first = half.run(codemode, "…", recording=recording)
        again = half.run(codemode, "…", recording=recording)
    assert (first.status, again.status) == ("completed", "completed")
    assert till.amounts == [1, 2]
    assert recording.complete
    assert again.execution_id == first.execution_id == recording.execution_id
    assert (first.stdout, again.stdout) == ("ab", "ab")
    assert [(one.label, one.name, one.arguments, one.outcome) for one in recording.calls] == [
        ("m:1", "add", {"amount": 1}, "completed"),
        ("m:2", "fail", {}, "failed"),
        ("m:3", "aadd", {"amount": 2}, "completed"),
    ]
    assert [one.sequence for one in recording.calls] == [1, 2, 3]
    assert [one.value for one in recording.calls] == [{"total": 1}, None, {"total": 3}]
    assert recording.calls[1].failure is not None
    assert recording.calls[1].failure.type == "LookupError"
    replayed = [(one.name, one.outcome, one.replayed) for one in again.tool_calls]
    assert replayed == [
        ("add", "completed", True), ("fail", "failed", True), ("aadd", "completed", True)
    ]  # fmt: skip
    assert not any(one.replayed for one in first.tool_calls)
    empty, full = guest.replays
    assert (empty["calls"], empty["steps"]) == ([], b"")
    assert full["steps"] == b"|em:1+5\n|em:2+6\n"
    assert (empty["seed"], empty["start"]) == (full["seed"], full["start"])
    assert [(one[0], one[3]) for one in full["calls"]] == [("m:1", 3), ("m:2", 4), ("m:3", 3)]


async def events_of(stream: EventStream) -> list[events.Event]:
    return [one async for one in stream]


def test_each_way_to_run_code_takes_a_recording_and_an_id() -> None:
    ways: dict[str, Callable[[Codemode, Any], Any]] = {
        "run": lambda one, given: one.run("…", **given),
        "run_async": lambda one, given: asyncio.run(one.run_async("…", **given)),
        "execute": lambda one, given: one.execute("…", **given),
        "execute_async": lambda one, given: asyncio.run(one.execute_async("…", **given)),
        "for": lambda one, given: list(one.stream("…", **given)),
        "async for": lambda one, given: asyncio.run(events_of(one.stream("…", **given))),
        "client": lambda one, given: one.client.execute("…", **given),
        "client async": lambda one, given: asyncio.run(one.client.execute_async("…", **given)),
    }
    till = Till()
    with planned(CALLS[:1]) as (codemode, _):
        till.serve(codemode)
        for way, run in ways.items():
            recording = Recording()
            run(codemode, {"recording": recording, "execution_id": way})
            run(codemode, {"recording": recording})
            assert recording.execution_id == way
            assert recording.complete
    assert till.amounts == [1] * len(ways)


def test_a_cancelled_run_goes_on_in_another_sandbox(codemode: Codemode) -> None:
    ran, recording = [], Recording()

    async def book(amount: int) -> int:
        ran.append(amount)
        if len(ran) == 2:
            stream.cancel()
            await asyncio.sleep(60)
        return amount

    codemode.registry.register_tool("book", book)
    stream = codemode.stream("result = [await book(1), await book(2)]", recording=recording)
    last = list(stream)[-1]
    assert isinstance(last, events.ExecutionCompleted)
    assert last.result.status == "cancelled"
    assert not recording.complete
    assert [one.outcome for one in recording.calls] == ["completed", "running"]
    result = codemode.run("result = [await book(1), await book(2)]", recording=recording)
    assert result.value == [1, 2]
    assert ran == [1, 2, 2]


def test_a_sync_tool_that_outlives_its_run_is_recorded_and_not_repeated(
    codemode: Codemode, half: Half
) -> None:
    """The effect of such a tool cannot be stopped: doing it twice would be worse."""
    ran, recording, go_on = [], Recording(), threading.Event()

    @tool(thread_sensitive=False)
    def book() -> int:
        ran.append(1)
        assert go_on.wait(30)
        return 5

    codemode.registry.register_tool("book", book)
    cut_off = half.run(codemode, "book()", recording=recording, execution_timeout=0.3)
    assert cut_off.status == "timeout"
    assert [one.outcome for one in recording.calls] == ["running"]
    go_on.set()
    until = time.monotonic() + 30
    while recording.calls[0].outcome == "running":
        assert time.monotonic() < until
        time.sleep(0.001)
    result = half.run(codemode, "book()", recording=recording)
    assert result.value == 5
    assert ran == [1]


def test_a_cut_recording_runs_live_after_its_last_outcome(half: Half) -> None:
    till, recording = Till(), Recording()
    with planned([Print("a"), *CALLS, Print("b")]) as (codemode, _):
        till.serve(codemode)
        half.run(codemode, "…", recording=recording)
        cut = recording.cut(after=2)
        assert [one.label for one in cut.calls] == ["m:1", "m:2"]
        assert not cut.complete
        result = half.run(codemode, "…", recording=cut)
        assert half.run(codemode, "…", recording=recording.cut(after=0)).ok
    assert [(one.name, one.replayed) for one in result.tool_calls] == [
        ("add", True), ("fail", True), ("aadd", False)
    ]  # fmt: skip
    assert till.amounts == [1, 2, 2, 1, 2]
    assert cut.complete
    assert recording.complete
    assert result.stdout == "ab"
    for wrong in (4, -1, "1", True):
        with pytest.raises(ValueError, match=f"after is {wrong!r}; expected a number from 0 to 3"):
            recording.cut(after=wrong)


def test_calls_without_outcome_stay_on_record_and_run_again() -> None:
    till, recording = Till(), Recording()
    lost = Call("m:2", "wait", {}, b"|em:1+9\n", wait=False)
    with planned([CALLS[0], lost, CRASH], [CALLS[0]]) as (codemode, guest):
        till.serve(codemode)

        async def wait() -> None:
            await asyncio.sleep(60)

        codemode.registry.register_tool("wait", wait)
        assert codemode.run("…", recording=recording).status == "crashed"
        assert [one.outcome for one in recording.calls] == ["completed", "running"]
        assert not recording.complete
        cut = recording.cut(after=1)
        codemode.run("…", recording=recording)
    assert guest.replays[1]["steps"] == b"|em:1+5\n|em:1+9\n"
    assert [(one[0], one[3]) for one in guest.replays[1]["calls"]] == [("m:1", 3), ("m:2", 6)]
    assert [one.outcome for one in recording.calls] == ["completed", "cancelled"]
    assert [one.label for one in cut.calls] == ["m:1"]


@pytest.mark.parametrize("other", [{"amount": 7}, {"amount": True}, {}])
def test_another_call_than_the_open_one_ends_the_run_as_diverged(
    half: Half, other: dict[str, Any]
) -> None:
    """As one that was held until somebody approved of it."""
    till, recording, waits = Till(), Recording(), threading.Event()
    held = Call("m:2", "wait", {"amount": 1}, wait=False)

    def until_it_waits(_: Any) -> None:
        assert waits.wait(10)

    first = [CALLS[0], held, until_it_waits, Call("m:3", "add", {"amount": 3}), CRASH]
    changed = Call("m:2", "wait", other, wait=False)
    renamed = Call("m:2", "add", {"amount": 1}, wait=False)
    last = Call("m:2", "wait", {"amount": 1})
    with planned(first, [changed], [renamed], [changed], [last]) as (codemode, _):
        till.serve(codemode)

        async def wait(amount: int = 0) -> None:
            till.amounts.append(100 + amount)
            waits.set()
            if len(till.amounts) < 4:
                await asyncio.sleep(60)

        codemode.registry.register_tool("wait", wait)
        assert half.run(codemode, "…", recording=recording).status == "crashed"
        assert [one.outcome for one in recording.calls] == ["completed", "running", "completed"]
        cut = Recording.from_bytes(recording.cut(after=2).to_bytes())
        assert cut.calls == recording.calls
        results = [half.run(codemode, "…", recording=one) for one in (recording, recording, cut)]
        assert till.amounts == [1, 101, 3]
        again = half.run(codemode, "…", recording=cut)
    for result in results:
        assert result.status == "diverged"
        assert result.error is not None
        assert "the call m:2 was wait(amount=1), and now is" in result.error.message
    assert again.ok
    assert till.amounts == [1, 101, 3, 101]


def test_a_call_that_the_code_gives_up_does_not_run_again(half: Half) -> None:
    """Its tool may have done something: only the code knows that it went on without it."""
    recording, ran = Recording(), []
    up = pb.ExecutorMessage(tool_call_cancelled=pb.ToolCallCancelled(run_id=1, call_id=1))
    plan = [Call("m:1", "wait", {"seconds": 60}, wait=False), up, Call("m:2", "wait")]
    with planned(plan) as (codemode, guest):

        async def wait(seconds: int = 0) -> None:
            ran.append(seconds)
            await asyncio.sleep(seconds)

        codemode.registry.register_tool("wait", wait)
        assert half.run(codemode, "…", recording=recording).ok
        assert half.run(codemode, "…", recording=recording).ok
    assert [one.outcome for one in recording.calls] == ["cancelled", "completed"]
    assert len(guest.replays[1]["calls"]) == 2
    assert ran.count(0) == 1


def test_the_host_answers_what_is_too_large_for_the_replay(half: Half) -> None:
    recording, sizes = Recording(), []
    plan = [Call("m:1", "read", {"size": 70_000}), Call("m:2", "read", {"size": 3}, b"|z+1\n")]
    with planned(plan) as (codemode, guest):

        def read(size: int) -> str:
            sizes.append(size)
            return "x" * size

        codemode.registry.register_tool("read", read)
        assert half.run(codemode, "…", recording=recording).ok
        again = half.run(codemode, "…", recording=recording)
    assert sizes == [70_000, 3]
    assert [(one[0], one[3]) for one in guest.replays[1]["calls"]] == [("m:1", 0), ("m:2", 3)]
    assert [len(answer) for answer in guest.answers] == [70_000, 3, 70_000]
    assert len(again.tool_calls) == 2


def test_an_answered_call_is_free_and_invisible() -> None:
    till, recording, seen = Till(), Recording(), []

    class Watcher:
        def before_call(self, call: ToolCall) -> None:
            seen.append(call.name)

        def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
            seen.append(call.name)

    insisting = [Call(one.label, one.name, one.arguments, insist=True) for one in CALLS]
    more = [*insisting, Call("m:4", "add", {"amount": 4})]
    with planned([*CALLS, CRASH], more) as (codemode, _):
        till.serve(codemode)
        codemode.run("…", recording=recording)
        codemode.registry.add_hook(Watcher())
        stream = list(
            codemode.client.stream("…", config={"max_tool_calls": 1}, recording=recording)
        )
    finished = [one.name for one in stream if isinstance(one, events.ToolCallFinished)]
    assert finished == ["add"]
    assert seen == ["add", "add"]
    assert till.amounts == [1, 2, 4]


def test_another_call_under_a_recorded_label_ends_the_run_as_diverged(half: Half) -> None:
    till, recording = Till(), Recording()
    other = Call("m:1", "add", {"amount": 7}, insist=True, wait=False)
    never = Call("m:9", "add", {"amount": 9}, wait=False)
    with planned(CALLS, [other, never]) as (codemode, _):
        till.serve(codemode)
        half.run(codemode, "…", recording=recording)
        result = half.run(codemode, "…", recording=recording)
    assert result.status == "diverged"
    assert result.error is not None
    assert result.error.type == "Divergence"
    assert result.error.message == (
        "the code left its record: the call m:1 was add(amount=1), and now is add(amount=7)"
    )
    assert till.amounts == [1, 2]
    assert [one.replayed for one in result.tool_calls] == [True] * 3
    text = result.for_model()
    assert text.startswith("Diverged: the code left its record: the call m:1 was add(amount=1)")
    assert "Do not run this code again" in text
    assert "Called before it diverged" in text
    assert recording.complete  # the record itself stays as it was


def test_a_complete_record_gets_no_new_call_from_a_sandbox_that_sends_one(half: Half) -> None:
    till, recording = Till(), Recording()
    steps = pb.ExecutorMessage(steps=pb.Steps(run_id=1, data=b"|k1+1\n"))
    more = Call("m:9", "add", {"amount": 9}, wait=False)
    with planned(CALLS, [steps, Print("more"), more]) as (codemode, _):
        till.serve(codemode)
        half.run(codemode, "…", recording=recording)
        kept = recording.to_bytes()
        results = [half.run(codemode, "…", recording=recording) for _ in range(2)]
    for result in results:
        assert result.status == "diverged"
        assert result.error is not None
        assert result.error.message == (
            "the code left its record: a new call came, m:9: add(amount=9), and the record has "
            "none left"
        )
    assert till.amounts == [1, 2]
    assert recording.to_bytes() == kept


@pytest.mark.parametrize(
    ("divergence", "message"),
    [
        (
            pb.Divergence(
                reason="new_call", label="m:9", name="add", arguments=encode({"n": 3}),
                expected="m:2",
            ),
            "a new call came, m:9: add(n=3), while the recorded call m:2 was still to come: fail()",
        ),
        (
            pb.Divergence(
                reason="new_call", label="m:9", name="add", arguments=encode({"n": 3})
            ),
            "a new call came, m:9: add(n=3), and the record has none left",
        ),
        (
            pb.Divergence(reason="missing"),
            "it does not sleep, wait or end where the record does",
        ),
        (
            pb.Divergence(reason="call", label="m:1", name="add", arguments=encode({"amount": 3})),
            "the call m:1 was add(amount=1), and now is add(amount=3)",
        ),
        (
            pb.Divergence(reason="missing", expected="m:3"),
            "it has no further call, while the recorded call m:3 was still to come: aadd(amount=2)",
        ),
        (
            pb.Divergence(reason="?", label="\n", name="n" * 999, arguments=b"\xff", expected="?"),
            f"the call without a label is {'n' * 80}...(...), while recorded calls were still to come",
        ),
    ],
)  # fmt: skip
def test_a_divergence_in_the_sandbox_is_named(divergence: pb.Divergence, message: str) -> None:
    till, recording = Till(), Recording()
    failed = pb.Failed(run_id=1, status="diverged", line=2, divergence=divergence)
    with planned(CALLS, [pb.ExecutorMessage(failed=failed)]) as (codemode, _):
        till.serve(codemode)
        codemode.run("…", recording=recording)
        result = codemode.run("a\nb = add(3)", recording=recording)
        plain = codemode.run("…")
    assert result.status == "diverged"
    assert result.error is not None
    assert result.error.message == f"the code left its record: {message}"
    assert (result.error.line, result.error.source_line) == (2, "b = add(3)")
    assert plain.status == "failed"  # a run without a record cannot leave one


@pytest.mark.parametrize("label", ["m:1", "", "m 2", "m" * 201, "m\n"])
def test_a_label_that_is_none_or_comes_twice_ends_the_run(label: str) -> None:
    till = Till()
    plan = [CALLS[0], Call(label, "add", {"amount": 5}, wait=False)]
    with planned(plan) as (codemode, _):
        till.serve(codemode)
        result = codemode.run("…", recording=Recording())
    assert result.status == "crashed"
    assert result.error is not None
    assert "broke the protocol: it sent the label" in result.error.message
    assert till.amounts == [1]


def test_steps_travel_alone_or_with_a_call_and_have_their_form() -> None:
    recording = Recording()
    steps = [
        pb.ExecutorMessage(steps=pb.Steps(run_id=1, data=data)) for data in (b"|z+1\n", b"b\n")
    ]
    with planned([steps[0]], [], [steps[1]]) as (codemode, guest):
        assert codemode.run("…", recording=recording).ok
        assert codemode.run("…", recording=recording).ok
        result = codemode.run("…", recording=recording)
    assert guest.replays[1]["steps"] == b"|z+1\n"
    assert result.status == "crashed"


def test_an_executor_that_cannot_record_runs_no_tool(half: Half) -> None:
    till, recording = Till(), Recording()
    guest = Guest(features=("batches",))
    with planned([Call("m:1", "add", {"amount": 1}, wait=False)], guest=guest) as (codemode, _):
        till.serve(codemode)
        with pytest.raises(ExecutorProtocolError, match="cannot record runs; update it"):
            half.run(codemode, "…", recording=recording)
    assert till.amounts == []
    assert recording.execution_id is None


@pytest.mark.parametrize("status", ["timeout", "cancelled", "limit", "crashed"])
def test_run_that_ends_before_its_start_is_not_on_record(half: Half, status: str) -> None:
    """As one whose time is over before a sandbox has taken its code."""
    till, recording, empty = Till(), Recording(), Recording()
    with planned(CALLS) as (codemode, _):
        till.serve(codemode)
        half.run(codemode, "…", recording=recording)
    before = recording.to_bytes()
    end = pb.ExecutorMessage(failed=pb.Failed(run_id=1, status=status, type="T", message="why"))
    with scripted(lambda _: iter([end])) as (codemode, _):
        till.serve(codemode)
        for one in (empty, recording):
            result = half.run(codemode, "…", recording=one)
            assert (result.status, result.error and result.error.message) == (status, "why")
    assert (empty.execution_id, empty.complete, recording.to_bytes()) == (None, False, before)


@pytest.mark.parametrize(
    "message",
    [
        pb.ExecutorMessage(completed=pb.Completed(run_id=1, value=encode(5))),
        pb.ExecutorMessage(failed=pb.Failed(run_id=1, status="failed", type="KeyError")),
        pb.ExecutorMessage(failed=pb.Failed(run_id=1, status="diverged")),
        pb.ExecutorMessage(tool_call=pb.ToolCall(run_id=1, call_id=1, name="add", label="m:1")),
    ],
    ids=["completed", "failed", "diverged", "a call"],
)
def test_code_that_ran_before_its_start_is_no_record(half: Half, message: Any) -> None:
    recording = Recording()
    with (
        scripted(lambda _: iter([message])) as (codemode, _),
        pytest.raises(ExecutorProtocolError, match=r"sent '\w+' before the start of the run"),
    ):
        half.run(codemode, "…", recording=recording)
    assert (recording.execution_id, recording.complete) == (None, False)


def test_a_replay_is_refused_by_another_python_and_another_profile() -> None:
    till, recording, guest = Till(), Recording(), Guest(python="3.12")
    with planned(CALLS, guest=guest) as (codemode, _):
        till.serve(codemode)
        codemode.run("…", recording=recording)
        guest.python = "3.13"
        with pytest.raises(
            InvalidRequestError, match=r"with Python 3\.12, and .* has Python 3\.13"
        ):
            codemode.run("…", recording=recording)
        with pytest.raises(InvalidRequestError, match="profile 'default', .* asks for 'data'"):
            codemode.run("…", recording=recording, profile="data")
        guest.python = ""
        with pytest.raises(ExecutorProtocolError, match="names the Python ''"):
            codemode.run("…", recording=Recording())
    assert till.amounts == [1, 2]


def test_an_execution_id_may_be_chosen_and_is_kept(half: Half) -> None:
    recording = Recording()
    with planned([]) as (codemode, guest):
        result = half.run(codemode, "…", recording=recording, execution_id="order 17")
        assert result.execution_id == recording.execution_id == "order 17"
        assert guest.openings[-1].run.execution_id == "order 17"
        assert half.run(codemode, "…", recording=recording).execution_id == "order 17"
        assert half.run(codemode, "…", execution_id="plain").execution_id == "plain"
        with pytest.raises(InvalidRequestError, match="'order 18', and the recording is of"):
            half.run(codemode, "…", recording=recording, execution_id="order 18")
        for wrong in ("", "x" * 201, "ü", "a\nb", 17):
            with pytest.raises(InvalidRequestError, match="printable ASCII"):
                half.run(codemode, "…", execution_id=wrong)
        with pytest.raises(InvalidRequestError, match=r"expected a codemode\.Recording"):
            half.run(codemode, "…", recording=b"")
        with pytest.raises(InvalidRequestError, match="has no method 'perform'"):
            RunOptions(code="…", recording=recording, recorder=HalfARecorder())  # type: ignore[arg-type]


def test_idempotency_keys_follow_from_execution_and_label() -> None:
    till = Till()
    call = [Call("m:1", "add", {"amount": 1})]
    with planned(call) as (codemode, _):
        till.serve(codemode)
        for execution_id in ("one", "one", "two"):
            codemode.run("…", recording=Recording(), execution_id=execution_id)
        for _ in range(2):
            codemode.run("…", execution_id="one")
    labels, keys = zip(*till.keys, strict=True)
    assert labels == ("m:1", "m:1", "m:1", None, None)
    assert keys[0] == keys[1] == "8068df710a104eb701b922c8157cf485"
    assert len(set(keys)) == 4


def test_a_recording_serves_one_run_at_a_time() -> None:
    recording, refusals = Recording(), []
    with planned([Call("m:1", "nest")]) as (codemode, _):

        def nest() -> None:
            with pytest.raises(InvalidRequestError, match="in use by another run") as caught:
                codemode.run("…", recording=recording)
            refusals.append(caught.value)

        codemode.registry.register_tool("nest", nest)
        assert codemode.run("…", recording=recording).ok
        assert codemode.run("…", recording=recording).ok
    assert len(refusals) == 1


def test_sessions_refuse_a_recording_in_words() -> None:
    with planned([]) as (codemode, _), codemode.session() as session:
        with pytest.raises(InvalidRequestError, match="run of a session cannot be recorded"):
            session.run("…", recording=Recording())
        with pytest.raises(InvalidRequestError, match="run of a session cannot be recorded"):
            session.stream("…", recording=Recording())


def output_of(stream: Iterator[events.Event]) -> str:
    return "|".join(one.text for one in stream if isinstance(one, events.OutputReceived))


def test_output_is_shown_once_and_is_whole_in_the_result() -> None:
    recording = Recording()
    error = Print("e", stream=pb.Output.STREAM_STDERR)
    with planned([Print("ab"), error], [Print("a"), error, Print("bcd")]) as (codemode, _):
        assert output_of(codemode.stream("…", recording=recording)) == "ab|e"  # type: ignore[arg-type]
        with codemode.stream("…", recording=recording) as stream:
            seen = list(stream)
    last = seen[-1]
    assert isinstance(last, events.ExecutionCompleted)
    assert output_of(iter(seen)) == "cd"
    assert (last.result.stdout, last.result.stderr) == ("abcd", "e")


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([Print("ab"), Print("x")], "its stdout was 'c', and now is 'x'"),
        ([Print("ab")], "its stdout was 'c', and now is ''"),
    ],
)
def test_other_output_is_a_divergence(outputs: list[Print], message: str, half: Half) -> None:
    recording = Recording()
    with planned([Print("abc")], outputs) as (codemode, _):
        half.run(codemode, "…", recording=recording)
        result = half.run(codemode, "…", recording=recording)
    assert result.status == "diverged"
    assert result.error is not None
    assert result.error.message.endswith(message)


def test_questions_about_tools_are_replayed_and_are_no_calls(half: Half) -> None:
    till, recording = Till(), Recording()
    plan = [Call("m:1", SEARCH, {"text": "add"}), CALLS[1]]
    insisting = [Call("m:1", SEARCH, {"text": "add"}, insist=True)]
    with planned(plan, insisting) as (codemode, guest):
        till.serve(codemode)
        first = half.run(codemode, "…", recording=recording)
        codemode.registry.register_tool("add_more", till.add)
        again = half.run(codemode, "…", recording=recording)
    assert guest.answers[0] == guest.answers[2]
    assert [one.label for one in recording.calls] == ["m:2"]
    assert len(first.tool_calls) == len(again.tool_calls) == 1
    assert [one[0] for one in guest.replays[1]["calls"]] == ["m:1", "m:2"]
    assert [one.label for one in recording.cut(after=1).calls] == ["m:2"]


def test_a_large_replay_travels_in_parts_up_to_the_limit() -> None:
    recording = Recording()
    plan = [Call(f"m:{number}", "read") for number in range(8)]
    with planned(plan) as (codemode, guest):
        codemode.registry.register_tool("read", lambda: "x" * 60_000)
        codemode.run("…", recording=recording)
        assert codemode.run("…", recording=recording).ok
        with pytest.raises(InvalidRequestError, match="larger than max_value_bytes"):
            codemode.client.execute("…", config={"max_value_bytes": 400_000}, recording=recording)
    assert guest.sizes[1] > 3 * CHUNK_BYTES
    assert len(guest.openings[-1].run.replay) == CHUNK_BYTES
    assert guest.openings[-1].run.replay_parts == guest.sizes[1] // CHUNK_BYTES


def test_a_full_recording_ends_the_run_by_a_limit(half: Half) -> None:
    recording, threads = Recording(max_bytes=20_000), []
    plan = [Call(f"m:{number}", "read") for number in range(3)]
    with planned(plan) as (codemode, guest):

        def read() -> str:
            threads.append(threading.current_thread())
            return "x" * 8_000

        codemode.registry.register_tool("read", read)
        result = half.run(codemode, "…", recording=recording)
    assert result.status == "limit"
    assert result.error is not None
    assert result.error.type == "RecordingLimit"
    assert "max_bytes is 20,000, so that the outcome of read is not in it" in result.error.message
    assert [one.outcome for one in recording.calls] == ["completed", "completed", "running"]
    assert [answer and len(answer) for answer in guest.answers[:2]] == [8_000, 8_000]
    assert len(recording.to_bytes()) <= 20_000
