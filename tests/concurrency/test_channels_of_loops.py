"""Hundreds of loops and threads begin and end, and what they used is released with them."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from asgiref.sync import async_to_sync

from codemode import Codemode
from tests.support.marks import deep_except
from tests.support.processes import open_descriptors, wait_until

Once = Callable[[Codemode], None]


def plain_thread(codemode: Codemode) -> None:
    thread = threading.Thread(target=codemode.execute, args=("echo(1)",))
    thread.start()
    thread.join()


def loop_after_loop(codemode: Codemode) -> None:
    assert asyncio.run(codemode.execute_async("echo(1)")) == "1"


def loops_in_threads(codemode: Codemode) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(lambda _: asyncio.run(_twice(codemode)), range(3))) == {"1"}


def by_async_to_sync(codemode: Codemode) -> None:
    assert async_to_sync(codemode.execute_async)("await aecho(1)") == "1"


def async_tool_of_a_thread(codemode: Codemode) -> None:
    """Execute in a way that gives each execution an event loop of its own."""
    assert codemode.execute("await aecho(1)") == "1"


def inside_a_loop(codemode: Codemode) -> None:
    async def main() -> str:
        return codemode.execute("await aecho(1)")

    assert asyncio.run(main()) == "1"


def nested_in_both_halves(codemode: Codemode) -> None:
    assert codemode.execute("await anest()") == "1"
    assert asyncio.run(codemode.execute_async("nest()")) == "1"


async def _twice(codemode: Codemode) -> str:
    await codemode.execute_async("echo(1)")
    return await codemode.execute_async("await aecho(1)")


@pytest.mark.filterwarnings("ignore:execute.. was called inside a running:RuntimeWarning")
@pytest.mark.parametrize(
    "once",
    deep_except(
        [
            plain_thread,
            loop_after_loop,
            loops_in_threads,
            by_async_to_sync,
            async_tool_of_a_thread,
            inside_a_loop,
            nested_in_both_halves,
        ],
        loops_in_threads,
        nested_in_both_halves,
    ),
)
def test_loops_and_threads_leave_no_channel_descriptor_or_thread(
    codemode: Codemode, once: Once
) -> None:
    async def aecho(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async def anest() -> str:
        return await codemode.execute_async("await aecho(1)")

    codemode.registry.register_tool("echo", lambda n: n)
    codemode.registry.register_tool("aecho", aecho)
    codemode.registry.register_tool("anest", anest)
    codemode.registry.register_tool("nest", lambda: codemode.execute("await aecho(1)"))
    channels = codemode.client._connection._channels
    assert channels is not None

    for _ in range(3):
        once(codemode)
    gc.collect()
    threads, descriptors = psutil.Process().num_threads(), open_descriptors(os.getpid())
    for _ in range(25):
        once(codemode)
    assert len([loop for loop in channels._by_loop if loop.is_closed()]) <= 3
    loop_after_loop(codemode)  # this drops the channels of closed loops
    assert [loop.is_closed() for loop in channels._by_loop] == [True]

    def nothing_grew() -> bool:
        gc.collect()
        # gRPC's own pool varies by a few threads.
        return (
            open_descriptors(os.getpid()) <= descriptors + 6
            and psutil.Process().num_threads() <= threads + 6
        )

    assert wait_until(nothing_grew), (descriptors, threads)
