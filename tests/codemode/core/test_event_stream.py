"""A stream reports events as they happen, and its end is the run's end."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from decimal import Decimal
from typing import Any

import pytest

from codemode import Codemode, ExecutionResult, ExecutorClientError
from codemode.core.events import (
    Event,
    ExecutionCompleted,
    ExecutionStarted,
    OutputReceived,
    ToolCallFinished,
    ToolCallStarted,
)
from codemode.tools import tool
from tests.support.halves import Half
from tests.support.processes import WHO, is_running, threads_of_executions, wait_until


def collect(codemode: Codemode, half: Half, code: str, **options: Any) -> list[Event]:
    if half.name == "sync":
        return list(codemode.stream(code, **options))

    async def collect_async() -> list[Event]:
        return [event async for event in codemode.stream(code, **options)]

    return asyncio.run(collect_async())


def test_events_come_in_the_order_in_which_they_happen(codemode: Codemode, half: Half) -> None:
    async def rate(currency: str) -> float:
        return 1.5

    codemode.registry.register_tool("add", lambda a, b: a + b)
    codemode.registry.register_tool("rate", rate)
    code = (
        "import sys\nprint('one')\nadd(1, 2)\nprint('two')\nprint('err', file=sys.stderr)\n"
        "progress(1, 2, 'half')\nawait rate('EUR')\nprint('three')\nprogress(2)\nresult = 7"
    )
    events = collect(codemode, half, code)
    assert [event.type for event in events] == [
        "started",
        "output",
        "tool_call_started",
        "tool_call_finished",
        "output",
        "output",
        "progress",
        "tool_call_started",
        "tool_call_finished",
        "output",
        "progress",
        "completed",
    ]
    first, last = events[0], events[-1]
    assert isinstance(first, ExecutionStarted)
    assert isinstance(last, ExecutionCompleted)
    assert first.execution_id == last.result.execution_id
    assert last.result.value == 7
    texts = [(e.stream, e.text) for e in events if isinstance(e, OutputReceived)]
    assert texts == [
        ("stdout", "one\n"),
        ("stdout", "two\n"),
        ("stderr", "err\n"),
        ("stdout", "three\n"),
    ]
    assert (events[6].done, events[6].total, events[6].note) == (1, 2, "half")  # type: ignore[union-attr]  # progress
    assert (events[10].done, events[10].total) == (2, None)  # type: ignore[union-attr]  # progress
    assert events[2].arguments == {"a": 1, "b": 2}  # type: ignore[union-attr]  # a call
    assert events[3].outcome == "completed"  # type: ignore[union-attr]  # a finished call


def test_calls_have_their_times_by_the_clock_of_the_tools_and_their_values(
    codemode: Codemode, half: Half
) -> None:
    def nap(seconds: float) -> list[Decimal]:
        time.sleep(seconds)
        return [Decimal("1.50")]

    codemode.registry.register_tool("nap", nap)
    events = collect(codemode, half, "nap(0.05)\nnap(0.05)\ntry: nap()\nexcept ToolError: pass")

    starts = [event.at_ms for event in events if isinstance(event, ToolCallStarted)]
    ends = [event for event in events if isinstance(event, ToolCallFinished)]
    assert 0 <= starts[0] <= ends[0].at_ms - 50
    assert ends[0].at_ms <= starts[1] <= ends[1].at_ms - 50
    assert [event.value for event in ends] == [[Decimal("1.50")], [Decimal("1.50")], None]


@pytest.mark.parametrize("ending", ["1/0", "import os\nos._exit(1)", "while True: pass"])
def test_failing_run_ends_with_its_result(codemode: Codemode, half: Half, ending: str) -> None:
    events = collect(codemode, half, f"print('in')\n{ending}", execution_timeout=3)
    assert [event.type for event in events] == ["started", "output", "completed"]


def test_events_arrive_before_the_run_has_ended(codemode: Codemode) -> None:
    asked, seen = [threading.Event() for _ in range(3)], [threading.Event() for _ in range(3)]

    @tool(thread_sensitive=False)
    def see(n: int) -> bool:
        asked[n].set()
        return seen[n].wait(60)

    @tool(thread_sensitive=False)
    def is_asked(n: int) -> bool:
        return asked[n].wait(60)

    codemode.registry.register_tool("see", see)
    codemode.registry.register_tool("is_asked", is_asked)
    # A call flushes earlier output. There is therefore no call between a print and its event.
    code = (
        "import threading\nsaw = []\nfor n in range(3):\n"
        "    thread = threading.Thread(target=lambda: saw.append(see(n)))\n"
        "    thread.start()\n    is_asked(n)\n    print(n)\n    thread.join()\nsaw"
    )
    for event in codemode.stream(code, execution_timeout=300):
        if isinstance(event, OutputReceived):
            seen[int(event.text)].set()
    assert isinstance(event, ExecutionCompleted)
    assert event.result.value == [True] * 3


def test_events_arrive_while_an_async_tool_is_in_flight(codemode: Codemode, half: Half) -> None:
    all_seen = threading.Event()

    async def slow() -> str:
        while not all_seen.is_set():
            await asyncio.sleep(0.01)
        return "slow"

    codemode.registry.register_tool("slow", slow)
    code = (
        "import asyncio\ntask = asyncio.create_task(slow())\n"
        "for n in range(3):\n    await asyncio.sleep(0.01)\n    print(n)\nresult = await task"
    )
    seen: list[str] = []
    printed: list[str] = []

    def note(event: Event) -> None:
        seen.append(event.type)
        if isinstance(event, OutputReceived):
            printed.append(event.text)
        if "".join(printed) == "0\n1\n2\n":
            all_seen.set()

    async def watch() -> None:
        async for event in codemode.stream(code):
            note(event)

    if half.name == "sync":
        for event in codemode.stream(code):
            note(event)
    else:
        asyncio.run(watch())
    # Output that is printed while the executor is busy arrives as one event.
    assert [kind for kind, _ in itertools.groupby(seen)] == [
        "started",
        "tool_call_started",
        "output",
        "tool_call_finished",
        "completed",
    ]


ENDLESS = f"{WHO}import time\nprint(who())\n{{more}}\ntime.sleep(600)"


@pytest.mark.parametrize("more", ["", "task = asyncio.ensure_future(slow())\nawait begun()"])
def test_early_close_kills_the_sandbox(codemode: Codemode, more: str) -> None:
    ends: list[str] = []

    began = asyncio.Event()

    async def slow() -> None:
        began.set()
        try:
            await asyncio.sleep(600)
        finally:
            ends.append("finally")

    codemode.registry.register_tool("slow", slow)
    codemode.registry.register_tool("begun", began.wait)
    code = ENDLESS.format(more=f"import asyncio\n{more}\nprint('more')")
    with codemode.stream(code, execution_timeout=600) as events:
        names: list[str] = []
        for event in events:
            if isinstance(event, OutputReceived):
                if not names:
                    names.append(event.text.split()[0])
                    assert is_running(names[0])
                if "more" in event.text:
                    break
    assert wait_until(lambda: not is_running(names[0]))
    assert ends == (["finally"] if more else [])
    events.close()
    assert codemode.execute("1") == "1"


@pytest.mark.parametrize("more", ["", "task = asyncio.ensure_future(slow())\nawait begun()"])
async def test_early_aclose_kills_the_sandbox(codemode: Codemode, more: str) -> None:
    ends: list[str] = []

    began = asyncio.Event()

    async def slow() -> None:
        began.set()
        try:
            await asyncio.sleep(600)
        finally:
            ends.append("finally")

    codemode.registry.register_tool("slow", slow)
    codemode.registry.register_tool("begun", began.wait)
    code = ENDLESS.format(more=f"import asyncio\n{more}\nprint('more')")
    async with codemode.stream(code, execution_timeout=600) as events:
        names: list[str] = []
        async for event in events:
            if isinstance(event, OutputReceived):
                if not names:
                    names.append(event.text.split()[0])
                    assert is_running(names[0])
                if "more" in event.text:
                    break
    assert ends == (["finally"] if more else [])
    assert await asyncio.to_thread(wait_until, lambda: not is_running(names[0]))
    await events.aclose()
    assert await codemode.execute_async("1") == "1"


def test_slow_reader_holds_back_only_its_own_run(codemode: Codemode) -> None:
    code = "for n in range(1000): print('x' * 900)\nresult = 'end'"
    events = iter(codemode.stream(code))
    next(events)
    for number in range(3):
        assert codemode.execute(f"{number}") == f"{number}"
    time.sleep(0.3)
    last = list(events)[-1]
    assert isinstance(last, ExecutionCompleted)
    assert last.result.value == "end"
    assert len(last.result.stdout) == 901_000


def test_early_close_of_a_flooding_run_leaves_no_thread(codemode: Codemode) -> None:
    async def slow() -> None:
        await asyncio.sleep(600)

    codemode.registry.register_tool("slow", slow)
    code = (
        "import asyncio\ntask = asyncio.ensure_future(slow())\nawait asyncio.sleep(0.1)\n"
        "import sys\nfor n in range(1000):\n    print(n)\n    print(n, file=sys.stderr)\n"
        "await asyncio.sleep(600)"
    )
    with codemode.stream(code, execution_timeout=600) as events:
        for event in events:
            if event.type == "output":
                time.sleep(0.3)
                assert threads_of_executions()
                break
    assert wait_until(lambda: not threads_of_executions()), threads_of_executions()


def cancelled(result: ExecutionResult) -> bool:
    assert result.error is not None
    return (result.status, result.error.message) == ("cancelled", "the stream was cancelled")


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_a_stream_that_is_being_read_is_cancelled_by_another_thread(
    codemode: Codemode, end: str
) -> None:
    """Its reader waits for the next event, and receives a last one."""
    names: list[str] = []
    stream = codemode.stream(ENDLESS.format(more=""), execution_timeout=600)

    def end_it() -> None:
        assert wait_until(lambda: bool(getattr(stream._sync, "gi_running", False)))
        getattr(stream, end)()

    ender = threading.Thread(target=end_it)
    for event in stream:
        if isinstance(event, OutputReceived):
            names.append(event.text.strip())
            ender.start()
    assert isinstance(event, ExecutionCompleted)
    assert cancelled(event.result)
    ender.join()
    assert wait_until(lambda: not is_running(names[0]))
    assert wait_until(lambda: not threads_of_executions())
    stream.cancel()


@pytest.mark.parametrize("end", ["cancel", "aclose"])
async def test_a_stream_that_is_being_read_is_cancelled_by_another_task(
    codemode: Codemode, end: str
) -> None:
    names: list[str] = []
    stream = codemode.stream(ENDLESS.format(more=""), execution_timeout=600)

    async def read() -> Any:
        async for event in stream:
            if isinstance(event, OutputReceived):
                names.append(event.text.strip())
        return event

    reading = asyncio.create_task(read())
    while not names:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(stream.cancel) if end == "cancel" else await stream.aclose()
    assert cancelled((await reading).result)
    assert await asyncio.to_thread(wait_until, lambda: not is_running(names[0]))


def test_a_stream_that_is_cancelled_before_its_first_step_sends_nothing(
    codemode: Codemode, half: Half
) -> None:
    calls: list[int] = []
    codemode.registry.register_tool("note", lambda: calls.append(1))
    stream = codemode.stream("note()")
    stream.cancel()

    async def read() -> list[Event]:
        return [event async for event in stream]

    (event,) = list(stream) if half.name == "sync" else asyncio.run(read())
    assert isinstance(event, ExecutionCompleted)
    assert cancelled(event.result)
    assert calls == []


async def test_a_with_block_of_one_half_ends_a_stream_that_the_other_half_reads(
    codemode: Codemode,
) -> None:
    names: list[str] = []
    with codemode.stream(ENDLESS.format(more=""), execution_timeout=600) as stream:
        async for event in stream:
            if isinstance(event, OutputReceived):
                names.append(event.text.strip())
                break
    assert await asyncio.to_thread(wait_until, lambda: not is_running(names[0]))


def test_a_run_of_a_session_is_cancelled_by_another_thread(codemode: Codemode) -> None:
    """The session ends with the run. Cancelling a run that has ended does nothing."""
    with codemode.session() as session:
        done = session.stream("x = 1")
        list(done)
        done.cancel()
        stream = session.stream(f"x\n{ENDLESS.format(more='')}", execution_timeout=600)
        for event in stream:
            if isinstance(event, OutputReceived):
                threading.Thread(target=stream.cancel).start()
        assert isinstance(event, ExecutionCompleted)
        assert cancelled(event.result)
        with pytest.raises(ExecutorClientError, match="the session has ended"):
            session.run("1")


def test_stream_is_one_execution(codemode: Codemode) -> None:
    events = codemode.stream("1")
    assert len(list(events)) == 2
    with pytest.raises(RuntimeError, match="iterated already"):
        iter(events)


def test_stream_that_nobody_reads_runs_nothing(codemode: Codemode) -> None:
    calls: list[int] = []
    codemode.registry.register_tool("note", lambda: calls.append(1))
    with codemode.stream("note()"):
        pass
    assert calls == []


def test_stream_that_is_dropped_ends_its_sandbox(codemode: Codemode) -> None:
    names: list[str] = []
    for event in codemode.stream(ENDLESS.format(more=""), execution_timeout=600):
        if isinstance(event, OutputReceived):
            names.append(event.text.strip())
            assert is_running(names[0])
            break
    assert wait_until(lambda: not is_running(names[0]))


async def test_async_stream_that_is_dropped_ends_its_sandbox(codemode: Codemode) -> None:
    names: list[str] = []
    async for event in codemode.stream(ENDLESS.format(more=""), execution_timeout=600):
        if isinstance(event, OutputReceived):
            names.append(event.text.strip())
            assert is_running(names[0])
            break
    assert await asyncio.to_thread(wait_until, lambda: not is_running(names[0]))
