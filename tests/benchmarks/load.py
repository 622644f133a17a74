"""Load: rate and latency of many executions at once, and the lag of the caller's loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from tests.benchmarks.bare import async_bare, bare_server
from tests.benchmarks.figure import Figure, Series, Target
from tests.benchmarks.processes import cpu_seconds
from tests.benchmarks.subjects import TRIVIAL, async_codemode, executor_pid, sync_codemode

__all__ = ["measure"]

_GROUP = "load"
_AT_ONCE = 32
_TICK = 0.001
_WARM_UP = 0.5
_LEAST_PER_SECOND = Target(statistic="p50", least=250)
_MOST_LAG = Target(statistic="max", most=20)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure 32 executions at once, with tasks and with threads."""
    seconds = 1.0 if quick else 5.0
    bare, ours = asyncio.run(_async_half(seconds))
    floor_of = f"bare streams, {_AT_ONCE} at once"
    yield _rate("async", ours, bare, (_LEAST_PER_SECOND,))
    yield Figure(
        group=_GROUP,
        name=f"each of {_AT_ONCE} at once, async half",
        unit="ms",
        series=Series.of(ours.latencies, scale=1e3),
        floor=Series.of(bare.latencies, scale=1e3),
        floor_of=floor_of,
    )
    yield Figure(
        group=_GROUP,
        name=f"lag of the caller's loop, {_AT_ONCE} at once",
        unit="ms",
        series=Series.of(ours.lags, scale=1e3),
        floor=Series.of(bare.lags, scale=1e3),
        floor_of=floor_of,
        targets=(_MOST_LAG,),
    )
    yield _rate("sync", _sync_half(seconds), bare, ())


@dataclass(slots=True, kw_only=True)
class _Load:
    """The measurements taken under load."""

    seconds: float
    server: int
    began: float = 0.0
    ends: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    client_cpu: float = 0.0
    server_cpu: float = 0.0

    def begin(self) -> None:
        self.ends.clear()
        self.latencies.clear()
        self.lags.clear()
        self.client_cpu = -time.process_time()
        self.server_cpu = -cpu_seconds(self.server)
        self.began = time.perf_counter()

    def end(self) -> None:
        self.client_cpu += time.process_time()
        self.server_cpu += cpu_seconds(self.server)

    @property
    def over(self) -> bool:
        return bool(self.began) and time.perf_counter() - self.began > self.seconds

    def note(self, began: float) -> None:
        now = time.perf_counter()
        self.ends.append(now)
        self.latencies.append(now - began)

    def per_second(self) -> Series:
        """Return the executions per second in each slice of half a second."""
        slices = [0] * max(1, round(self.seconds / 0.5))
        for end in self.ends:
            number = int((end - self.began) / 0.5)
            if number < len(slices):
                slices[number] += 1
        return Series.of(slices, scale=2)


def _rate(half: str, ours: _Load, bare: _Load, targets: tuple[Target, ...]) -> Figure:
    return Figure(
        group=_GROUP,
        name=f"trivial runs a second, {_AT_ONCE} at once, {half} half",
        unit="/s",
        series=ours.per_second(),
        floor=bare.per_second(),
        floor_of=f"bare streams, {_AT_ONCE} at once",
        targets=targets,
        client_cpu_ms=ours.client_cpu * 1e3 / len(ours.ends),
        executor_cpu_ms=ours.server_cpu * 1e3 / len(ours.ends),
    )


async def _async_half(seconds: float) -> tuple[_Load, _Load]:
    with bare_server() as server:
        async with async_bare(server) as bare, async_codemode() as codemode:
            floor = _Load(seconds=seconds, server=server.pid)
            ours = _Load(seconds=seconds, server=executor_pid(codemode))
            await _tasks(floor, bare.stream)
            await _tasks(ours, lambda: codemode.run_async(TRIVIAL))
    return floor, ours


async def _tasks(load: _Load, call: Callable[[], Awaitable[object]]) -> None:
    async def work() -> None:
        while not load.over:
            began = time.perf_counter()
            await call()
            load.note(began)

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK)
            load.lags.append(time.perf_counter() - began - _TICK)

    ticker = asyncio.create_task(tick())
    async with asyncio.TaskGroup() as workers:
        for _ in range(_AT_ONCE):
            workers.create_task(work())
        await asyncio.sleep(_WARM_UP)
        load.begin()
    load.end()
    ticker.cancel()


def _sync_half(seconds: float) -> _Load:
    with sync_codemode() as codemode:
        load = _Load(seconds=seconds, server=executor_pid(codemode))

        def work() -> None:
            while not load.over:
                began = time.perf_counter()
                codemode.run(TRIVIAL)
                load.note(began)

        threads = [threading.Thread(target=work) for _ in range(_AT_ONCE)]
        for thread in threads:
            thread.start()
        time.sleep(_WARM_UP)
        load.begin()
        for thread in threads:
            thread.join()
        load.end()
    return load
