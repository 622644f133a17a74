"""Ends of an execution, by cause and by what the code is doing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from codemode import ClientConfig, Codemode, ExecutionResult
from codemode.core.events import ExecutionCompleted, OutputReceived
from tests.support.deaths import STATES, Sandbox, best_of
from tests.support.processes import ExecutorProcess, threads_of_executions, wait_until
from tests.support.watchdog import DEADLINES, PATIENCE

__all__ = ["CELLS", "ENDINGS", "WIDE", "measure", "once"]

# The code's timeout ends no trial, except where the timeout is the cause.
WIDE = {"max_output_bytes": 64 * 2**20, "execution_timeout": 600.0}


class LeftError(Exception):
    """An error that the consumer of a stream, or the sibling of a task, raises."""


class Trial:
    """One run in one state, on a client of its own, and its outcome."""

    def __init__(self, executor: ExecutorProcess, state: str, deadline: float) -> None:
        limits = {**WIDE, "execution_timeout": deadline}
        config = ClientConfig(executor_url=executor.url, limits=limits)
        self.deadline = deadline
        self.codemode = Codemode.from_client_config(config)
        self.sandbox = Sandbox(self.codemode, executor.pid)
        self.state = state
        self.started_at = 0.0
        self.left_at = 0.0
        self.result: ExecutionResult | None = None
        self.unwound: list[str] | None = None

    def consume(self, leave: BaseException | None = None) -> None:
        """Run by the sync half; stop reading its output, or leave once it has reached its state."""
        code = self.sandbox.code(self.state, ticking=leave is not None)
        with self.codemode.stream(code) as events:
            for event in events:
                self._note(event)
                if leave is not None:
                    self._leave_in_time(event, leave)
                elif isinstance(event, OutputReceived):
                    self.sandbox.ended.wait(PATIENCE)

    async def consume_async(self, leave: BaseException | None = None) -> None:
        """Do the same by the async half."""
        code = self.sandbox.code(self.state, ticking=leave is not None)
        async with self.codemode.stream(code) as events:
            async for event in events:
                self._note(event)
                if leave is not None:
                    self._leave_in_time(event, leave)
                elif isinstance(event, OutputReceived):
                    while not self.sandbox.ended.is_set():
                        await asyncio.sleep(0.01)

    async def there(self) -> float:
        """Wait until the code has reached its state, and return the instant."""
        await asyncio.to_thread(self.sandbox.wait_in, self.state)
        return time.monotonic()

    def _note(self, event: Any) -> None:
        self.started_at = self.started_at or time.monotonic()
        if isinstance(event, ExecutionCompleted):
            self.result = event.result

    def _leave_in_time(self, event: Any, error: BaseException) -> None:
        if event.type == "output" and self.sandbox.is_in(self.state):
            self.left_at = time.monotonic()
            raise error


Ending = Callable[[Trial], float]


async def the_task_is_cancelled(trial: Trial) -> float:
    task = asyncio.create_task(trial.consume_async())
    await trial.there()
    cause = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return cause


async def a_timeout_of_asyncio_is_over(trial: Trial) -> float:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as timeout:
            arrival = asyncio.create_task(trial.there())
            arrival.add_done_callback(lambda _: timeout.reschedule(0))
            await trial.consume_async()
    return arrival.result()


async def a_sibling_of_its_task_group_fails(trial: Trial) -> float:
    async def fail() -> None:
        await trial.there()
        trial.left_at = time.monotonic()
        raise LeftError

    with pytest.raises(ExceptionGroup, check=lambda group: group.subgroup(LeftError) is not None):
        async with asyncio.TaskGroup() as group:
            group.create_task(trial.consume_async())
            group.create_task(fail())
    return trial.left_at


async def its_client_is_closed_in_the_loop(trial: Trial) -> float:
    task = asyncio.create_task(trial.consume_async())
    await trial.there()
    cause = time.monotonic()
    await trial.codemode.close_async()
    await task
    assert trial.result is not None
    assert trial.result.status == "cancelled"
    return cause


async def its_client_is_closed_by_a_thread(trial: Trial) -> float:
    task = asyncio.create_task(trial.consume_async())
    await trial.there()
    cause = time.monotonic()
    await asyncio.to_thread(trial.codemode.close)
    await task
    assert trial.result is not None
    assert trial.result.status == "cancelled"
    return cause


async def its_time_is_over(trial: Trial) -> float:
    await trial.consume_async()
    assert trial.result is not None
    assert trial.result.status == "timeout"
    return trial.started_at + trial.deadline


async def its_stream_is_left(trial: Trial) -> float:
    with pytest.raises(LeftError):
        await trial.consume_async(leave=LeftError())
    return trial.left_at


def its_client_is_closed_by_another_thread(trial: Trial) -> float:
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(trial.consume)
        trial.sandbox.wait_in(trial.state)
        cause = time.monotonic()
        trial.codemode.close()
        run.result(PATIENCE)
    assert trial.result is not None
    assert trial.result.status == "cancelled"
    return cause


def the_time_is_over(trial: Trial) -> float:
    trial.consume()
    assert trial.result is not None
    assert trial.result.status == "timeout"
    return trial.started_at + trial.deadline


def the_stream_is_left(trial: Trial) -> float:
    with pytest.raises(LeftError):
        trial.consume(leave=LeftError())
    return trial.left_at


def in_a_loop(ending: Callable[[Trial], Awaitable[float]]) -> Ending:
    async def end(trial: Trial) -> float:
        cause = await ending(trial)
        trial.unwound = list(trial.sandbox.unwound)
        # The loop keeps running: its end would also end the stream.
        if trial.sandbox.arrived.is_set():
            await asyncio.to_thread(trial.sandbox.ended.wait, PATIENCE)
        return cause

    return lambda trial: asyncio.run(end(trial))


ENDINGS: dict[str, Ending] = {
    "async: task.cancel()": in_a_loop(the_task_is_cancelled),
    "async: asyncio.timeout()": in_a_loop(a_timeout_of_asyncio_is_over),
    "async: TaskGroup": in_a_loop(a_sibling_of_its_task_group_fails),
    "async: close_async()": in_a_loop(its_client_is_closed_in_the_loop),
    "async: close() in a thread": in_a_loop(its_client_is_closed_by_a_thread),
    "async: execution_timeout": in_a_loop(its_time_is_over),
    "async: stream left": in_a_loop(its_stream_is_left),
    "sync: close() in another thread": its_client_is_closed_by_another_thread,
    "sync: execution_timeout": the_time_is_over,
    "sync: stream left": the_stream_is_left,
}
CELLS = [
    (ending, state)
    for ending in ENDINGS
    for state in STATES
    # While a sync tool runs in the caller's thread, the caller cannot leave.
    if (ending, state) != ("sync: stream left", "sync tool")
]


def measure(executor: ExecutorProcess, ending: str, state: str, attempts: int) -> float:
    """Return the seconds from the cause to the death, the best of some trials."""
    return best_of(attempts, lambda: once(executor, ending, state))


def once(executor: ExecutorProcess, ending: str, state: str) -> float:
    """End one run in one state, check what holds after any end, and time the death."""
    deadlines = DEADLINES if "execution_timeout" in ending else (WIDE["execution_timeout"],)
    for deadline in deadlines:
        seconds = end(Trial(executor, state, deadline), ending)
        if seconds is not None:
            return seconds
    raise AssertionError(f"the code has not come to its state within {deadlines[-1]:g} s")


def end(trial: Trial, ending: str) -> float | None:
    """Return the time of the death; None when the run ended before the code reached its state."""
    sandbox, state = trial.sandbox, trial.state
    try:
        cause = ENDINGS[ending](trial)
        if not sandbox.is_in(state):
            return None
        # Checked at this point, without waiting for the tools to unwind.
        unwound = sandbox.unwound if trial.unwound is None else trial.unwound
        assert unwound == (["finally"] if state == "async tool" else [])
        seconds = sandbox.seconds_after(cause)
        if state == "sync tool":
            assert sandbox.let_go.wait(PATIENCE)
        if "close" not in ending:
            assert trial.codemode.run("6 * 7").value == 42
            assert asyncio.run(trial.codemode.execute_async("6 * 7")) == "42"
    finally:
        trial.codemode.close()
    assert wait_until(lambda: not threads_of_executions())
    return seconds
