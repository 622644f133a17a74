"""Samples of several subjects, taken in turns, so that a busy machine affects all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.figure import Series
from tests.benchmarks.processes import cpu_seconds

__all__ = ["Pace", "Subject", "alternate", "alternate_async"]

# Time for the pool to refill and for dead children to be reaped.
_SETTLE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The number of samples, the size of a block, and the pause in seconds after each sample."""

    samples: int
    block: int
    pause: float = 0.0

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return max(1, self.samples // self.block)


@dataclass(slots=True, kw_only=True)
class Subject[T]:
    """A callable to sample; ``server`` is the id of the process that answers the calls."""

    call: Callable[[], T]
    server: int
    samples: list[float] = field(default_factory=list)
    client_cpu: float = 0.0
    server_cpu: float = 0.0

    def series(self, *, scale: float = 1e3) -> Series:
        """Return the statistics of the samples, in milliseconds unless scaled otherwise."""
        return Series.of(self.samples, scale=scale)

    @property
    def client_cpu_ms(self) -> float:
        """The CPU time of this process per sample."""
        return self.client_cpu * 1e3 / len(self.samples)

    @property
    def server_cpu_ms(self) -> float:
        """The CPU time of the server's process tree per sample."""
        return self.server_cpu * 1e3 / len(self.samples)

    def count_cpu(self, sign: int) -> None:
        """Begin (``sign`` -1) or end (+1) the counting of CPU time."""
        self.client_cpu += sign * time.process_time()
        self.server_cpu += sign * cpu_seconds(self.server)


async def alternate_async(subjects: Sequence[Subject[Awaitable[object]]], pace: Pace) -> None:
    """Sample each subject for a block, in turns, until each has all its samples."""
    for _ in range(pace.blocks):
        for subject in subjects:
            await asyncio.sleep(_SETTLE)
            subject.count_cpu(-1)
            for _ in range(pace.block):
                began = time.perf_counter()
                await subject.call()
                subject.samples.append(time.perf_counter() - began)
                if pace.pause:
                    await asyncio.sleep(pace.pause)
            await asyncio.sleep(_SETTLE)
            subject.count_cpu(+1)


def alternate(subjects: Sequence[Subject[object]], pace: Pace) -> None:
    """Do the same as ``alternate_async``, from a thread."""
    for _ in range(pace.blocks):
        for subject in subjects:
            time.sleep(_SETTLE)
            subject.count_cpu(-1)
            for _ in range(pace.block):
                began = time.perf_counter()
                subject.call()
                subject.samples.append(time.perf_counter() - began)
                if pace.pause:
                    time.sleep(pace.pause)
            time.sleep(_SETTLE)
            subject.count_cpu(+1)
