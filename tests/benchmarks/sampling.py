"""Take samples of several subjects by turns, so that a busy machine is so for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.figure import Series
from tests.benchmarks.processes import cpu_seconds

__all__ = ["Pace", "Subject", "alternate", "alternate_async"]

# Time for the pool to be full again and for the dead to be reaped.
_SETTLE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Say how many samples to take, in blocks, and how many seconds to pause after each."""

    samples: int
    block: int
    pause: float = 0.0

    @property
    def blocks(self) -> int:
        """Return the number of blocks."""
        return max(1, self.samples // self.block)


@dataclass(slots=True, kw_only=True)
class Subject[T]:
    """Be something to call again and again; ``server`` is the process that answers it."""

    call: Callable[[], T]
    server: int
    samples: list[float] = field(default_factory=list)
    client_cpu: float = 0.0
    server_cpu: float = 0.0

    def series(self, *, scale: float = 1e3) -> Series:
        """Sum up the samples; in milliseconds unless scaled otherwise."""
        return Series.of(self.samples, scale=scale)

    @property
    def client_cpu_ms(self) -> float:
        """Return the CPU time of this process per sample."""
        return self.client_cpu * 1e3 / len(self.samples)

    @property
    def server_cpu_ms(self) -> float:
        """Return the CPU time of the server's process tree per sample."""
        return self.server_cpu * 1e3 / len(self.samples)

    def count_cpu(self, sign: int) -> None:
        """Begin (-1) or end (+1) to count CPU time."""
        self.client_cpu += sign * time.process_time()
        self.server_cpu += sign * cpu_seconds(self.server)


async def alternate_async(subjects: Sequence[Subject[Awaitable[object]]], pace: Pace) -> None:
    """Sample each subject for a block, one after the other, until each has all its samples."""
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
    """Sample from a thread; otherwise as ``alternate_async``."""
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
