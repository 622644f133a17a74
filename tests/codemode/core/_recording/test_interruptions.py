"""A run that was interrupted goes on from its recording; no recorded call runs again."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest

from codemode import ClientConfig, Codemode, ExecutorConnectionError, Recording
from tests.support.halves import Half
from tests.support.processes import ExecutorProcess, wait_until

CODE = """
import asyncio
first = await asyncio.gather(step(1), step(2), step(3))
print("half", first)
result = [first, await step(4), step_now(5), await step(6)]
"""
WHOLE = [[1, 2, 3], 4, 5, 6]


class Steps:
    """Tools that note what they have done; one of them stops until it may go on."""

    def __init__(self, codemode: Codemode, stops_at: int) -> None:
        self.done: list[int] = []
        self.stopped = threading.Event()
        self.stops_at = stops_at
        for tool in (self.step, self.step_now):
            codemode.registry.register_tool(tool.__name__, tool)

    async def step(self, n: int) -> int:
        if n == self.stops_at:
            self.stopped.set()
            await asyncio.sleep(60)
        self.done.append(n)
        return n

    def step_now(self, n: int) -> int:
        self.done.append(n)
        return n

    def go_on(self) -> None:
        self.stops_at = 0


def _resumed(half: Half, codemode: Codemode, recording: Recording, steps: Steps) -> None:
    """Resume from the bytes of a recording, and check that each step was done once."""
    steps.go_on()
    kept = Recording.from_bytes(recording.to_bytes())
    result = half.run(codemode, CODE, recording=kept)
    assert (result.value, result.stdout) == (WHOLE, "half [1, 2, 3]\n")
    assert sorted(steps.done) == [1, 2, 3, 4, 5, 6]
    assert kept.complete


@pytest.fixture
def own_codemode(own_executor: ExecutorProcess) -> Iterator[Codemode]:
    with Codemode.from_client_config(ClientConfig(executor_url=own_executor.url)) as facade:
        yield facade


@pytest.mark.parametrize("stops_at", [2, 4, 6])
def test_run_goes_on_after_its_executor_was_killed(
    own_executor: ExecutorProcess, own_codemode: Codemode, stops_at: int, half: Half
) -> None:
    steps, recording = Steps(own_codemode, stops_at), Recording()

    def kill() -> None:
        assert steps.stopped.wait(60)
        # All that is not stopped has been recorded.
        assert wait_until(lambda: _outcomes(recording) == {2: 2, 4: 3, 6: 5}[stops_at])
        own_executor.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ExecutorConnectionError):
        half.run(own_codemode, CODE, recording=recording)
    killer.join()
    assert not recording.complete
    own_executor.start()
    _resumed(half, own_codemode, recording, steps)


def _outcomes(recording: Recording) -> int:
    return sum(call.outcome == "completed" for call in recording.calls)


@pytest.mark.parametrize("stops_at", [1, 4, 6])
def test_run_goes_on_after_its_deadline(
    codemode: Codemode, elsewhere: Codemode, stops_at: int, half: Half
) -> None:
    steps, recording = Steps(codemode, stops_at), Recording()
    result = half.run(codemode, CODE, recording=recording, execution_timeout=0.5)
    assert result.status == "timeout"
    assert not recording.complete
    _resumed(half, elsewhere, recording, steps)


@pytest.mark.parametrize("stops_at", [1, 4, 6])
async def test_run_goes_on_after_its_caller_was_cancelled(
    codemode: Codemode, elsewhere: Codemode, stops_at: int
) -> None:
    steps, recording = Steps(codemode, stops_at), Recording()
    run = asyncio.create_task(codemode.run_async(CODE, recording=recording))
    assert await asyncio.to_thread(steps.stopped.wait, 60)
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run
    assert not recording.complete
    await asyncio.to_thread(_resumed, Half("async"), elsewhere, recording, steps)


def test_run_that_raised_is_complete_and_raises_again(
    codemode: Codemode, elsewhere: Codemode, half: Half
) -> None:
    steps, recording = Steps(codemode, 0), Recording()
    code = "print(await step(1))\nstep_now(2)\n1 / 0"
    first = half.run(codemode, code, recording=recording)
    assert recording.complete
    again = half.run(elsewhere, code, recording=Recording.from_bytes(recording.to_bytes()))
    assert again.status == "failed"
    assert (again.error, again.stdout) == (first.error, first.stdout)
    assert steps.done == [1, 2]
