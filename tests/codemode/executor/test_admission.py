"""Slots are bounded, the queue is bounded and fair, and nothing is lost in it."""

from __future__ import annotations

import asyncio
import random

import pytest

from codemode.executor.admission import Admission, BusyError


async def hold(admission: Admission, key: str, log: list[str], seconds: float = 0.0) -> None:
    await admission.acquire(key, 10)
    log.append(key)
    assert admission.running <= admission.slots
    await asyncio.sleep(seconds)
    admission.release()


async def test_slots_are_bounded() -> None:
    admission = Admission(slots=3, max_queued=100)
    log: list[str] = []
    tasks = [asyncio.create_task(hold(admission, "a", log, 0.01)) for _ in range(10)]
    await asyncio.sleep(0)
    assert (admission.running, admission.queued) == (3, 7)
    await asyncio.gather(*tasks)
    assert len(log) == 10
    assert (admission.running, admission.queued) == (0, 0)


async def test_keys_take_turns() -> None:
    admission = Admission(slots=1, max_queued=100)
    await admission.acquire("first", 1)
    log: list[str] = []
    keys = ["a"] * 5 + ["b"] * 2 + ["c"]
    tasks = [asyncio.create_task(hold(admission, key, log)) for key in keys]
    await asyncio.sleep(0)
    admission.release()
    await asyncio.gather(*tasks)
    assert log == ["a", "b", "c", "a", "b", "a", "a", "a"]


async def test_one_key_is_served_in_order() -> None:
    admission = Admission(slots=1, max_queued=100)
    await admission.acquire("x", 1)
    log: list[int] = []

    async def numbered(number: int) -> None:
        await admission.acquire("x", 1)
        log.append(number)
        admission.release()

    tasks = [asyncio.create_task(numbered(number)) for number in range(5)]
    await asyncio.sleep(0)
    admission.release()
    await asyncio.gather(*tasks)
    assert log == list(range(5))


async def test_full_queue_is_busy_at_once() -> None:
    admission = Admission(slots=1, max_queued=1)
    await admission.acquire("a", 1)
    waiting = asyncio.create_task(admission.acquire("a", 1))
    await asyncio.sleep(0)
    with pytest.raises(BusyError, match="1 executions wait already") as caught:
        await admission.acquire("b", 1)
    assert caught.value.retry_after > 0
    admission.release()
    await waiting
    admission.release()
    assert (admission.running, admission.queued) == (0, 0)


async def test_no_slot_in_time_is_busy() -> None:
    admission = Admission(slots=1, max_queued=9)
    await admission.acquire("a", 1)
    with pytest.raises(BusyError, match=r"queue_timeout of 0\.05 s"):
        await admission.acquire("a", 0.05)
    assert (admission.running, admission.queued) == (1, 0)


async def test_cancelled_waiter_leaves_the_queue() -> None:
    admission = Admission(slots=1, max_queued=9)
    await admission.acquire("a", 1)
    waiting = asyncio.create_task(admission.acquire("a", 1))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert admission.queued == 0
    admission.release()
    await admission.acquire("b", 0.01)


async def test_slot_given_to_a_cancelled_waiter_goes_on() -> None:
    admission = Admission(slots=1, max_queued=9)
    await admission.acquire("a", 1)
    first = asyncio.create_task(admission.acquire("a", 1))
    second = asyncio.create_task(admission.acquire("b", 1))
    await asyncio.sleep(0)
    admission.release()
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    admission.release()
    assert (admission.running, admission.queued) == (0, 0)


async def test_nothing_is_lost_whatever_happens() -> None:
    choose = random.Random(7)
    admission = Admission(slots=4, max_queued=50)
    served = 0

    async def visit() -> None:
        nonlocal served
        await asyncio.sleep(choose.random() * 0.2)
        try:
            await admission.acquire(choose.choice("abc"), choose.random() * 0.02)
        except BusyError:
            return
        served += 1
        try:
            assert admission.running <= 4
            await asyncio.sleep(choose.random() * 0.01)
        finally:
            admission.release()

    tasks = [asyncio.create_task(visit()) for _ in range(400)]
    await asyncio.sleep(0.05)
    for task in choose.sample(tasks, 100):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served > 50
    assert (admission.running, admission.queued, len(admission._queues)) == (0, 0, 0)
