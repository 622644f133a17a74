"""Children are used once, replaced in time and leave nothing behind, and no run is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from codemode import ClientConfig, Codemode, ExecutorConnectionError
from codemode.config import Limits, Tier
from codemode.executor.host.clean_start import CLEAN_ENVIRONMENT
from codemode.executor.host.work_folders import WorkFolder
from codemode.executor.serving import server as server_module
from codemode.executor.streams.sandbox_opening import open_sandbox
from codemode.wire.frames import Frame, pack_texts
from tests.support.gate import Gate
from tests.support.hosts import needs_tier
from tests.support.marks import deep_except
from tests.support.processes import (
    ExecutorProcess,
    becomes,
    descendants,
    is_running,
    wait_until,
)
from tests.support.serving import serving


@pytest.fixture(params=deep_except(["A", "unsafe"], "A"))
def tier(request: pytest.FixtureRequest) -> Tier:
    """Return each tier whose zygotes end in a way of their own."""
    tier: Tier = request.param
    needs_tier(tier)
    return tier


async def pids(codemode: Codemode, runs: int) -> list[int]:
    results = [await codemode.run_async("import os\nos.getpid()") for _ in range(runs)]
    assert all(result.ok for result in results), results
    return [result.value for result in results]


@pytest.mark.no_retry
async def test_no_child_serves_twice() -> None:
    async with serving(pool_size=2) as (codemode, _):
        seen = await pids(codemode, 12)
        assert len(set(seen)) == 12
        assert await becomes(lambda: not any(map(is_running, seen)))


async def test_forks_of_the_shared_executor_are_not_counted(codemode: Codemode) -> None:
    for _ in range(5):
        await codemode.run_async("1")  # the shared executor refills its pool while this one serves
    async with serving(pool_size=1) as (own, _):
        assert await own.execute_async("1") == "1"


async def test_code_finds_nothing_of_an_earlier_run() -> None:
    async with serving(pool_size=1) as (codemode, _):
        mess = (
            "import builtins, json\nbuiltins.left = 1\njson.left = 1\nopen('left', 'w').write('x')"
        )
        look = "import builtins, json, os\n(hasattr(builtins, 'left'), hasattr(json, 'left'), os.listdir())"
        for _ in range(3):
            assert (await codemode.run_async(mess)).ok
            assert (await codemode.run_async(look)).value == (False, False, [])


async def test_pages_that_a_run_writes_to_are_private_before_it_begins() -> None:
    async with serving(pool_size=1) as (_, server):
        child = await server.pools["default"].acquire()
        try:
            before = page_faults(child.pid)
            await open_sandbox(
                child, Limits(), cpu_seconds=60, threads_are_counted=False, session=True
            )
            await child.frames.send_frame(Frame.RUN, 1, 0, pack_texts("1 + 1"))
            said = set[Frame]()
            while Frame.COMPLETED not in said:
                said |= {frame.kind for frame in await child.frames.receive()}
            assert page_faults(child.pid) - before < 100
        finally:
            child.close()


def page_faults(pid: int) -> int:
    """Return how many minor page faults a process has had: each one delayed it."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


async def test_children_draw_different_random_numbers() -> None:
    async with serving(pool_size=4) as (codemode, _):
        code = "import random, uuid, os\n(random.random(), str(uuid.uuid4()), os.urandom(8))"
        drawn = [await codemode.run_async(code) for _ in range(6)]
        for index in range(3):
            assert len({result.value[index] for result in drawn}) == 6


async def test_used_up_zygote_is_replaced_and_no_run_is_lost(tier: Tier) -> None:
    async with serving(tier, pool_size=3, zygote_max_forks=5, zygote_max_age=0.2) as (
        codemode,
        server,
    ):
        zygotes: set[int] = set()

        async def work(number: int) -> None:
            for turn in range(8):
                result = await codemode.run_async(f"import time\ntime.sleep(0.03)\n{number * turn}")
                assert result.value == number * turn, result
                zygotes.update(server.pools["default"].zygote_pids())

        await asyncio.gather(*(work(number) for number in range(8)))

        def replaced_twice() -> bool:
            zygotes.update(server.pools["default"].zygote_pids())
            return len(zygotes) >= 3

        # Their age limits keep expiring after the last run.
        assert await becomes(replaced_twice)
        assert await becomes(lambda: len(server.pools["default"].zygote_pids()) <= 2)


async def test_run_survives_the_age_limit_of_its_zygote(tier: Tier) -> None:
    async with serving(tier, pool_size=2, zygote_max_age=0.2) as (codemode, server):
        first = server.pools["default"].zygote_pids()[0]
        result = await codemode.run_async("import time\ntime.sleep(0.8)\n'whole'")
        assert result.value == "whole"
        assert await becomes(lambda: not is_running(first))


async def test_sets_of_text_have_one_order_in_each_sandbox(tier: Tier) -> None:
    code = "import os\n[list({f'name {number}' for number in range(1_000)}), sorted(os.environ)]"
    async with (
        serving(tier, pool_size=1) as (codemode, _),
        serving(tier, pool_size=1) as (other, _),
    ):
        order, environment = (await codemode.run_async(code)).value
        assert (await other.run_async(code)).value[0] == order
    assert order != sorted(order)
    assert set(environment) == set(CLEAN_ENVIRONMENT) - {"PYTHONHASHSEED"}


async def test_idle_children_are_replaced_when_they_are_old() -> None:
    async with serving(pool_size=2, child_max_age=0.2) as (codemode, server):
        (zygote,) = server.pools["default"].zygote_pids()
        assert await becomes(lambda: len(descendants(zygote)) == 2)
        former = descendants(zygote)
        assert await becomes(lambda: not any(map(is_running, former)))
        assert await becomes(lambda: len(descendants(zygote)) >= 2)
        assert await codemode.execute_async("1") == "1"


@pytest.mark.parametrize("ending", ["1", "os._exit(1)", "time.sleep(60)"])
async def test_files_of_a_run_are_removed(ending: str) -> None:
    async with serving(pool_size=1) as (codemode, _):
        code = (
            "import os, time\nos.makedirs('a/b/c')\nopen('a/b/file', 'w').write('x')\n"
            "os.symlink('/', 'a/root')\nos.chmod('a/b', 0)\nprint(os.getcwd())\n" + ending
        )
        timeout = 2 if "sleep" in ending else 60
        result = await codemode.run_async(code, execution_timeout=timeout)
        folder = Path(result.stdout.strip())
        assert folder.is_absolute()
        assert folder != Path("/")
        assert await becomes(lambda: not folder.exists())
    assert not folder.parent.exists()
    assert Path("/etc").exists()


async def test_child_that_dies_while_idle_costs_nothing() -> None:
    async with serving(pool_size=2) as (codemode, server):
        (zygote,) = server.pools["default"].zygote_pids()
        for _ in range(5):
            for pid in descendants(zygote):
                with contextlib.suppress(ProcessLookupError):  # an unfinished child may be gone
                    os.kill(pid, signal.SIGKILL)
            assert await codemode.execute_async("1") == "1"


async def test_stopped_child_times_out_alone() -> None:
    async with serving(pool_size=1) as (codemode, _):
        stopped = codemode.run_async("import os\nos.kill(os.getpid(), 19)", execution_timeout=0.5)
        task = asyncio.create_task(stopped)
        assert await codemode.execute_async("1") == "1"
        assert (await task).status == "timeout"


async def test_server_that_stops_ends_its_runs() -> None:
    async with serving(pool_size=1) as (codemode, server):
        gate = Gate()
        codemode.registry.register_tool("gate", gate)
        task = asyncio.create_task(codemode.run_async("await gate()", execution_timeout=600))
        await gate.holds(1)
        await server.stop()
        with pytest.raises(Exception, match="lost during the run"):
            await asyncio.wait_for(task, 60)


async def test_more_runs_than_warm_children_all_run() -> None:
    async with serving(pool_size=1, max_concurrency=8) as (codemode, _):
        code = "import time\ntime.sleep(0.05)\n1"
        results = await asyncio.gather(*(codemode.run_async(code) for _ in range(40)))
        assert [result.value for result in results] == [1] * 40


def test_stopped_executor_leaves_nothing() -> None:
    process = ExecutorProcess().start()
    with Codemode.from_client_config(ClientConfig(executor_url=process.url)) as codemode:
        assert codemode.execute("1") == "1"
    assert list(process.folder.glob("codemode-sandboxes-*"))
    os.kill(process.pid, signal.SIGTERM)
    assert wait_until(lambda: not is_running(process.pid))
    assert [path.name for path in process.folder.iterdir()] == ["log"]
    assert process.stop() == 0


@pytest.fixture
def shared_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the temporary folder of executors, one that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="cm-test-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        monkeypatch.setattr("tempfile.tempdir", name)
        yield Path(name)


@pytest.mark.parametrize("tier", deep_except(["A", "B", "C", "unsafe"], "A"))
def test_folders_of_a_killed_executor_are_removed_at_the_next_start(
    tier: Tier, shared_folder: Path
) -> None:
    needs_tier(tier)

    def folders() -> set[Path]:
        return set(shared_folder.glob("codemode-*"))

    environment = {"TMPDIR": str(shared_folder)}
    with ExecutorProcess("--tier", tier, environment=environment) as other:
        theirs = folders()
        with ExecutorProcess("--tier", tier, environment=environment) as killed:
            with Codemode.from_client_config(ClientConfig(executor_url=killed.url)) as codemode:
                code = "open('x', 'w').close()\nimport time\ntime.sleep(600)"
                events = iter(codemode.stream(code, execution_timeout=600))
                next(events)
                (left,) = folders() - theirs
                killed.kill()
                with pytest.raises(ExecutorConnectionError):
                    list(events)
            assert left.exists()
            killed.start()
            assert not left.exists()
            assert folders() >= theirs
        with Codemode.from_client_config(ClientConfig(executor_url=other.url)) as codemode:
            assert codemode.execute("open('x', 'w').write('1')") == "1"
    assert folders() == set()


def test_users_of_tier_b_work_in_a_folder_that_they_may_enter(shared_folder: Path) -> None:
    for mode, parent in ((0o755, shared_folder), (0o700, Path("/tmp"))):
        shared_folder.chmod(mode)
        folder = WorkFolder("B")
        try:
            assert folder.path.parent == parent
            assert stat.S_IMODE(folder.path.stat().st_mode) == 0o711
        finally:
            folder.remove()
        assert not folder.path.exists()


async def test_zygote_killed_under_load_loses_only_the_current_runs(tier: Tier) -> None:
    async with serving(tier, pool_size=1, max_concurrency=4) as (codemode, server):
        strikes = (3, 9, 15)

        def strike(number: int) -> None:
            if number in strikes:
                for pid in server.pools["default"].zygote_pids():
                    # Another run may have killed it already, and the pool may not have noticed.
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

        codemode.registry.register_tool("strike", strike)
        code = f"strike(n)\nimport time\ntime.sleep(600 if n in {strikes} else 0.1)\nn"
        codemode.client.limits = Limits(execution_timeout=600)
        runs = (codemode.run_async(code, inputs={"n": number}) for number in range(24))
        results = await asyncio.gather(*runs)
        statuses = [result.status for result in results]
        assert set(statuses) == {"completed", "crashed"}
        assert {statuses[number] for number in strikes} == {"crashed"}
        # Each strike ends at most the runs of that moment.
        assert statuses.count("crashed") <= 12
        assert await codemode.execute_async("1") == "1"


def test_log_states_plainly_that_nothing_is_isolated() -> None:
    with ExecutorProcess("--tier", "unsafe") as executor:
        assert "NO ISOLATION" in executor.log


async def test_stopped_server_has_no_task_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def end_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.5)
            ended.set()

    monkeypatch.setattr(server_module, "give_back_memory", end_slowly)
    async with serving(pool_size=1) as (codemode, server):
        assert await codemode.execute_async("1") == "1"
        await server.stop()
        assert ended.is_set()
