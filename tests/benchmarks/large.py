"""Large output and large results: the time that a megabyte adds to a trivial run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator

from codemode import Codemode
from tests.benchmarks.bare import async_bare, bare_server, sync_bare
from tests.benchmarks.figure import Figure, Series, Target
from tests.benchmarks.sampling import Pace, Subject, alternate, alternate_async
from tests.benchmarks.subjects import TRIVIAL, async_codemode, executor_pid, sync_codemode

__all__ = ["measure"]

_GROUP = "large"
_BYTES = 1_000_000
_TARGET = Target(statistic="p50", most=25)
_LINES = "1 MB of stdout in 10,000 lines"
_CODES = {
    "1 MB of stdout": f"print('x' * {_BYTES - 1})",
    _LINES: "for _ in range(10_000): print('x' * 99)",
    "1 MB result": f"'x' * {_BYTES}",
}


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure each kind of large output in both halves."""
    pace = Pace(samples=10 if quick else 50, block=5, pause=0.02)
    for half, by_name in (
        ("async", asyncio.run(_async_half(pace))),
        ("sync", _sync_half(pace)),
    ):
        floor = _over(by_name["bare 1 MB"], by_name["bare"])
        for name in _CODES:
            yield Figure(
                group=_GROUP,
                name=f"{name} over trivial, {half} half",
                unit="ms",
                series=_over(by_name[name], by_name["trivial"]),
                floor=floor,
                floor_of="1 MB over one byte, bare stream",
                # No target: the cost of 10,000 calls of print is not a matter of size alone.
                targets=() if name == _LINES else (_TARGET,),
            )


def _over(large: list[float], small: list[float]) -> Series:
    base = Series.of(small).p50
    return Series.of([sample - base for sample in large], scale=1e3)


async def _async_half(pace: Pace) -> dict[str, list[float]]:
    with bare_server() as server:
        async with async_bare(server) as bare, async_codemode() as codemode:
            pid = executor_pid(codemode)

            def run(code: str) -> Subject[Awaitable[object]]:
                return Subject(call=lambda: codemode.run_async(code), server=pid)

            subjects: dict[str, Subject[Awaitable[object]]] = {
                "bare": Subject(call=bare.stream, server=server.pid),
                "bare 1 MB": Subject(call=lambda: bare.stream(_BYTES), server=server.pid),
                "trivial": run(TRIVIAL),
            }
            subjects |= {name: run(code) for name, code in _CODES.items()}
            await _check(codemode)
            await alternate_async(list(subjects.values()), pace)
    return {name: subject.samples for name, subject in subjects.items()}


def _sync_half(pace: Pace) -> dict[str, list[float]]:
    with bare_server() as server, sync_bare(server) as bare, sync_codemode() as codemode:
        pid = executor_pid(codemode)

        def run(code: str) -> Subject[object]:
            return Subject(call=lambda: codemode.run(code), server=pid)

        subjects: dict[str, Subject[object]] = {
            "bare": Subject(call=bare.stream, server=server.pid),
            "bare 1 MB": Subject(call=lambda: bare.stream(_BYTES), server=server.pid),
            "trivial": run(TRIVIAL),
        }
        subjects |= {name: run(code) for name, code in _CODES.items()}
        alternate(list(subjects.values()), pace)
    return {name: subject.samples for name, subject in subjects.items()}


async def _check(codemode: Codemode) -> None:
    for name, code in _CODES.items():
        result = await codemode.run_async(code)
        if not result.ok or len(result.stdout or result.text) != _BYTES:
            raise RuntimeError(f"{name}: {result.status}, {len(result.stdout)} bytes of stdout")
