"""Growth: memory, descriptors and processes left behind by thousands of runs in a row."""

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
# Megabytes that an allocator may keep. With 10,000 runs, a leak of 1 kB a run exceeds this.
_LITTLE = Target(statistic="p50", most=8)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run 10,000 times (500 if ``quick``), half asynchronously and half synchronously."""
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
        if who == "executor":  # the client has no processes but the executor's
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
    """Return the executor's footprint once it is at rest, after ``_SETTLE_SECONDS`` at most."""
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
