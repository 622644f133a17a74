"""Tool calls inside a run: one after the other, and many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator

from tests.benchmarks.bare import async_bare, bare_server, sync_bare
from tests.benchmarks.figure import Figure, Series, Target
from tests.benchmarks.sampling import Pace, Subject, alternate, alternate_async
from tests.benchmarks.subjects import (
    TOOL_SECONDS,
    async_codemode,
    executor_pid,
    sync_codemode,
)

__all__ = ["measure"]

_GROUP = "tools"
_CALLS = 200
_AT_ONCE = 50
_LOOP = f"for number in range({_CALLS}): add(a=number, b=1)"
_GATHER = f"""
import asyncio, time
began = time.perf_counter()
answers = await asyncio.gather(*(nap(number=number) for number in range({_AT_ONCE})))
assert answers == list(range({_AT_ONCE}))
(time.perf_counter() - began) * 1000
"""
_MOST_PER_CALL = Target(statistic="p50", most=0.45)
_MOST_GATHER = Target(statistic="p50", most=20)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure both kinds of tools in both halves."""
    pace = Pace(samples=5 if quick else 30, block=5)
    round_trips, calls, bare_gather, gather, inside = asyncio.run(_async_half(pace))
    # Both halves use the same floor of a gather: the bare client for threads has no gather.
    gather_floor = bare_gather.series()
    yield _calls("async", round_trips, calls)
    yield from _gathers("async", gather_floor, gather, inside)
    sync_round_trips, sync_calls, sync_gather, inside = _sync_half(pace)
    yield _calls("sync", sync_round_trips, sync_calls)
    yield from _gathers("sync", gather_floor, sync_gather, inside)


def _calls[T](half: str, floor: Subject[T], ours: Subject[T]) -> Figure:
    return Figure(
        group=_GROUP,
        name=f"sync tool call, {half} half (run of {_CALLS}, divided)",
        unit="ms",
        series=ours.series(scale=1e3 / _CALLS),
        floor=floor.series(scale=1e3 / _CALLS),
        floor_of="bare message there and back",
        targets=(_MOST_PER_CALL,),
        client_cpu_ms=ours.client_cpu_ms / _CALLS,
        executor_cpu_ms=ours.server_cpu_ms / _CALLS,
    )


def _gathers[T](
    half: str, floor: Series, ours: Subject[T], inside: list[float]
) -> Iterator[Figure]:
    yield Figure(
        group=_GROUP,
        name=f"run that gathers {_AT_ONCE} async tools of 10 ms, {half} half",
        unit="ms",
        series=ours.series(),
        floor=floor,
        floor_of="bare stream called back as often",
        targets=(_MOST_GATHER,),
        client_cpu_ms=ours.client_cpu_ms,
        executor_cpu_ms=ours.server_cpu_ms,
    )
    yield Figure(
        group=_GROUP,
        name=f"its gather alone, by the code's own clock, {half} half",
        unit="ms",
        series=Series.of(inside),
        floor=floor,
        floor_of="bare stream called back as often",
    )


async def _async_half(
    pace: Pace,
) -> tuple[
    Subject[Awaitable[object]],
    Subject[Awaitable[object]],
    Subject[Awaitable[object]],
    Subject[Awaitable[object]],
    list[float],
]:
    inside: list[float] = []
    with bare_server() as server:
        async with async_bare(server) as bare, async_codemode() as codemode:

            async def run_gather() -> None:
                inside.append(float(await codemode.execute_async(_GATHER)))

            pid = executor_pid(codemode)
            round_trips = Subject[Awaitable[object]](
                call=lambda: bare.round_trips(_CALLS), server=server.pid
            )
            calls = Subject[Awaitable[object]](
                call=lambda: codemode.execute_async(_LOOP), server=pid
            )
            bare_gather = Subject[Awaitable[object]](
                call=lambda: bare.gather(_AT_ONCE, TOOL_SECONDS), server=server.pid
            )
            gather = Subject[Awaitable[object]](call=run_gather, server=pid)
            await alternate_async((round_trips, calls, bare_gather, gather), pace)
    return round_trips, calls, bare_gather, gather, inside


def _sync_half(
    pace: Pace,
) -> tuple[Subject[object], Subject[object], Subject[object], list[float]]:
    inside: list[float] = []
    with bare_server() as server, sync_bare(server) as bare, sync_codemode() as codemode:

        def run_gather() -> None:
            inside.append(float(codemode.execute(_GATHER)))

        pid = executor_pid(codemode)
        round_trips = Subject[object](call=lambda: bare.round_trips(_CALLS), server=server.pid)
        calls = Subject[object](call=lambda: codemode.execute(_LOOP), server=pid)
        gather = Subject[object](call=run_gather, server=pid)
        alternate((round_trips, calls, gather), pace)
    return round_trips, calls, gather, inside
