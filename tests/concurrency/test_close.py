"""Closing happens once, whoever closes and how often: runs are cancelled, and sandboxes die."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import codemode as codemode_package
from codemode import ClientClosedError, ClientConfig, Codemode, ExecutorClientError, tool
from codemode.core._link import connection
from codemode.core.events import ExecutionCompleted
from tests.support.embedded_host import all_gone, family, leftovers
from tests.support.marks import deep_except
from tests.support.processes import ExecutorProcess, is_running, wait_until
from tests.support.watchdog import PATIENCE, bounded

SLEEP = "import os, time\nhere(os.getpid())\ntime.sleep(600)"
TOOL = "import os\nhere(os.getpid())\n"


class Running:
    """Executions of every kind under way, in threads and in a loop."""

    def __init__(self, codemode: Codemode) -> None:
        self.codemode = codemode
        self.pids: list[int] = []
        self.awaiting = 0
        self.cancelled: list[str] = []
        self.release = threading.Event()
        registry = codemode.registry
        registry.register_tool("here", self.here)
        registry.register_tool("wait", tool(thread_sensitive=False)(lambda: self.release.wait(600)))
        registry.register_tool("await_ever", self.await_ever)
        self.pool = ThreadPoolExecutor(24)

    def here(self, pid: int) -> None:
        self.pids.append(pid)

    async def await_ever(self) -> None:
        self.awaiting += 1
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            self.cancelled.append("tool")
            raise

    def threads(self) -> list[Future[str]]:
        run = self.codemode.run
        kinds: list[Callable[[], Any]] = [
            lambda: run(SLEEP),
            lambda: run(f"{TOOL}wait()"),
            lambda: run(f"{TOOL}await await_ever()"),
            lambda: self._stream(),
            lambda: self._session(),
        ]
        return [self.pool.submit(_outcome, kind) for kind in kinds]

    def tasks(self) -> list[asyncio.Task[str]]:
        run = self.codemode.run_async
        codes = [SLEEP, f"{TOOL}wait()", f"{TOOL}await await_ever()"]
        return [asyncio.create_task(_aoutcome(run(code))) for code in codes]

    def _stream(self) -> Any:
        events = list(self.codemode.stream(SLEEP))
        assert isinstance(events[-1], ExecutionCompleted)
        return events[-1].result

    def _session(self) -> Any:
        with self.codemode.session() as session:
            return session.run(SLEEP)


def _outcome(function: Callable[[], Any]) -> str:
    try:
        return str(function().status)
    except ClientClosedError:
        return "closed"


async def _aoutcome(awaitable: Any) -> str:
    try:
        return str((await awaitable).status)
    except ClientClosedError:
        return "closed"


@pytest.fixture
def running(codemode: Codemode) -> Iterator[Running]:
    running = Running(codemode)
    yield running
    running.release.set()
    running.pool.shutdown()


async def test_close_from_many_threads_tasks_and_loops_at_once(running: Running) -> None:
    codemode = running.codemode
    threads, tasks = running.threads(), running.tasks()
    while len(running.pids) < len(threads) + len(tasks) or running.awaiting < 2:
        await asyncio.sleep(0.01)
    start = threading.Barrier(8 + 1)
    in_thread = partial(asyncio.get_running_loop().run_in_executor, running.pool)

    def close(number: int) -> None:
        start.wait(PATIENCE)
        if number % 2:
            codemode.close()
        else:
            asyncio.run(codemode.close_async())

    closers = [in_thread(close, number) for number in range(8)]
    await in_thread(start.wait, PATIENCE)
    await asyncio.gather(*(codemode.close_async() for _ in range(4)), *closers)

    assert await asyncio.to_thread(wait_until, lambda: not any(map(is_running, running.pids)))
    async with asyncio.timeout(PATIENCE):
        outcomes = await asyncio.gather(*tasks, *map(asyncio.wrap_future, threads))
    assert outcomes == ["cancelled"] * len(outcomes)
    assert running.cancelled == ["tool", "tool"]
    for again in (codemode.close, lambda: asyncio.run(codemode.close_async())):
        await asyncio.to_thread(again)
    with pytest.raises(ExecutorClientError, match="^Client has been closed$"):
        await codemode.execute_async("1")
    with pytest.raises(ExecutorClientError, match="^Client has been closed$"):
        await asyncio.to_thread(codemode.execute, "1")


def test_of_many_who_close_at_once_one_does_it(
    codemode: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first caller waits with what it has read until another has read it too, or may not."""
    closed: list[int] = []
    read: list[bool] = []
    met = threading.Event()
    made = codemode.client._connection

    class Noted:
        """A lock that notes when it is not free."""

        def __init__(self, lock: Any) -> None:
            self._lock = lock

        def __enter__(self) -> None:
            if not self._lock.acquire(blocking=False):
                met.set()
                self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()

    class Slow(connection.Connection):
        @property
        def _closer(self) -> bool:
            state: bool = self.__dict__["_closer"]
            read.append(state)
            if len(read) > 1:
                met.set()
            assert met.wait(PATIENCE)
            return state

        @_closer.setter
        def _closer(self, value: bool) -> None:
            self.__dict__["_closer"] = value

    channels = made._channels
    assert channels is not None
    close_channels = channels.close

    def close_and_count() -> None:
        closed.append(1)
        close_channels()

    monkeypatch.setattr(channels, "close", close_and_count)
    monkeypatch.setattr(made, "_lock", Noted(made._lock))
    made.__class__ = Slow

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(codemode.close) for _ in range(8)]:
            done.result()
    assert closed == [1]


@pytest.mark.parametrize("half", ["sync", "async"])
def test_execution_that_begins_while_the_client_closes_does_not_survive(
    running: Running, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    """The stream is open but not yet known to the client at the moment of close()."""
    name = "SyncLink" if half == "sync" else "AsyncLink"
    opened, closed = threading.Event(), threading.Event()

    class Late(getattr(connection, name)):  # type: ignore[misc]  # either half's
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            opened.set()
            assert closed.wait(PATIENCE)

    monkeypatch.setattr(connection, name, Late)
    if half == "sync":
        run = running.pool.submit(_outcome, lambda: running.codemode.run(SLEEP))
    else:
        run = running.pool.submit(lambda: asyncio.run(_aoutcome(running.codemode.run_async(SLEEP))))
    assert opened.wait(PATIENCE)
    running.codemode.close()
    closed.set()

    assert run.result(PATIENCE) in ("cancelled", "closed")
    assert wait_until(lambda: not any(map(is_running, running.pids)))


async def test_closing_one_client_leaves_the_others_alone(
    running: Running, executor: ExecutorProcess
) -> None:
    async with Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as other:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def wait() -> str:
            began.set()
            await go_on.wait()
            return "undisturbed"

        other.registry.register_tool("wait", wait)
        theirs = asyncio.create_task(other.execute_async("await wait()"))
        ours = running.tasks()
        while len(running.pids) < len(ours):
            await asyncio.sleep(0.01)
        await began.wait()
        await running.codemode.close_async()
        assert await asyncio.gather(*ours) == ["cancelled"] * len(ours)
        go_on.set()
        assert await theirs == "undisturbed"


@pytest.mark.parametrize("pause", deep_except([0.0, 0.05, 0.2, 0.4], 0.2))
def test_closing_while_an_embedded_executor_starts_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """close() may come at any time from before the executor's process to after its first runs."""
    with (
        tempfile.TemporaryDirectory(prefix="cm-test-") as folder,
        ThreadPoolExecutor(8) as pool,
    ):
        monkeypatch.setattr("tempfile.tempdir", folder)
        codemode = Codemode()
        run = partial(_outcome, lambda: codemode.run("import time\ntime.sleep(600)"))
        runs = [pool.submit(run) for _ in range(3)]
        time.sleep(pause)
        assert codemode.client.embedded is not None
        pid = codemode.client.embedded.pid
        started = [] if pid is None else family(pid)
        closers = [pool.submit(codemode.close) for _ in range(3)]
        bounded(lambda: (wait(runs), wait(closers)))
        assert {one.result() for one in runs} <= {"cancelled", "closed"}
        assert [one.result() for one in closers] == [None] * len(closers)
        assert all_gone(started)
        assert wait_until(lambda: leftovers(Path(folder)) == [])


def test_a_run_that_meets_close_while_its_embedded_executor_comes_up_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call learned the address, and close() completed before the call could use it."""
    started, closed = threading.Event(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="cm-test-") as folder, ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr("tempfile.tempdir", folder)
        codemode = Codemode()
        embedded = codemode.client.embedded
        assert embedded is not None
        find_address = embedded.address

        def late_address() -> str:
            address = find_address()
            started.set()
            assert closed.wait(PATIENCE)
            return address

        monkeypatch.setattr(embedded, "address", late_address)
        run = pool.submit(_outcome, lambda: codemode.run("1"))
        assert started.wait(PATIENCE)
        pid = embedded.pid
        assert pid is not None
        family_of_first = family(pid)
        codemode.close()
        closed.set()
        assert run.result(PATIENCE) == "closed"
        assert all_gone(family_of_first)
        assert embedded.pid is None
        assert wait_until(lambda: leftovers(Path(folder)) == [])


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Codemode, Callable[[], bool]]]:
    """Yield a facade with an executor of its own, and a check that the executor left nothing."""
    with tempfile.TemporaryDirectory(prefix="cm-test-") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        codemode = Codemode()
        codemode.run("1")
        assert codemode.client.embedded is not None
        pid = codemode.client.embedded.pid
        assert pid is not None
        started = family(pid)
        yield codemode, lambda: all_gone(started) and leftovers(Path(folder)) == []
        codemode.close()


def test_close_async_that_is_cancelled_closes_all_the_same(
    embedded: tuple[Codemode, Callable[[], bool]],
) -> None:
    """Closing completes even when the loop's own threads are all busy."""
    codemode, nothing_left = embedded

    async def main() -> None:
        await codemode.run_async("1")
        loop, busy = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        waiting = loop.run_in_executor(None, busy.wait, PATIENCE)
        closing = asyncio.create_task(codemode.close_async())
        await asyncio.sleep(0)
        assert not closing.done()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        busy.set()
        await waiting

    asyncio.run(main())
    assert wait_until(nothing_left)
    channels = codemode.client._connection._channels
    assert channels is not None
    assert channels._sync is None
    with pytest.raises(ClientClosedError):
        codemode.run("1")


@pytest.mark.parametrize(
    "where",
    [
        "codemode.core._grpc.channels.Channels.close",
        "codemode.core._link.async_carrier.AsyncLink.abort",
        "codemode.embedded.process.SpawnedExecutor._end",
    ],
)
def test_close_that_was_interrupted_is_completed_by_the_next(
    embedded: tuple[Codemode, Callable[[], bool]], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    codemode, nothing_left = embedded

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        async for event in codemode.stream("import time\ntime.sleep(600)"):
            if event.type == "started":
                with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                    patch.setattr(where, interrupt)
                    codemode.close()
                codemode.close()

    asyncio.run(main())
    assert wait_until(nothing_left)


LOCKED = tuple(
    str(Path(codemode_package.__file__).parent / file)
    for file in ("core/_link/connection.py", "core/_grpc/channels.py", "embedded/executor.py")
)


class Interruption:
    """A signal handler that closes a client, at one line of the modules that take locks."""

    def __init__(self, codemode: Codemode, line: int) -> None:
        self._codemode = codemode
        self._left = line
        self.came = False

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(LOCKED):
            return None
        if event == "line" and not self.came:
            self._left -= 1
            if self._left == 0:
                self.came = True
                self._codemode.close()
        return self._trace


@pytest.mark.parametrize("half", ["sync", "async"])
@pytest.mark.parametrize("embedded", [False, True], ids=["url", "embedded"])
def test_a_signal_handler_may_close_the_client_at_any_line(
    executor: ExecutorProcess, half: str, embedded: bool
) -> None:
    """Even where its own thread holds a lock of the client."""
    url = None if embedded else executor.url

    def closed_at(line: int) -> bool:
        """Return whether a run has come as far as that line."""
        with Codemode.from_client_config(ClientConfig(executor_url=url)) as codemode:
            interruption = Interruption(codemode, line)
            with contextlib.suppress(ExecutorClientError), interruption:
                if half == "sync":
                    codemode.run("1")
                else:
                    asyncio.run(codemode.run_async("1"))
            with pytest.raises(ClientClosedError):
                if not interruption.came:
                    codemode.close()
                codemode.run("1")
            return interruption.came

    # Starting an embedded executor takes long.
    for line in itertools.count(1, 9 if embedded else 1):
        if not bounded(partial(closed_at, line)):
            break
    assert line > 30


def test_close_is_not_broken_off_by_a_loop_that_ends_at_the_same_moment(
    embedded: tuple[Codemode, Callable[[], bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    codemode, nothing_left = embedded
    loop = asyncio.new_event_loop()
    session = codemode.session()
    loop.run_until_complete(session.__aenter__())
    loop.close()
    monkeypatch.setattr(loop, "is_closed", lambda: False)
    codemode.close()
    assert wait_until(nothing_left)
