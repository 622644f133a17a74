"""The memory of an idle warm sandbox among 32 that wait."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.benchmarks.figure import Figure, Series, Target
from tests.benchmarks.floors import idle_children
from tests.benchmarks.processes import leaves, memory_of

__all__ = ["measure"]

_GROUP = "memory"
_WARM = 32
_START_SECONDS = 30.0
_MB = 1e-6
_MOST = {"USS": Target(statistic="p50", most=2), "PSS": Target(statistic="p50", most=3)}


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure each of 32 warm sandboxes; ``quick`` has no effect."""
    with idle_children(_WARM) as pids:
        floors = [memory_of(pid) for pid in pids]
    with _warm_sandboxes() as pids:
        try:
            ours = [memory_of(pid) for pid in pids]
        except psutil.AccessDenied:
            print("memory: only root may look into a sandbox; left out", file=sys.stderr)
            return
    for index, (name, target) in enumerate(_MOST.items()):
        yield Figure(
            group=_GROUP,
            name=f"{name} of an idle sandbox, {_WARM} warm",
            unit="MB",
            series=Series.of([memory[index] for memory in ours], scale=_MB),
            floor=Series.of([memory[index] for memory in floors], scale=_MB),
            floor_of=f"{name} of a forked bare Python, {_WARM} of them",
            targets=(target,),
        )


@contextmanager
def _warm_sandboxes() -> Iterator[list[int]]:
    """Yield the process ids of an executor's sandboxes once all of them are warm."""
    ready, ready_write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, "-m", "codemode.executor", "--listen", f"unix:{folder}/socket"]
        command += ["--pool-size", str(_WARM), "--max-concurrency", str(_WARM)]
        command += ["--ready-fd", str(ready_write), "--log-level", "WARNING"]
        with (
            os.fdopen(ready, "rb") as ready_pipe,
            subprocess.Popen(command, pass_fds=(ready_write,)) as process,
        ):
            os.close(ready_write)
            try:
                if ready_pipe.read() != b"ready":
                    raise RuntimeError("the executor did not start")
                yield _wait_until_warm(process.pid)
            finally:
                process.terminate()


def _wait_until_warm(executor: int) -> list[int]:
    deadline = time.monotonic() + _START_SECONDS
    while len(pids := leaves(executor)) < _WARM:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {len(pids)} of {_WARM} sandboxes became warm")
        time.sleep(0.05)
    time.sleep(0.5)  # the last sandbox may not have reached its first read yet
    return pids
