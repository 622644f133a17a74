"""Fairness: a single execution, and the executor's memory, during another tenant's flood."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

from codemode import Codemode, ExecutorBusyError, RuntimeContext
from tests.benchmarks.figure import Figure, Series, Target
from tests.benchmarks.processes import footprint
from tests.benchmarks.subjects import async_codemode, executor_pid

__all__ = ["measure"]

_GROUP = "fairness"
_WORK = "import time\ntime.sleep(0.02)"
_FLOOD = 1000
_MB = 1e-6
_LARGE = 1024 * 1024
_NO_STARVATION = Target(statistic="max", most=2000)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure a single execution of 20 ms: alone, beside a flood, and at the flood's end."""
    return iter(asyncio.run(_measure(3 if quick else 30)))


async def _measure(samples: int) -> list[Figure]:
    async with async_codemode(fairness_key=_tenant_of) as codemode:
        info = await codemode.client.info_async()
        outstanding = _FLOOD + info.max_concurrency
        idle = footprint(executor_pid(codemode)).rss
        alone = Series.of(await _singles(codemode, "single", samples), scale=1e3)
        async with _flood(codemode, outstanding):
            beside = await _singles(codemode, "single", samples)
            waiting = footprint(executor_pid(codemode)).rss
            # More samples would take minutes: each waits for the whole queue.
            behind = await _singles(codemode, "flood", 3)
        async with _flood(codemode, outstanding, inputs={"data": b"x" * _LARGE}):
            await asyncio.sleep(2)
            large = footprint(executor_pid(codemode)).rss
    floor_of = "alone"
    memory = (("1,000 executions wait", waiting), ("1,000 with 1 MiB of inputs each come", large))
    return [
        Figure(group=_GROUP, name="single execution of 20 ms, alone", unit="ms", series=alone),
        Figure(
            group=_GROUP,
            name="beside 1,000 queued ones of another tenant",
            unit="ms",
            series=Series.of(beside, scale=1e3),
            floor=alone,
            floor_of=floor_of,
            targets=(_NO_STARVATION,),
        ),
        Figure(
            group=_GROUP,
            name="behind 1,000 queued ones of its own tenant",
            unit="ms",
            series=Series.of(behind, scale=1e3),
            floor=alone,
            floor_of=floor_of,
        ),
        *(
            Figure(
                group=_GROUP,
                name=f"growth of the executor's RSS while {what}",
                unit="MB",
                series=Series.of([(rss - idle) * _MB]),
            )
            for what, rss in memory
        ),
    ]


async def _singles(codemode: Codemode, tenant: str, count: int) -> list[float]:
    """Run ``count`` executions one after the other; return the seconds of each."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        with codemode.registry.context(tenant=tenant):
            await codemode.execute_async(_WORK)
        taken.append(time.perf_counter() - began)
    return taken


@contextlib.asynccontextmanager
async def _flood(
    codemode: Codemode, outstanding: int, inputs: dict[str, bytes] | None = None
) -> AsyncIterator[None]:
    """Keep ``outstanding`` executions of one tenant running or queued until the block ends."""

    async def again_and_again() -> None:
        while True:
            try:
                await codemode.run_async(_WORK, inputs=inputs)
            except ExecutorBusyError as error:
                await asyncio.sleep(error.retry_after)

    with codemode.registry.context(tenant="flood"):
        tasks = [asyncio.create_task(again_and_again()) for _ in range(outstanding)]
    await asyncio.sleep(1)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tenant_of(context: RuntimeContext | None) -> str:
    return str(context.get("tenant")) if context is not None else ""
