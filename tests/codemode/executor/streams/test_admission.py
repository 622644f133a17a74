"""Slots are bounded, the queue is bounded and fair, and nothing is lost in it."""

from __future__ import annotations

import asyncio
import random
import selectors
from typing import Any

import pytest

from codemode.executor.streams.admission import Admission, BusyError, Slot

MUCH = 10**9


def make(slots: int = 1, max_queued: int = 100, **bounds: int) -> Admission:
    return Admission(slots=slots, max_queued=max_queued, **{"max_queued_bytes": MUCH, **bounds})


async def hold(admission: Admission, key: str, log: list[str], seconds: float = 0.0) -> None:
    slot = await admission.acquire(key, 60)
    log.append(key)
    assert admission.running <= admission.slots
    await asyncio.sleep(seconds)
    slot.release()


async def test_slots_are_bounded() -> None:
    admission = make(slots=3, max_queued=100)
    log: list[str] = []
    tasks = [asyncio.create_task(hold(admission, "a", log, 0.01)) for _ in range(10)]
    await asyncio.sleep(0)
    assert (admission.running, admission.queued) == (3, 7)
    await asyncio.gather(*tasks)
    assert len(log) == 10
    assert (admission.running, admission.queued) == (0, 0)


async def test_keys_take_turns() -> None:
    admission = make(slots=1, max_queued=100)
    slot = await admission.acquire("first", 60)
    log: list[str] = []
    keys = ["a"] * 5 + ["b"] * 2 + ["c"]
    tasks = [asyncio.create_task(hold(admission, key, log)) for key in keys]
    await asyncio.sleep(0)
    slot.release()
    await asyncio.gather(*tasks)
    assert log == ["a", "b", "c", "a", "b", "a", "a", "a"]


async def test_one_key_is_served_in_order() -> None:
    admission = make(slots=1, max_queued=100)
    slot = await admission.acquire("x", 60)
    log: list[int] = []

    async def numbered(number: int) -> None:
        own = await admission.acquire("x", 60)
        log.append(number)
        own.release()

    tasks = [asyncio.create_task(numbered(number)) for number in range(5)]
    await asyncio.sleep(0)
    slot.release()
    await asyncio.gather(*tasks)
    assert log == list(range(5))


async def test_full_queue_is_busy_at_once() -> None:
    admission = make(slots=1, max_queued=1)
    slot = await admission.acquire("a", 60)
    waiting = asyncio.create_task(admission.acquire("a", 60))
    await asyncio.sleep(0)
    with pytest.raises(BusyError, match="1 executions wait already") as caught:
        await admission.acquire("b", 60)
    assert caught.value.retry_after > 0
    slot.release()
    (await waiting).release()
    assert (admission.running, admission.queued) == (0, 0)


async def test_no_slot_in_time_is_busy() -> None:
    admission = make(slots=1, max_queued=9)
    await admission.acquire("a", 60)
    with pytest.raises(BusyError, match=r"queue_timeout of 0\.05 s"):
        await admission.acquire("a", 0.05)
    assert (admission.running, admission.queued) == (1, 0)


async def test_cancelled_waiter_leaves_the_queue() -> None:
    admission = make(slots=1, max_queued=9)
    slot = await admission.acquire("a", 60)
    waiting = asyncio.create_task(admission.acquire("a", 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert admission.queued == 0
    slot.release()
    await admission.acquire("b", 60)


async def test_slot_given_to_a_cancelled_waiter_is_passed_on() -> None:
    admission = make(slots=1, max_queued=9)
    slot = await admission.acquire("a", 60)
    first = asyncio.create_task(admission.acquire("a", 60))
    second = asyncio.create_task(admission.acquire("b", 60))
    await asyncio.sleep(0)
    slot.release()
    first.cancel()
    last = await second
    with pytest.raises(asyncio.CancelledError):
        await first
    last.release()
    assert (admission.running, admission.queued) == (0, 0)


async def waiting_for(admission: Admission, *keys: str, size: int = 0) -> list[asyncio.Task[Slot]]:
    """Queue one execution of each key, in this order."""
    tasks = [asyncio.create_task(admission.acquire(key, 60, size)) for key in keys]
    await asyncio.sleep(0)
    return tasks


async def test_a_slot_goes_to_the_key_that_holds_the_fewest() -> None:
    admission = make(slots=3)
    held = [await admission.acquire("greedy", 60) for _ in range(3)]
    greedy, modest, later = await waiting_for(admission, "greedy", "modest", "modest")
    held[0].release()
    await modest
    # By turns it would be that of greedy, which still holds two of three.
    held[1].release()
    await asyncio.sleep(0)
    assert later.done() != greedy.done()
    assert greedy.done()  # both hold equally many, and it is greedy's turn
    held[2].release()
    await later


async def test_a_flood_that_fills_the_queue_makes_room_for_another_key() -> None:
    admission = make(slots=1, max_queued=5)
    slot = await admission.acquire("flood", 60)
    flood = await waiting_for(admission, *["flood"] * 5)
    (single,) = await waiting_for(admission, "single")
    await asyncio.sleep(0)
    assert [task.done() for task in flood] == [False] * 4 + [True]
    with pytest.raises(BusyError, match="max_queued=5"):
        await flood[-1]
    slot.release()
    (await flood[0]).release()
    (await single).release()
    for task in flood[1:4]:
        (await task).release()
    assert (admission.running, admission.queued) == (0, 0)


async def test_a_key_does_not_displace_one_with_as_many_waiting() -> None:
    admission = make(slots=1, max_queued=4)
    slot = await admission.acquire("x", 60)
    waiting = await waiting_for(admission, "a", "a", "b", "b")
    with pytest.raises(BusyError):
        await admission.acquire("a", 60)
    with pytest.raises(BusyError):
        await admission.acquire("b", 60)
    slot.release()
    for task in (waiting[0], waiting[2], waiting[1], waiting[3]):
        (await task).release()


async def test_what_waits_is_bounded_in_bytes() -> None:
    admission = make(slots=1, max_queued_bytes=100)
    slot = await admission.acquire("a", 60, 1000)
    (waiting,) = await waiting_for(admission, "a", size=60)
    with pytest.raises(
        BusyError, match="1 executions wait already, with 60 bytes .*max_queued_bytes=100"
    ):
        await admission.acquire("a", 60, 41)
    (fits,) = await waiting_for(admission, "a", size=40)
    assert admission.queued_bytes == 100
    slot.release()
    (await waiting).release()
    (await fits).release()
    assert admission.queued_bytes == 0


async def test_small_requests_displace_large_ones_and_large_ones_displace_none_in_vain() -> None:
    admission = make(slots=1, max_queued_bytes=100)
    slot = await admission.acquire("flood", 60)
    flood = await waiting_for(admission, "flood", "flood", size=50)
    with pytest.raises(BusyError):
        await admission.acquire("single", 60, 90)
    await asyncio.sleep(0)
    assert not any(task.done() for task in flood)
    (single,) = await waiting_for(admission, "single", size=10)
    await asyncio.sleep(0)
    assert [task.done() for task in flood] == [False, True]
    with pytest.raises(BusyError):
        await flood[1]
    slot.release()
    (await flood[0]).release()
    (await single).release()


async def test_a_key_may_hold_no_more_than_its_share_even_while_slots_are_free() -> None:
    admission = make(slots=3, slots_per_key=2)
    held = [await admission.acquire("a", 60) for _ in range(2)]
    third, fourth = await waiting_for(admission, "a", "a")
    other = await admission.acquire("b", 60)
    assert not third.done()
    other.release()
    await asyncio.sleep(0)
    assert not third.done()
    held[0].release()
    await third
    assert not fourth.done()
    with pytest.raises(BusyError, match=r"no sandbox of 3 \(2 to each caller\)"):
        await admission.acquire("a", 0.01)
    held[1].release()
    await fourth


async def test_advice_grows_with_the_queue_and_with_the_time_that_slots_are_held() -> None:
    admission = make(slots=2)
    assert admission.advice() == 1.0
    slots = [await admission.acquire("a", 60) for _ in range(2)]
    admission._held = 4.0
    assert admission.advice() == 2.0
    tasks = await waiting_for(admission, "a", "b", "c")
    assert admission.advice() == 8.0
    admission._held = 1e9
    assert admission.advice() == 60.0
    admission._held = 0.0
    assert admission.advice() == 0.1
    for slot in slots:
        slot.release()
        slot.release()
    for task in tasks:
        (await task).release()
    assert (admission.running, admission.queued) == (0, 0)


async def test_requests_that_arrive_in_parts_are_bounded_together() -> None:
    admission = make(max_queued_bytes=100)
    with admission.arrival() as first:
        first(60)
        with pytest.raises(BusyError, match="90 bytes are arriving"), admission.arrival() as second:
            second(30)
            second(11)
        assert admission.arriving_bytes == 60
        first(40)
    assert admission.arriving_bytes == 0


class Hourglass(selectors.SelectSelector):
    """A selector that never waits: the time that it would wait passes at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self.now += timeout
        return super().select(0)


class TimelessLoop(asyncio.SelectorEventLoop):
    """A loop whose clock advances by the waits of its tasks, and not by the machine's speed."""

    def __init__(self) -> None:
        self._hourglass = Hourglass()
        super().__init__(self._hourglass)

    def time(self) -> float:
        return self._hourglass.now


def test_nothing_is_lost_whatever_happens() -> None:
    choose = random.Random(7)
    admission = make(slots=4, max_queued=50, max_queued_bytes=200, slots_per_key=3)
    served = 0

    async def visit() -> None:
        nonlocal served
        await asyncio.sleep(choose.random() * 0.2)
        try:
            slot = await admission.acquire(
                choose.choice("abc"), choose.random() * 0.02, choose.randrange(10)
            )
        except BusyError:
            return
        served += 1
        try:
            assert admission.running <= 4
            await asyncio.sleep(choose.random() * 0.01)
        finally:
            slot.release()

    async def visit_all() -> list[BaseException | None]:
        tasks = [asyncio.create_task(visit()) for _ in range(400)]
        await asyncio.sleep(0.05)
        for task in choose.sample(tasks, 100):
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    with asyncio.Runner(loop_factory=TimelessLoop) as runner:
        ends = runner.run(visit_all())
    assert {type(end) for end in ends} == {type(None), asyncio.CancelledError}
    assert served > 50
    assert (admission.running, admission.queued, admission.queued_bytes) == (0, 0, 0)
    assert not admission._lines
    assert not admission._running_of


async def held(admission: Admission, execution: str, *, key: str = "a", within: str = "") -> Slot:
    slot = await asyncio.wait_for(admission.acquire(key, 60, 0, within), 60)
    slot.execution_id = execution
    return slot


def queue(admission: Admission, *, key: str = "a", within: str = "") -> asyncio.Task[Slot]:
    return asyncio.create_task(admission.acquire(key, 60, 0, within))


async def refused(admission: Admission, *, key: str = "a", within: str) -> bool:
    """Return whether such a request is refused at once; it does not stay in the queue."""
    waiting = queue(admission, key=key, within=within)
    await asyncio.sleep(0)
    if waiting.done():
        assert isinstance(waiting.exception(), BusyError)
        return True
    waiting.cancel()
    await asyncio.wait((waiting,))
    return False


async def test_request_of_a_tool_that_would_wait_in_vain_is_refused() -> None:
    admission = make(slots=2)
    first, second = [await held(admission, name) for name in ("first", "second")]
    inner = queue(admission, within="first")
    await asyncio.sleep(0)
    with pytest.raises(BusyError, match="an execution whose tool waits for another execution"):
        await admission.acquire("b", 60, 0, "second")
    # The other execution waits for no request of its tools, and may still end.
    assert not await refused(admission, within="first")
    second.release()
    (await inner).release()
    first.release()
    assert (admission.running, admission.queued) == (0, 0)


async def test_request_of_a_tool_waits_for_a_slot_whose_turn_has_come() -> None:
    admission = make(slots=1)
    first = await held(admission, "first")
    waiting = queue(admission)
    await asyncio.sleep(0)
    first.release()
    assert not await refused(admission, within="first")
    (await waiting).release()


async def test_nested_levels_of_requests_are_recognised() -> None:
    admission = make(slots=3)
    await held(admission, "one")
    await held(admission, "two", within="one")
    busy = await held(admission, "busy")
    assert not await refused(admission, within="two")
    busy.release()
    await held(admission, "three", within="two")
    assert await refused(admission, within="three")


async def test_request_that_would_wait_in_vain_for_its_keys_share_is_refused() -> None:
    admission = make(slots=4, slots_per_key=1)
    await held(admission, "one", key="a")
    await held(admission, "other", key="b")
    assert await refused(admission, key="a", within="one")
    assert not await refused(admission, key="a", within="other")


async def test_an_idle_sandbox_is_waited_for() -> None:
    admission = make(slots=2)
    await held(admission, "")
    await held(admission, "one")
    plain = queue(admission)
    assert not await refused(admission, within="one")
    plain.cancel()
    await asyncio.wait((plain,))
