"""A trivial execution, from the client's call to its result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator

from tests.benchmarks.bare import async_bare, bare_server, sync_bare
from tests.benchmarks.figure import Figure, Series, Target
from tests.benchmarks.floors import bare_forks
from tests.benchmarks.sampling import Pace, Subject, alternate, alternate_async
from tests.benchmarks.subjects import TRIVIAL, async_codemode, executor_pid, sync_codemode

__all__ = ["measure"]

_GROUP = "trivial"
_FLOOR = "bare stream"
_TARGETS = (Target(statistic="p50", most=2), Target(statistic="p95", most=5))
_MOST_CPU = Target(statistic="p50", most=6)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure at a pace that keeps the pool warm, and back to back."""
    blocks = 2 if quick else 8
    paces = {
        "warm pool": Pace(samples=blocks * 50, block=50, pause=0.02),
        "back to back": Pace(samples=blocks * 50, block=50),
    }
    forks = bare_forks(100 if quick else 400)
    for name, pace in paces.items():
        targets = _TARGETS if pace.pause else ()
        bare, ours = asyncio.run(_async_half(pace))
        yield _figure(f"trivial run, async half, {name}", bare, ours, targets)
        if pace.pause:
            yield Figure(
                group=_GROUP,
                name="executor CPU per trivial run",
                unit="ms",
                series=Series.of([ours.server_cpu_ms]),
                floor=Series.of([bare.server_cpu_ms + forks.cpu_ms]),
                floor_of="bare stream's server + bare fork",
                targets=(_MOST_CPU,),
            )
        yield _figure(f"trivial run, sync half, {name}", *_sync_half(pace), targets)
    yield Figure(
        group=_GROUP,
        name="bare fork, for comparison",
        unit="ms",
        series=forks.milliseconds,
        executor_cpu_ms=forks.cpu_ms,
    )


async def _async_half(
    pace: Pace,
) -> tuple[Subject[Awaitable[object]], Subject[Awaitable[object]]]:
    with bare_server() as server:
        async with async_bare(server) as bare, async_codemode() as codemode:
            floor: Subject[Awaitable[object]] = Subject(call=bare.stream, server=server.pid)
            ours: Subject[Awaitable[object]] = Subject(
                call=lambda: codemode.run_async(TRIVIAL), server=executor_pid(codemode)
            )
            await alternate_async((floor, ours), pace)
    return floor, ours


def _sync_half(pace: Pace) -> tuple[Subject[object], Subject[object]]:
    with bare_server() as server, sync_bare(server) as bare, sync_codemode() as codemode:
        floor: Subject[object] = Subject(call=bare.stream, server=server.pid)
        ours: Subject[object] = Subject(
            call=lambda: codemode.run(TRIVIAL), server=executor_pid(codemode)
        )
        alternate((floor, ours), pace)
    return floor, ours


def _figure[T](
    name: str, floor: Subject[T], ours: Subject[T], targets: tuple[Target, ...]
) -> Figure:
    return Figure(
        group=_GROUP,
        name=name,
        unit="ms",
        series=ours.series(),
        floor=floor.series(),
        floor_of=_FLOOR,
        targets=targets,
        client_cpu_ms=ours.client_cpu_ms,
        executor_cpu_ms=ours.server_cpu_ms,
    )
