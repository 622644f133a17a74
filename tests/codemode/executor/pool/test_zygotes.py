"""A failing zygote, or a temporary shortage, costs at most the runs that it directly affects."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from codemode import ExecutorBusyError, ExecutorConfig
from codemode.config import Tier
from codemode.executor.host.work_folders import WorkFolder
from codemode.executor.pool import pool as pools
from codemode.executor.pool import zygotes
from codemode.executor.pool.pool import PoolUnavailableError
from codemode.executor.pool.sandbox_numbers import SandboxNumbers
from codemode.executor.pool.zygotes import Zygote, ZygoteStartError
from codemode.executor.serving.server import ExecutorServer
from codemode.executor.streams import execute_stream as streams
from codemode.interpreter import InterpreterNotFoundError, find_python
from codemode.wire.constants import SANDBOX_USERS as USERS
from tests.support.hosts import needs_tier
from tests.support.marks import deep_except
from tests.support.processes import ExecutorProcess, becomes, open_descriptors
from tests.support.served_pools import PATIENCE, a_run_meanwhile, serving_pool


@contextlib.contextmanager
def no_descriptor_left(but: int = 0) -> Iterator[None]:
    next_ones = [os.dup(0) for _ in range(but)]
    for each in next_ones:
        os.close(each)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(next_ones, default=2) + 1, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def dies_before_it_is_proved(monkeypatch: pytest.MonkeyPatch) -> list[Zygote]:
    """Kill the next zygote between its start and its first child; return the killed ones."""
    spawn = Zygote.spawn
    struck: list[Zygote] = []

    async def strike(zygote: Zygote) -> Any:
        if zygote.forks == 0 and struck in ([], [zygote]):
            struck[:] = [zygote]
            os.kill(zygote.pid, signal.SIGKILL)
            assert await becomes(lambda: not zygote.alive)
        return await spawn(zygote)

    monkeypatch.setattr(Zygote, "spawn", strike)
    return struck


def finds_no_python_once(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hide the interpreter for a moment, as during an upgrade."""
    missed: list[str] = []

    def find() -> str:
        if not missed:
            missed.append("python")
            raise InterpreterNotFoundError("an upgrade is under way")
        return find_python()

    monkeypatch.setattr(zygotes, "find_python", find)
    return missed


@pytest.mark.parametrize("tier", deep_except(["C", "unsafe"], "C"))  # with and without canaries
@pytest.mark.parametrize("mishap", [dies_before_it_is_proved, finds_no_python_once])
async def test_pool_outlives_a_successor_that_fails(
    mishap: Callable[[pytest.MonkeyPatch], list[Any]], tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_tier(tier)
    async with serving_pool(tier) as served:
        struck = mishap(monkeypatch)
        served.strike(signal.SIGKILL)
        assert await becomes(lambda: bool(struck) and served.pool.serving)
        assert await served.run("6 * 7") == 42


@pytest.mark.parametrize("tier", deep_except(["C", "unsafe"], "C"))  # with and without canaries
@pytest.mark.parametrize("mishap", [dies_before_it_is_proved, finds_no_python_once])
async def test_old_zygote_is_replaced_although_a_first_attempt_fails(
    mishap: Callable[[pytest.MonkeyPatch], list[Any]], tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_tier(tier)
    async with serving_pool(tier, zygote_max_age=0.5) as served:
        struck = mishap(monkeypatch)
        old = served.zygote
        assert await becomes(lambda: bool(struck) and served.zygote not in (0, old))
        assert await served.run("6 * 7") == 42


async def test_zygote_that_ends_at_once_is_not_reported_as_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zygotes, "find_python", lambda: "/bin/false")
    with pytest.raises(ZygoteStartError, match="ended before it was ready"):
        async with serving_pool():
            pass


async def test_old_zygote_fills_the_pool_while_its_successor_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = Zygote.start
    coming, come = asyncio.Event(), asyncio.Event()

    async def start_slowly(zygote: Zygote) -> None:
        coming.set()
        await come.wait()
        await start(zygote)

    async with serving_pool(zygote_max_age=0.2) as served:
        monkeypatch.setattr(Zygote, "start", start_slowly)
        await coming.wait()
        old = served.zygote
        for number in range(3 * served.pool.size):
            assert await served.run(str(number)) == number
        assert served.zygote == old
        come.set()
        assert await becomes(lambda: served.zygote not in (0, old))


async def test_queue_timeout_bounds_the_wait_for_a_sandbox_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "_MAKING_SECONDS", 0.1)
    async with serving_pool() as served:

        async def never(zygote: Zygote) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(Zygote, "start", never)
        served.strike(signal.SIGKILL)
        assert await becomes(lambda: not served.pool.serving and not served.idle())
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ExecutorBusyError, match="could be made within the queue_timeout"):
                await served.codemode.client.execute_async("1", None, {"queue_timeout": 0.3})
        assert served.server.service is not None
        assert served.server.service.admission.running == 0


async def test_idle_child_that_dies_is_replaced_and_leaves_no_descriptor() -> None:
    async with serving_pool() as served:
        await served.run("1")  # opens what only the first run opens
        await served.is_full()
        before = open_descriptors(os.getpid())
        for _ in range(3):
            dead = served.idle()
            for pid in dead:
                os.kill(pid, signal.SIGKILL)
            assert await becomes(lambda: not set(dead) & set(served.idle()))  # noqa: B023  # at once
            await served.is_full()
        assert len(served.pool._idle) == served.pool.size
        assert await becomes(lambda: open_descriptors(os.getpid()) <= before)


@pytest.mark.parametrize("missing", ["the child's descriptor", "one to look up its number"])
async def test_a_momentary_shortage_of_descriptors_ends_no_run(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, pid_of = socket.recv_fds, zygotes._pid_of
    struck: list[bytes] = []

    def receive_few(*arguments: Any) -> Any:
        if struck:
            return receive(*arguments)
        with no_descriptor_left():
            received = receive(*arguments)
        if received[0][:1] == b"F":
            struck.append(received[0])
        return received

    def find_few(pidfd: int) -> int:
        if struck:
            return pid_of(pidfd)
        struck.append(b"")
        with no_descriptor_left():
            return pid_of(pidfd)

    async with serving_pool() as served, a_run_meanwhile(served):
        await served.is_full()
        zygote = served.zygote
        if missing == "the child's descriptor":
            monkeypatch.setattr(socket, "recv_fds", receive_few)
        else:
            monkeypatch.setattr(zygotes, "_pid_of", find_few)
        assert await served.run("1") == 1  # takes an idle one; another is made in its place
        assert await becomes(lambda: bool(struck))
        await served.is_full()
        assert served.zygote == zygote


def test_executor_raises_its_descriptor_limit_to_the_maximum() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        with ExecutorProcess() as executor:
            assert resource.prlimit(executor.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("left", [0, 2])  # of the four that a child takes
async def test_child_that_finds_no_descriptors_leaves_no_trace(left: int) -> None:
    async with serving_pool() as served:
        (zygote,) = [zygote for zygote, _ in list(served.pool._idle)[:1]]
        children, forks = dict(zygote.children), zygote.forks
        taken = set(served.pool.terms.numbers._taken)
        before = open_descriptors(os.getpid())
        with no_descriptor_left(left), pytest.raises(OSError, match="Too many open files"):
            await zygote.spawn()
        assert (zygote.children, zygote.forks) == (children, forks)
        assert served.pool.terms.numbers._taken == taken
        assert open_descriptors(os.getpid()) == before


async def test_zygote_that_does_not_reap_keeps_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "_REAP_SECONDS", 3.0)
    monkeypatch.setattr(pools, "_KEEPER_SECONDS", 0.1)
    async with serving_pool(pool_size=1, max_concurrency=1) as served:
        async with a_run_meanwhile(served):
            zygote = served.zygote
            served.strike(signal.SIGSTOP)
        assert await served.run("6 * 7") == 42
        assert served.zygote != zygote


async def test_zygote_that_forks_too_slowly_is_replaced_and_keeps_its_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "_READY_SECONDS", 3.0)
    monkeypatch.setattr(pools, "_KEEPER_SECONDS", 0.1)
    async with serving_pool() as served:
        async with a_run_meanwhile(served):
            zygote = served.zygote
            served.strike(signal.SIGSTOP)
            assert [await served.run("1") for _ in range(3)] == [1, 1, 1]  # two were ready
            assert served.zygote != zygote
            os.kill(zygote, signal.SIGCONT)
        assert await becomes(lambda: served.pool.zygote_pids() == [served.zygote])


async def test_zygote_that_does_not_fork_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_KEEPER_SECONDS", PATIENCE)
    monkeypatch.setattr(zygotes, "_REAP_SECONDS", 0.1)
    async with serving_pool() as served:
        zygote = served.pool._zygote
        assert zygote is not None
        assert not zygote.stuck()
        served.strike(signal.SIGSTOP)
        child = await zygote.spawn()
        child.close()  # as a caller does that has waited too long
        assert await becomes(zygote.stuck)
        served.strike(signal.SIGCONT)
        assert await becomes(child.exited.done)
        assert not zygote.stuck()


async def test_profile_that_could_not_start_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused: list[str] = []

    def refuse(tier: str) -> WorkFolder:
        if not refused:
            refused.append(tier)
            raise OSError("no space left")
        return WorkFolder(tier)

    monkeypatch.setattr(pools, "WorkFolder", refuse)
    with tempfile.TemporaryDirectory(prefix="cm-test-") as folder:
        config = ExecutorConfig(
            listen=(f"unix:{folder}/socket",), tier="unsafe", min_tier="unsafe", warm_profiles=()
        )
        async with ExecutorServer(config) as server:
            with pytest.raises(PoolUnavailableError, match="'default' does not start: no space"):
                await server.pools.get("default")
            assert (await server.pools.get("default")).serving


WHO = "import os\nos.getuid()"


async def test_users_of_tier_b_are_reused_only_when_they_are_free() -> None:
    needs_tier("B")
    async with serving_pool("B") as served, served.codemode.session() as session:
        first = (await session.run_async(f"{WHO}, int(os.path.basename(os.getcwd()))")).value
        user, number = first
        served.pool.terms.numbers._numbers = itertools.count(number + USERS - 3)
        others: list[int] = []
        # The users wrap around, past the one that the session has; the order of the ready ones
        # varies.
        while not {user - 1, user + 1} <= set(others):
            others.append(await served.run(WHO))
            assert len(others) < 100
        assert user not in others


async def test_users_of_tier_b_differ_between_pools() -> None:
    needs_tier("B")
    async with serving_pool("B") as served:
        other = next(iter(served.server.pools))
        try:
            await other.start()
            assert await becomes(lambda: len(other._idle) == other.size)
            users = [
                child.number % USERS for pool in (served.pool, other) for _, child in pool._idle
            ]
            assert len(set(users)) == len(users)
        finally:
            await other.close()


def test_tier_b_has_as_many_sandboxes_as_users() -> None:
    source = SandboxNumbers("B")
    numbers = [source.take() for _ in range(USERS)]
    assert len({number % USERS for number in numbers}) == USERS
    with pytest.raises(OSError, match="all 2000 users"):
        source.take()
    source.give_back(numbers[7])
    again = source.take()
    assert again % USERS == numbers[7] % USERS
    assert again > numbers[-1], "the former's folder may still be there"
    others = SandboxNumbers("A")
    assert len({others.take() for _ in range(USERS + 1)}) == USERS + 1
