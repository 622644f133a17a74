"""Many executions leave no process, descriptor, thread or memory behind, on either side."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from codemode import ClientConfig, Codemode
from tests.support.belongings import belongings, settled
from tests.support.processes import ExecutorProcess

MIB = 1024 * 1024


@pytest.fixture
def worked(own_executor: ExecutorProcess) -> Iterator[Codemode]:
    async def rate(currency: str) -> float:
        return 1.5

    config = ClientConfig(executor_url=own_executor.url)
    with Codemode.from_client_config(config) as codemode:
        codemode.registry.register_tool("add", lambda a, b: a + b)
        codemode.registry.register_tool("rate", rate)
        yield codemode


CODE = "x = add(1, 2)\nprint(x)\ny = await rate('EUR')\nresult = [x, y]"
BAD = ["1/0", "import os\nos._exit(1)", "import ctypes\nctypes.string_at(0)", "add(1)", "1 +"]


async def at_once(codemode: Codemode, count: int, code: str) -> list[str]:
    async def one() -> str:
        return (await codemode.run_async(code)).status

    return await asyncio.gather(*(one() for _ in range(count)))


def test_some_runs_of_each_kind_leave_nothing(
    own_executor: ExecutorProcess, worked: Codemode
) -> None:
    def round_of_runs() -> None:
        assert worked.run(CODE).value == [3, 1.5]
        assert asyncio.run(at_once(worked, 8, CODE)) == ["completed"] * 8
        for code in BAD:
            assert not worked.run(code).ok
        for events in (worked.stream("print(1)\nimport time\ntime.sleep(60)"),):
            with events:
                for event in events:
                    if event.type == "output":
                        break
        with worked.session() as session:
            assert session.run(CODE).ok

    for _ in range(3):
        round_of_runs()
    before = belongings(own_executor)
    for _ in range(5):
        round_of_runs()
    assert settled(own_executor, before, 20 * MIB), (before, belongings(own_executor))


@pytest.mark.deep
def test_many_runs_in_a_row_leave_nothing(own_executor: ExecutorProcess, worked: Codemode) -> None:
    def run(count: int) -> None:
        for number in range(count):
            assert worked.run(CODE).value == [3, 1.5]
            if not number % 20:
                worked.run(BAD[number // 20 % len(BAD)])

    run(100)
    before = belongings(own_executor)
    run(500)
    assert settled(own_executor, before, 8 * MIB), (before, belongings(own_executor))


@pytest.mark.deep
def test_many_async_runs_in_a_row_leave_nothing(
    own_executor: ExecutorProcess, worked: Codemode
) -> None:
    async def runs(count: int) -> None:
        for _ in range(count):
            assert (await worked.run_async(CODE)).value == [3, 1.5]

    asyncio.run(runs(100))
    before = belongings(own_executor)
    asyncio.run(runs(500))
    assert settled(own_executor, before, 8 * MIB), (before, belongings(own_executor))


@pytest.mark.deep
def test_two_hundred_runs_at_once_leave_nothing(
    own_executor: ExecutorProcess, worked: Codemode
) -> None:
    assert asyncio.run(at_once(worked, 200, CODE)) == ["completed"] * 200
    before = belongings(own_executor)
    for _ in range(3):
        assert asyncio.run(at_once(worked, 200, CODE)) == ["completed"] * 200
    assert settled(own_executor, before, 30 * MIB), (before, belongings(own_executor))


@pytest.mark.deep
def test_two_hundred_threads_at_once_leave_nothing(
    own_executor: ExecutorProcess, worked: Codemode
) -> None:
    def at_once_in_threads() -> None:
        statuses: list[str] = []
        threads = [
            threading.Thread(target=lambda: statuses.append(worked.run(CODE).status))
            for _ in range(200)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert statuses == ["completed"] * 200

    at_once_in_threads()
    before = belongings(own_executor)
    for _ in range(2):
        at_once_in_threads()
    assert settled(own_executor, before, 30 * MIB), (before, belongings(own_executor))
