"""Recorded runs as the guest makes them: labels, steps, what is held, and where a replay ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from codemode.wire.constants import LABEL, MAX_STEPS_BYTES
from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Later, tool
from tests.codemode.sandbox.guest.recorded_guest import Journal, RecordedGuest, RecordedOutcome

TOOLS = [
    tool("read", "read(n: int) -> int", "n", asynchronous=True),
    tool("write", "write(n: int) -> int", "n"),
]

Play = Callable[..., tuple[RecordedOutcome, RecordedGuest]]


@pytest.fixture
def play(forker: Forker) -> Play:
    """Run code in a guest under a journal, by default an empty one."""

    def run(code: str, journal: Journal | None = None, **limits: Any) -> Any:
        with RecordedGuest(forker, TOOLS, _answer, **limits) as guest:
            return guest.run_recorded(code, journal or Journal()), guest

    return run


def _answer(name: str, arguments: dict[str, Any]) -> Any:
    return Later(arguments["n"] % 3 / 500, arguments["n"])


def test_calls_beyond_the_window_wait_without_a_place_in_the_record(play: Play) -> None:
    code = "import asyncio\nawait asyncio.gather(*(read(n) for n in range(60)))"
    outcome, guest = play(code, tool_calls_in_flight=5)
    assert guest.most_unanswered == 5
    again, replayed = play(code, guest.journal, tool_calls_in_flight=5)
    assert (again.value, replayed.executed) == (outcome.value, [])


@pytest.mark.parametrize(
    ("before", "after", "divergence"),
    [
        pytest.param("write(1)", "write(2)", ("call", "0:1", "write", "0:1", "2"), id="arguments"),
        pytest.param(
            "await read(1)", "write(1)", ("call", "0.1:1", "write", "0.1:1", "2"), id="another tool"
        ),
        pytest.param("write(1)", "pass", ("missing", "", "", "0:1", ""), id="one less"),
        pytest.param("pass", "write(1)", ("new_call", "0:1", "write", "", "2"), id="one more"),
        pytest.param(
            "await asyncio.gather(read(1), read(2))",
            "await asyncio.create_task(asyncio.wait_for(read(1), 9))",
            ("missing", "", "", "0.1.2:1", ""),
            id="waiting for ever",
        ),
        pytest.param("pass", "time.sleep(0.001)", ("beyond", "", "", "", "2"), id="a sleep more"),
    ],
)
def test_other_code_leaves_the_record_before_a_new_call(
    play: Play, before: str, after: str, divergence: tuple[str, ...]
) -> None:
    rest = "\nawait asyncio.sleep(0)" if "await" in before else ""
    head = "import asyncio, threading, time\n"
    _, recorded = play(head + before + rest)
    assert recorded.journal.complete
    outcome, replayed = play(head + after + rest, recorded.journal)
    assert outcome.divergence == divergence
    assert replayed.executed == []


def test_new_call_is_held_until_all_recorded_ones_have_come(play: Play) -> None:
    """The first call of the code has no outcome in the record; the others have."""
    code = """
import asyncio
async def later():
    await asyncio.sleep(0.02)
    return await read(3)
await asyncio.gather(read(5), later())
"""
    _, recorded = play(code)
    journal = recorded.journal
    first = next(label for label, _ in recorded.executed)
    journal.events = [
        event for event in journal.events if event[0] != "outcome" or event[1] != first
    ]
    journal.drop_steps_about(first)
    journal.complete = False
    outcome, replayed = play(code, journal)
    assert outcome.value == [5, 3]
    assert [label for label, _ in replayed.executed] == [first]


def test_labels_of_deep_lineages_keep_their_form(play: Play) -> None:
    code = """
import asyncio
async def deeper(n):
    if n:
        return await asyncio.create_task(deeper(n - 1))
    return await read(1)
await deeper(90)
"""
    outcome, recorded = play(code)
    assert outcome.completed
    ((label, _),) = recorded.executed
    assert re.fullmatch(LABEL, label)
    assert play(code, recorded.journal)[1].executed == []


def test_steps_travel_in_pieces(play: Play) -> None:
    code = "import time\nfor _ in range(20_000): time.sleep(0)\nprint('x')"
    outcome, recorded = play(code)
    pieces = [event[1] for event in recorded.journal.events if event[0] == "steps"]
    assert len(pieces) > 2
    assert max(map(len, pieces)) <= MAX_STEPS_BYTES
    again, _ = play(code, recorded.journal)
    assert (again.divergence, again.stdout) == (None, outcome.stdout)


def test_sleeps_of_the_record_take_no_time_in_a_replay(play: Play) -> None:
    code = """
import asyncio, time
time.sleep(SECONDS)
await asyncio.sleep(SECONDS)
time.monotonic()
"""
    outcome, recorded = play(code.replace("SECONDS", "0.01"))
    again, _ = play(code.replace("SECONDS", "3600"), recorded.journal)
    assert again.value == outcome.value


def test_timers_that_never_fire_and_sleeps_that_raise(play: Play) -> None:
    code = """
import asyncio, time
async with asyncio.timeout(float("inf")):
    values = [await read(1)]
values.append(await asyncio.wait_for(read(2), float("inf")))
for seconds in (float("inf"), float("nan"), -1, 1e300, "x", None):
    try:
        time.sleep(seconds)
    except Exception as error:
        values.append(f"{type(error).__name__}: {error}")
time.sleep(0.001)
values
"""
    outcome, recorded = play(code)
    assert len(outcome.value) == 8
    again, replayed = play(code, recorded.journal)
    assert (again.value, replayed.executed) == (outcome.value, [])


def test_which_work_of_a_pool_ends_first_replays(play: Play) -> None:
    code = """
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, as_completed, wait
with ThreadPoolExecutor(4) as pool:
    works = {pool.submit(write, n): n for n in range(9)}
    order = [works[work] for work in as_completed(works)]
    more = [pool.submit(write, n) for n in range(4)]
    done, rest = wait(more, return_when=FIRST_COMPLETED)
    write(order[0])
[order, [more.index(work) for work in done], len(rest)]
"""
    outcome, recorded = play(code)
    again, replayed = play(code, recorded.journal)
    assert (again.value, replayed.executed) == (outcome.value, [])


def test_a_pool_that_drops_its_work_has_done_what_it_had_begun(play: Play) -> None:
    """In a replay nobody sleeps, so that it is shut down before a thread has taken that."""
    code = """
import time
from concurrent.futures import ThreadPoolExecutor
def later(n):
    time.sleep(0.01)
    return write(n)
pool = ThreadPoolExecutor(1)
works = [pool.submit(later, n) for n in range(200)]
time.sleep(0.035)
pool.shutdown(cancel_futures=True)
["dropped" if work.cancelled() else work.result() for work in works]
"""
    outcome, recorded = play(code)
    assert outcome.value[-1] == "dropped"
    again, replayed = play(code, recorded.journal)
    assert (again.value, replayed.executed) == (outcome.value, [])


@pytest.mark.slow
def test_threads_that_wait_for_each_other_by_a_lock_leave_the_record(play: Play) -> None:
    """Nobody sees what a lock waits for; a replay in which nothing moves is given up."""
    head = "import threading\nlock = threading.Lock()\n"
    _, recorded = play(head + "write(1)\nwrite(2)")
    code = head + (
        "write(1)\nlock.acquire()\n"
        "t = threading.Thread(target=lambda: (write(9), lock.release()))\n"
        "t.start()\nlock.acquire()\nwrite(2)"
    )
    outcome, replayed = play(code, recorded.journal)
    assert outcome.divergence == ("missing", "", "", "0:2", "")
    assert replayed.executed == []


def test_work_that_waits_with_a_new_call_leaves_the_record(play: Play) -> None:
    """Its loop waits for the work, and the work for calls of the record, which has none left."""
    code = """
import asyncio
def work():
    return 1
await asyncio.to_thread(work)
"""
    _, recorded = play(code)
    outcome, replayed = play(code.replace("return 1", "return write(1)"), recorded.journal)
    assert outcome.divergence is not None
    assert outcome.divergence[:3] == ("new_call", "0.1.T1:1", "write")
    assert replayed.executed == []


def test_plain_run_is_not_recorded(forker: Forker) -> None:
    code = "import asyncio, time\nx = await read(1)\n[x, type(asyncio.get_running_loop()).__name__]"
    with Guest(forker, TOOLS, _answer) as guest:
        outcome = guest.run(code)
    assert outcome.value[1] == "_UnixSelectorEventLoop"
