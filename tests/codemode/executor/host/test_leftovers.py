"""Processes that unisolated code starts end with its run, however the executor ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codemode import ClientConfig, Codemode
from codemode.errors import ExecutorConnectionError
from codemode.executor.host import control_groups as cgroups
from codemode.executor.host.control_groups import Cgroups
from tests.codemode.sandbox.attacks.battlefield import serving
from tests.support.control_groups import folders
from tests.support.hosts import delegated
from tests.support.processes import ExecutorProcess, is_running, wait_until

# Two stay in the process group of the code. Two leave it, and so do their parents.
FORK = """
import os, time
def start(detached):
    out, into = os.pipe()
    if os.fork() == 0:
        if detached:
            os.setsid()
            if os.fork():
                os._exit(0)
        os.write(into, str(os.getpid()).encode())
        time.sleep(600)
        os._exit(0)
    os.close(into)
    return int(os.read(out, 20))
pids = [start(detached) for detached in (False, True, False, True)]
"""

needs_groups = pytest.mark.skipif(not delegated(), reason="no control groups are delegated here")


@pytest.fixture
def executor() -> Iterator[ExecutorProcess]:
    with ExecutorProcess("--tier", "unsafe", "--pool-size", "1") as executor:
        yield executor


def gone(pids: list[int]) -> bool:
    return len(pids) == 4 and wait_until(lambda: not any(map(is_running, pids)))


def run_until(executor: ExecutorProcess, event: Callable[[], object]) -> tuple[str, list[int]]:
    """Run ``event`` during a run; return how the run ended and the processes it had started."""
    pids: list[int] = []

    def happen(started: list[int]) -> None:
        pids[:] = started
        event()

    with Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as codemode:
        codemode.registry.register_tool("happen", happen)
        try:
            status: str = codemode.run(f"{FORK}\nhappen(pids)\ntime.sleep(600)").status
        except ExecutorConnectionError:
            status = "lost"
    return status, pids


def test_it_ends_with_an_executor_that_is_killed(executor: ExecutorProcess) -> None:
    status, pids = run_until(executor, executor.kill)
    assert status == "lost"
    assert gone(pids)


async def test_processes_end_with_an_executor_that_stops_right_after_the_run() -> None:
    async with serving("unsafe") as (codemode, _):
        result = await codemode.run_async(f"{FORK}\npids")
    assert await asyncio.to_thread(gone, result.value)


@needs_groups
def test_groups_end_the_processes_when_the_zygote_is_killed(executor: ExecutorProcess) -> None:
    zygote = executor.zygote
    status, pids = run_until(executor, lambda: os.kill(zygote, signal.SIGKILL))
    assert status == "crashed"
    assert gone(pids)


@needs_groups
def test_next_executor_ends_the_processes_in_the_groups_of_a_killed_one(
    executor: ExecutorProcess,
) -> None:
    def kill_both() -> None:
        zygote = executor.zygote
        os.kill(zygote, signal.SIGSTOP)
        executor.kill()
        os.kill(zygote, signal.SIGKILL)

    _, pids = run_until(executor, kill_both)
    left = folders(executor.pid)
    assert left
    with ExecutorProcess("--tier", "unsafe"):
        assert gone(pids)
        # Another executor that begins at the same time may be the one that removes them.
        assert wait_until(lambda: not any(map(Path.exists, left)))


@needs_groups
def test_group_that_cannot_be_removed_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cgroups, "_REMOVE_SECONDS", 0.1)
    before = folders(os.getpid())
    groups = Cgroups()
    groups.take()
    tops = folders(os.getpid()) - before
    held = [next(path for path in top.iterdir() if path.is_dir()) / "held" for top in tops]
    for path in held:
        path.mkdir()
    groups.close()
    said = [record.getMessage() for record in caplog.records]
    for path in held:
        assert any(line.endswith(f"'{path.parent}'") for line in said)
        path.rmdir()
        path.parent.rmdir()
        path.parent.parent.rmdir()
