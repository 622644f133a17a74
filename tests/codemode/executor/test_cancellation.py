"""A cancelled or closed execution ends at once, on both sides, and reports it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from codemode import (
    ClientClosedError,
    ClientConfig,
    Codemode,
    ExecutionResult,
    ExecutorClientError,
    Limits,
)
from tests.support.processes import WHO, ExecutorProcess, is_running, wait_until

LOOP = f"{WHO}import time\nprint('in', flush=True)\nhere(who())\n"
ENDLESS = f"{LOOP}time.sleep(600)"


class Spy:
    """A tool by which code reports the name of its process."""

    def __init__(self, codemode: Codemode) -> None:
        self.names: list[str] = []
        codemode.registry.register_tool("here", self.here)
        codemode.registry.register_tool("endless", self.endless)
        self.begun = 0
        self.ends: list[str] = []

    def here(self, name: str) -> None:
        assert is_running(name)
        self.names.append(name)

    async def endless(self) -> None:
        self.begun += 1
        try:
            await asyncio.sleep(600)
        finally:
            self.ends.append("finally")

    def wait(self, count: int) -> None:
        assert wait_until(lambda: len(self.names) == count)

    def all_gone(self) -> bool:
        return wait_until(lambda: not any(map(is_running, self.names)))


@pytest.fixture
def spy(codemode: Codemode) -> Spy:
    # A timeout so long that no sandbox ends by it while a test waits for another end.
    codemode.client.limits = Limits(execution_timeout=600)
    return Spy(codemode)


@contextlib.asynccontextmanager
async def running(codemode: Codemode, spy: Spy, code: str) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.create_task(codemode.run_async(code))
    while not spy.names or spy.begun < code.count("endless()"):
        await asyncio.sleep(0.01)
    yield task


@pytest.mark.parametrize("code", [ENDLESS, f"{LOOP}await endless()", f"{LOOP}while True: pass"])
async def test_cancelled_task_ends_its_sandbox(codemode: Codemode, spy: Spy, code: str) -> None:
    async with running(codemode, spy, code) as task:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(spy.all_gone)
        assert spy.ends == (["finally"] if "endless" in code else [])
    assert await codemode.execute_async("1") == "1"


@pytest.mark.parametrize("kind", ["run", "stream", "session"])
async def test_run_cancelled_while_it_waits_for_the_connection_leaves_nothing(kind: str) -> None:
    """Otherwise the stream would open once the executor answers, and nobody would end it."""

    async def begin() -> None:
        if kind == "run":
            await codemode.run_async("1")
        elif kind == "stream":
            async for _ in codemode.stream("1"):
                pass
        else:
            async with codemode.session():
                pass

    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        config = ClientConfig(executor_url=url, connect_timeout=0.1)
        async with Codemode.from_client_config(config) as codemode:
            tasks = [asyncio.create_task(begin()) for _ in range(5)]
            while len(codemode.client._connection._links) < len(tasks):
                await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(error) for error in ended] == [asyncio.CancelledError] * len(tasks)
            # gRPC itself gives up only after 20 s.
            async with asyncio.timeout(10):
                while len(asyncio.all_tasks()) > 1:
                    await asyncio.sleep(0.01)


async def test_timeout_of_the_caller_ends_the_sandbox(codemode: Codemode, spy: Spy) -> None:
    async def comes(timeout: asyncio.Timeout) -> None:
        while not spy.names:
            await asyncio.sleep(0.01)
        timeout.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as timeout:
            coming = asyncio.create_task(comes(timeout))
            await codemode.run_async(ENDLESS)
    await coming
    assert await asyncio.to_thread(spy.all_gone)


async def test_run_cancelled_before_it_began_leaves_nothing(codemode: Codemode) -> None:
    for _ in range(10):
        task = asyncio.create_task(codemode.run_async("1"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await codemode.execute_async("1") == "1"


def test_close_cancels_runs_in_other_threads(codemode: Codemode, spy: Spy) -> None:
    results: list[ExecutionResult] = []
    codes = [ENDLESS, f"{LOOP}await endless()", f"{LOOP}while True: pass"]
    threads = [
        threading.Thread(target=lambda code=code: results.append(codemode.run(code)))
        for code in codes
    ]
    threads += [
        threading.Thread(
            target=lambda code=code: results.append(asyncio.run(codemode.run_async(code)))
        )
        for code in codes
    ]
    for thread in threads:
        thread.start()
    spy.wait(6)
    assert wait_until(lambda: spy.begun == 2)
    codemode.close()
    for thread in threads:
        thread.join(60)
    assert [result.status for result in results] == ["cancelled"] * 6
    assert all(result.error and "closed" in result.error.message for result in results)
    assert all(result.stdout == "in\n" for result in results)
    assert all(result.tool_calls[0].name == "here" for result in results)
    assert spy.all_gone()
    assert spy.ends == ["finally", "finally"]


@pytest.mark.parametrize("code", [ENDLESS, f"{LOOP}await endless()"])
async def test_close_cancels_runs_in_other_tasks(codemode: Codemode, spy: Spy, code: str) -> None:
    async with running(codemode, spy, code) as task:
        await codemode.close_async()
        result = await asyncio.wait_for(task, 60)
    assert result.status == "cancelled"
    assert result.stdout == "in\n"
    assert await asyncio.to_thread(spy.all_gone)


async def test_sync_close_in_the_loop_cancels_runs_in_tasks(codemode: Codemode, spy: Spy) -> None:
    async with running(codemode, spy, ENDLESS) as task:
        codemode.close()
        assert (await asyncio.wait_for(task, 60)).status == "cancelled"


def test_close_from_a_tool_of_the_run(codemode: Codemode) -> None:
    codemode.registry.register_tool("close", codemode.close)
    assert codemode.run("close()\nimport time\ntime.sleep(600)").status == "cancelled"


def test_closed_client_raises_client_closed_error(codemode: Codemode) -> None:
    codemode.close()
    with pytest.raises(ClientClosedError, match="^Client has been closed$") as caught:
        codemode.execute("1")
    assert isinstance(caught.value, ExecutorClientError)
    with pytest.raises(ClientClosedError):
        asyncio.run(codemode.execute_async("1"))
    with pytest.raises(ClientClosedError):
        list(codemode.stream("1"))
    with pytest.raises(ClientClosedError), codemode.session():
        pass
    with pytest.raises(ClientClosedError):
        codemode.client.info()


def test_close_is_idempotent_under_concurrency(codemode: Codemode, spy: Spy) -> None:
    runner = threading.Thread(target=lambda: codemode.run(ENDLESS))
    runner.start()
    spy.wait(1)
    errors: list[BaseException] = []

    def close() -> None:
        try:
            codemode.close()
            asyncio.run(codemode.close_async())
        except BaseException as error:  # noqa: BLE001  # shown by the assert
            errors.append(error)

    threads = [threading.Thread(target=close) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in (*threads, runner):
        thread.join(60)
        assert not thread.is_alive()
    assert errors == []
    assert spy.all_gone()


def test_close_ends_sessions(codemode: Codemode, spy: Spy) -> None:
    with codemode.session() as session:
        session.run(f"{WHO}here(who())")
        codemode.close()
        assert spy.all_gone()
        with pytest.raises(ClientClosedError):
            session.run("1")


def test_runs_after_close_race_end_as_cancelled_or_closed(executor: ExecutorProcess) -> None:
    for _ in range(10):
        facade = Codemode.from_client_config(ClientConfig(executor_url=executor.url))
        outcomes: list[str] = []

        def run(facade: Codemode = facade, outcomes: list[str] = outcomes) -> None:
            try:
                outcomes.append(facade.run("import time\ntime.sleep(60)").status)
            except ClientClosedError:
                outcomes.append("closed")

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        facade.close()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert set(outcomes) <= {"cancelled", "closed"}
        assert len(outcomes) == 4


async def test_tasks_after_close_race_end_as_cancelled_or_closed(executor: ExecutorProcess) -> None:
    async def run(facade: Codemode) -> str:
        try:
            return (await facade.run_async("import time\ntime.sleep(60)")).status
        except ClientClosedError:
            return "closed"

    for steps in range(12):
        facade = Codemode.from_client_config(ClientConfig(executor_url=executor.url))
        tasks = [asyncio.create_task(run(facade)) for _ in range(4)]
        for _ in range(steps):
            await asyncio.sleep(0)
        if steps % 2:
            await facade.close_async()
        else:
            await asyncio.to_thread(facade.close)
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks), 60)
        assert set(outcomes) <= {"cancelled", "closed"}


def test_sandboxes_of_a_client_process_that_dies_end(executor: ExecutorProcess) -> None:
    import os
    import signal
    import subprocess
    import sys

    script = (
        "from codemode import ClientConfig, Codemode\n"
        f"facade = Codemode.from_client_config(ClientConfig(executor_url={executor.url!r}))\n"
        "facade.registry.register_tool('here', lambda name: print(name, flush=True))\n"
        f"facade.run({ENDLESS!r}, execution_timeout=600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        name = client.stdout.readline().decode().strip()
        assert is_running(name)
        os.kill(client.pid, signal.SIGKILL)
        client.wait(60)
    assert wait_until(lambda: not is_running(name))
