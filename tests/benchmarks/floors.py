"""Floors below every process: a bare fork, an idle forked child, a bare Python."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.benchmarks.figure import Series

__all__ = ["Forks", "bare_forks", "idle_children", "python_starts"]

_FORKS = """
import gc, json, os, resource, sys, time
gc.freeze()
samples = []
for _ in range(int(sys.argv[1])):
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    samples.append(time.perf_counter() - began)
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps([samples, sum(usage.ru_utime + usage.ru_stime for usage in used)]))
"""

_IDLE = """
import gc, os, signal, sys
gc.freeze()
pids = []
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        sys.stdin.buffer.read()
        os._exit(0)
    pids.append(pid)
print(*pids, flush=True)
for pid in pids:
    os.waitpid(pid, 0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forks:
    """The cost of a fork: milliseconds from the fork until reaped, and CPU milliseconds."""

    milliseconds: Series
    cpu_ms: float


def bare_forks(count: int) -> Forks:
    """Fork an idle Python ``count`` times; each child exits at once and is reaped."""
    printed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _FORKS, str(count)], check=True, capture_output=True
    ).stdout
    samples, cpu = json.loads(printed)
    return Forks(milliseconds=Series.of(samples, scale=1e3), cpu_ms=cpu * 1e3 / count)


@contextmanager
def idle_children(count: int) -> Iterator[list[int]]:
    """Yield the process ids of forked Pythons that wait for the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _IDLE, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield [int(pid) for pid in process.stdout.readline().split()]
        finally:
            process.stdin.close()


def python_starts(code: str, count: int) -> Series:
    """Run ``python -c code`` ``count`` times; return the milliseconds from start to end."""
    samples = []
    for _ in range(count):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        samples.append(time.perf_counter() - began)
    return Series.of(samples, scale=1e3)
