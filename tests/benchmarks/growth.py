"""Thousands of runs in a row: what is left behind of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator

from codemode import Codemode
from tests.benchmarks.figure import Figure, Series, Target
from tests.benchmarks.processes import Footprint, footprint
from tests.benchmarks.subjects import TRIVIAL, executor_pid, sync_codemode

__all__ = ["measure"]

_GROUP = "growth"
_MB = 1e-6
_CODES = (TRIVIAL, "print(add(a=1, b=2))", "await nap(number=1)", "1 / 0")
_SETTLE_SECONDS = 15.0
_NONE = Target(statistic="p50", most=0)
# Megabytes that an allocator may keep; one kilobyte that each run leaves would be more.
_LITTLE = Target(statistic="p50", most=8)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run 10,000 times (500 when ``quick``), half of it by tasks, half by threads."""
    runs = 500 if quick else 10_000
    me = os.getpid()
    with sync_codemode() as codemode:
        executor = executor_pid(codemode)
        _run(codemode, max(200, runs // 10))
        before = _settled(executor), footprint(me)
        began = time.perf_counter()
        _run(codemode, runs)
        seconds = time.perf_counter() - began
        after = _settled(executor, before[0]), footprint(me)
    for index, who in enumerate(("executor", "client")):
        old, new = before[index], after[index]
        changes = {
            "descriptors": (new.fds - old.fds, "", _NONE),
            "RSS": ((new.rss - old.rss) * _MB, "MB", _LITTLE),
        }
        if who == "executor":  # whose processes are the client's only ones
            changes["processes"] = (new.processes - old.processes, "", _NONE)
        for what, (change, unit, target) in changes.items():
            yield Figure(
                group=_GROUP,
                name=f"growth of the {who}'s {what}, {runs:,} runs",
                unit=unit,
                series=Series.of([change]),
                targets=(target,),
            )
    yield Figure(
        group=_GROUP,
        name=f"{runs:,} runs in a row, each",
        unit="ms",
        series=Series.of([seconds * 1e3 / runs]),
    )


def _run(codemode: Codemode, count: int) -> None:
    asyncio.run(_by_tasks(codemode, count // 2))
    for number in range(count // 2):
        codemode.run(_CODES[number % len(_CODES)])


async def _by_tasks(codemode: Codemode, count: int) -> None:
    for number in range(count):
        await codemode.run_async(_CODES[number % len(_CODES)])


def _settled(executor: int, wanted: Footprint | None = None) -> Footprint:
    """Look at the executor when it is at rest again, at the latest after a while."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    seen = footprint(executor)
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = footprint(executor)
        same = now.processes == seen.processes and now.fds == seen.fds
        back = wanted is None or (now.processes <= wanted.processes and now.fds <= wanted.fds)
        if same and back:
            return now
        seen = now
    return seen
