"""A process that forks while it uses the client: ``python -m tests.concurrency.forked_process``.

It forks the given number of times in the given state, and prints how each child has ended. A child
executes by both halves, with every kind of tool. A child that hangs is killed, and its stacks are
shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async

from codemode import ClientConfig, Codemode, ExecutionResult, tool

__all__ = ["CHILDREN", "STATES", "main"]

CHILD_SECONDS = 100

CODE = "add(1, 2) + pooled_add(3, 4) + await async_add(5, 6)"
VALUE = 21
HOLD = "hold()\n7"
HOLD_SECONDS = 300


def add(a: int, b: int) -> int:
    return a + b


@tool(thread_sensitive=False)
def pooled_add(a: int, b: int) -> int:
    return a + b


async def async_add(a: int, b: int) -> int:
    await asyncio.sleep(0.001)
    return a + b


class Program:
    """The client, what is done with it, and how the process forks."""

    def __init__(self, url: str) -> None:
        self.config = ClientConfig(executor_url=url or None)
        self.codemode = self.new()
        self.forks: Callable[[], None] = lambda: None
        self.held = threading.Event()
        self.let_go = threading.Event()

    def new(self) -> Codemode:
        codemode = Codemode.from_client_config(self.config)
        for one in (add, pooled_add, async_add, self.hold, self.async_hold):
            codemode.registry.register_tool(None, one)
        return codemode

    def hold(self) -> None:
        self.held.set()
        assert self.let_go.wait(600)

    async def async_hold(self) -> None:
        self.held.set()
        while not self.let_go.is_set():
            await asyncio.sleep(0.01)

    def sync_half(self) -> None:
        check(self.codemode.run(CODE))

    async def async_half(self) -> None:
        check(await self.codemode.run_async(CODE))

    def both_halves(self) -> None:
        self.sync_half()
        asyncio.run(self.async_half())


def check(result: ExecutionResult, value: Any = VALUE) -> None:
    assert result.value == value, result


# What the parent has done, or is doing, when it forks. It must be unharmed afterwards.


def imported(program: Program) -> None:
    program.forks()


def channel_unused(program: Program) -> None:
    program.codemode.client._connection._connect().stub()
    program.forks()


def used_by_threads(program: Program) -> None:
    program.sync_half()
    program.forks()
    program.sync_half()


def used_and_closed(program: Program) -> None:
    program.both_halves()
    program.codemode.close()
    program.codemode = program.new()
    program.forks()


def used_by_an_ended_loop(program: Program) -> None:
    asyncio.run(program.async_half())
    program.forks()
    asyncio.run(program.async_half())


def used_by_both(program: Program) -> None:
    program.both_halves()
    with a_loop_elsewhere() as wait_for:
        wait_for(program.async_half())
        program.forks()
        wait_for(program.async_half())


def a_loop_that_rests(program: Program) -> None:
    with asyncio.Runner() as runner:
        runner.run(program.async_half())
        program.forks()
        runner.run(program.async_half())


def a_loop_in_another_thread(program: Program) -> None:
    with a_loop_elsewhere() as wait_for:
        wait_for(program.async_half())
        program.forks()
        wait_for(program.async_half())


def within_a_coroutine(program: Program) -> None:
    async def main() -> None:
        await program.async_half()
        program.forks()
        await program.async_half()

    asyncio.run(main())


def within_a_request(program: Program) -> None:
    """Fork in a task that has its own thread for sync code, as each of Django's requests has."""

    async def main() -> None:
        async with ThreadSensitiveContext():
            await program.async_half()
            program.forks()
            await program.async_half()

    asyncio.run(main())


def on_the_shared_thread(program: Program) -> None:
    async def main() -> None:
        await program.async_half()
        await sync_to_async(program.forks)()
        await program.async_half()

    asyncio.run(main())


def below_async_to_sync(program: Program) -> None:
    async def view() -> None:
        await program.async_half()
        await sync_to_async(program.forks)()
        await program.async_half()

    async_to_sync(view)()


def during_a_run_of_a_thread(program: Program) -> None:
    during(program, lambda: check(program.codemode.run(HOLD, execution_timeout=HOLD_SECONDS), 7))


def during_a_run_of_a_thread_with_async_tools(program: Program) -> None:
    code = f"import asyncio\nawait asyncio.gather(async_hold(), async_add(1, 2))\n{CODE}"
    during(program, lambda: check(program.codemode.run(code, execution_timeout=HOLD_SECONDS)))


def during_a_run_of_a_loop(program: Program) -> None:
    with a_loop_elsewhere() as wait_for:
        wait_for(program.async_half())
        during(program, lambda: wait_for(run_async(program, HOLD, 7)))
        wait_for(program.async_half())


def threads_at_work(program: Program) -> None:
    during_work([program.sync_half] * 4, program.forks)
    program.sync_half()


def loops_at_work(program: Program) -> None:
    with a_loop_elsewhere() as wait_for, a_loop_elsewhere() as wait_for_other:
        work = [
            lambda: wait_for(program.async_half()),
            lambda: wait_for_other(program.async_half()),
        ]
        during_work(work * 2, program.forks)
        wait_for(program.async_half())


def all_at_work(program: Program) -> None:
    with a_loop_elsewhere() as wait_for:
        work = [lambda: wait_for(program.async_half()), program.sync_half]
        during_work(work * 2, program.forks)
    program.both_halves()


STATES = {
    state.__name__: state
    for state in (
        imported,
        channel_unused,
        used_by_threads,
        used_and_closed,
        used_by_an_ended_loop,
        used_by_both,
        a_loop_that_rests,
        a_loop_in_another_thread,
        within_a_coroutine,
        within_a_request,
        on_the_shared_thread,
        below_async_to_sync,
        during_a_run_of_a_thread,
        during_a_run_of_a_thread_with_async_tools,
        during_a_run_of_a_loop,
        threads_at_work,
        loops_at_work,
        all_at_work,
    )
}


async def run_async(program: Program, code: str, value: Any) -> None:
    check(await program.codemode.run_async(code, execution_timeout=HOLD_SECONDS), value)


def during(program: Program, run: Callable[[], None]) -> None:
    """Fork while an execution of another thread waits for a tool of its own."""
    program.sync_half()
    failures: list[BaseException] = []
    thread = threading.Thread(target=watched(run, failures))
    thread.start()
    assert program.held.wait(60)
    program.forks()
    program.let_go.set()
    thread.join(60)
    assert not thread.is_alive()
    assert failures == [], failures
    program.sync_half()


def during_work(work: list[Callable[[], None]], forks: Callable[[], None]) -> None:
    """Fork while threads begin and end executions one after the other."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def again_and_again(function: Callable[[], None]) -> Callable[[], None]:
        def work() -> None:
            while not stop.is_set():
                function()

        return work

    threads = [threading.Thread(target=watched(again_and_again(one), failures)) for one in work]
    for thread in threads:
        thread.start()
    forks()
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures == [], failures


def watched(function: Callable[[], None], failures: list[BaseException]) -> Callable[[], None]:
    def work() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001  # reported by the thread that waits
            failures.append(error)

    return work


@contextlib.contextmanager
def a_loop_elsewhere() -> Iterator[Callable[[Any], None]]:
    """Run an event loop in another thread; yield a function that waits for a coroutine in it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    owner = os.getpid()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(
            HOLD_SECONDS
        )
    finally:
        if os.getpid() == owner:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(60)
            loop.close()


# What the child does.


def use(program: Program) -> None:
    """Execute by both halves, twice."""
    program.both_halves()
    program.both_halves()


def use_another(program: Program) -> None:
    program.codemode = program.new()
    program.both_halves()
    program.codemode.close()
    asyncio.run(close_async(program.new()))


async def close_async(codemode: Codemode) -> None:
    check(await codemode.run_async(CODE))
    await codemode.close_async()


def use_at_once(program: Program) -> None:
    """Execute by both halves at the same time."""

    async def many() -> None:
        await asyncio.gather(*(program.async_half() for _ in range(4)))

    work = [program.sync_half, lambda: asyncio.run(many())] * 2
    failures: list[BaseException] = []
    threads = [threading.Thread(target=watched(one, failures)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [], failures


def close(program: Program) -> None:
    program.codemode.close()


def fork_again(program: Program) -> None:
    program.both_halves()
    statuses: list[int] = []
    with a_loop_elsewhere() as wait_for:
        wait_for(program.async_half())
        fork(program, use, statuses, exits=False)
    assert statuses == [0]


CHILDREN = {child.__name__: child for child in (use, use_another, use_at_once, close, fork_again)}


def fork(
    program: Program, child: Callable[[Program], None], statuses: list[int], *, exits: bool
) -> None:
    """Fork and wait for the child, which leaves by sys.exit() if it ``exits``."""
    pid = os.fork()
    if pid == 0:
        faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
        signal.alarm(CHILD_SECONDS)
        status = 1
        try:
            child(program)
            status = 0
        except BaseException:  # noqa: BLE001  # reported by the parent
            sys.excepthook(*sys.exc_info())
        finally:
            if status == 0 and exits:
                sys.exit(0)
            sys.stderr.flush()
            os._exit(status)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


# Where a loop's frames are below a fork, sys.exit() in the child would close the parent's loop.
_NO_EXIT = {
    a_loop_that_rests,
    within_a_coroutine,
    within_a_request,
    on_the_shared_thread,
    below_async_to_sync,
}


def main(state: str, child: str, times: str, url: str = "") -> None:
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
    statuses: list[int] = []
    program = Program(url)

    def forks() -> None:
        for number in range(int(times)):
            exits = bool(number % 2) and STATES[state] not in _NO_EXIT
            fork(program, CHILDREN[child], statuses, exits=exits)

    program.forks = forks
    STATES[state](program)
    program.codemode.close()
    print(*statuses)


if __name__ == "__main__":
    main(*sys.argv[1:])
