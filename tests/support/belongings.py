"""The processes, descriptors, threads and memory of a client and its executor."""

from __future__ import annotations

import gc
import os
import threading
from dataclasses import dataclass

import psutil

from tests.support.processes import (
    ExecutorProcess,
    descendants,
    open_descriptors,
    wait_until,
)

__all__ = ["Belongings", "belongings", "settled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """The processes, descriptors, threads and memory that a client and an executor hold."""

    processes: int
    descriptors: tuple[int, int]
    threads: tuple[int, int]
    memory: tuple[int, int]


def belongings(executor: ExecutorProcess) -> Belongings:
    gc.collect()
    pids = (os.getpid(), executor.pid)
    return Belongings(
        processes=len(descendants(executor.pid)),
        descriptors=(open_descriptors(pids[0]), open_descriptors(pids[1])),
        threads=(threading.active_count(), psutil.Process(pids[1]).num_threads()),
        memory=(
            psutil.Process(pids[0]).memory_info().rss,
            psutil.Process(pids[1]).memory_info().rss,
        ),
    )


def settled(executor: ExecutorProcess, before: Belongings, memory: int) -> bool:
    """Return whether both sides hold what they held before, within the normal variation."""

    def close() -> bool:
        now = belongings(executor)
        return (
            now.processes <= before.processes + 1
            and all(b <= a + 8 for a, b in zip(before.descriptors, now.descriptors, strict=True))
            # Pools start threads on demand: as many as there are overlapping calls.
            and all(b <= a + 16 for a, b in zip(before.threads, now.threads, strict=True))
            and all(b <= a + memory for a, b in zip(before.memory, now.memory, strict=True))
        )

    return wait_until(close)
