"""A tool knows how much time its execution has left, whatever carries the execution."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from codemode import Codemode, get_current_execution, tool
from tests.support.processes import wait_until
from tests.support.watchdog import DEADLINES, PATIENCE

RUN: dict[str, Callable[..., Any]] = {
    "sync": lambda codemode, code, **options: codemode.run(code, **options),
    "async": lambda codemode, code, **options: asyncio.run(codemode.run_async(code, **options)),
}
EachHalf = pytest.mark.parametrize("half", RUN)
TIMEOUT = 100.0


def left() -> float:
    execution = get_current_execution()
    assert execution is not None
    return execution.deadline


async def aleft() -> float:
    await asyncio.sleep(0)
    return left()


@pytest.fixture
def timed(codemode: Codemode) -> Codemode:
    registry = codemode.registry
    registry.register_tool("left", left)
    registry.register_tool("aleft", aleft)
    registry.register_tool("pooled", tool(thread_sensitive=False)(lambda: left()))
    return codemode


@EachHalf
def test_tools_of_every_kind_see_the_same_time_run_out(timed: Codemode, half: str) -> None:
    code = "import time\nseen = []\nfor _ in range(2):\n    seen += [left(), await aleft(), pooled()]\n    time.sleep(0.1)\nseen"
    began = time.monotonic()
    seen = RUN[half](timed, code, execution_timeout=TIMEOUT).value
    took = time.monotonic() - began

    assert all(earlier > later for earlier, later in itertools.pairwise(seen))
    assert seen[0] <= TIMEOUT
    # The difference is the time of the code itself, and no more than has passed here.
    assert 0.1 <= seen[0] - seen[3] <= took
    assert seen[-1] >= TIMEOUT - took


@EachHalf
def test_time_in_the_queue_of_the_executor_is_not_the_codes(timed: Codemode, half: str) -> None:
    """The deadline is set again when a sandbox has taken the code."""
    limits = timed.client.limits.model_copy(update={"execution_timeout": TIMEOUT})
    timed.client.limits = limits
    opening = timed.client._connection.open_sync
    opening_async = timed.client._connection.open_async

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(0.3)
        return opening(*args, **options)

    async def slowly_async(*args: Any, **options: Any) -> Any:
        await asyncio.sleep(0.3)
        return await opening_async(*args, **options)

    timed.client._connection.open_sync = slowly  # type: ignore[method-assign]  # as a queue would
    timed.client._connection.open_async = slowly_async  # type: ignore[method-assign]
    began = time.monotonic()
    seen = RUN[half](timed, "left()").value
    took = time.monotonic() - began
    assert TIMEOUT - (took - 0.3) <= seen <= TIMEOUT


@EachHalf
def test_each_run_of_a_session_has_its_time_anew(timed: Codemode, half: str) -> None:
    # A run's time begins when the client learns of its start, a little later than in the sandbox.
    code = "import time\nbegin = left()\ntime.sleep(1)\n[begin, left()]"
    seen: list[tuple[float, float, float]] = []

    def sync() -> None:
        with timed.session(execution_timeout=TIMEOUT) as session:
            for _ in range(2):
                began = time.monotonic()
                begin, end = session.run(code).value
                seen.append((begin, end, time.monotonic() - began))

    async def main() -> None:
        async with timed.session(execution_timeout=TIMEOUT) as session:
            for _ in range(2):
                began = time.monotonic()
                begin, end = (await session.run_async(code)).value
                seen.append((begin, end, time.monotonic() - began))

    if half == "sync":
        sync()
    else:
        asyncio.run(main())
    for begin, end, took in seen:
        assert begin - end >= 1
        # Each run has lost only its own time.
        assert end >= TIMEOUT - took


@EachHalf
def test_a_tool_can_bound_what_it_waits_for_by_the_time_that_is_left(
    timed: Codemode, half: str
) -> None:
    gave_up: list[str] = []

    async def patient() -> str:
        try:
            async with asyncio.timeout(left() - 29.5):
                await asyncio.sleep(60)
        except TimeoutError:
            gave_up.append("in time")
        return "the best that could be had"

    timed.registry.register_tool("patient", patient)
    result = RUN[half](timed, "await patient()", execution_timeout=30)
    assert gave_up == ["in time"]
    assert result.value == "the best that could be had"


@EachHalf
def test_after_the_deadline_a_sync_tool_reads_zero_and_its_result_is_dropped(
    timed: Codemode, half: str
) -> None:
    begun: list[float] = []
    ends: list[float] = []

    def overrun() -> str:
        begun.append(left())
        while left():
            time.sleep(0.01)
        ends.append(left())
        return "too late"

    timed.registry.register_tool("overrun", overrun)
    for deadline in DEADLINES:
        result = RUN[half](timed, "overrun()", execution_timeout=deadline)
        assert result.status == "timeout"
        assert result.value is None
        if begun:
            break
    assert wait_until(lambda: len(ends) == len(begun), PATIENCE)
    assert ends == [0.0]
    assert get_current_execution() is None
