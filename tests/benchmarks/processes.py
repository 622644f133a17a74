"""CPU time, memory and descriptors of a process and its descendants."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Footprint", "cpu_seconds", "footprint", "leaves", "memory_of"]

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_REAPED = slice(13, 15)  # cutime and cstime, counted from the field after the command's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The number of processes in a tree, and the descriptors and RSS in bytes of its root."""

    processes: int
    fds: int
    rss: int


def cpu_seconds(root: int) -> float:
    """Return the CPU seconds that a process tree has used, including its dead processes."""
    total = 0.0
    for process in _tree(root):
        # A process that dies meanwhile is counted by its parent from then on.
        with suppress(OSError, psutil.NoSuchProcess):
            total += _own_and_reaped(process.pid)
    return total


def footprint(root: int) -> Footprint:
    """Return the current footprint of a process tree."""
    process = psutil.Process(root)
    return Footprint(
        processes=len(_tree(root)), fds=process.num_fds(), rss=process.memory_info().rss
    )


def leaves(root: int) -> list[int]:
    """Return the processes of the tree that have no children: the sandboxes of an executor."""
    parents = set()
    tree = _tree(root)
    for process in tree:
        with suppress(psutil.NoSuchProcess):
            parents.add(process.ppid())
    return [process.pid for process in tree if process.pid not in parents]


def memory_of(pid: int) -> tuple[int, int]:
    """Return the unique and the proportional set size in bytes. Raises psutil.AccessDenied."""
    info = psutil.Process(pid).memory_full_info()
    return info.uss, info.pss


def _tree(root: int) -> list[psutil.Process]:
    process = psutil.Process(root)
    return [process, *process.children(recursive=True)]


def _own_and_reaped(pid: int) -> float:
    # The id of the process's CPU clock, computed as clock_getcpuclockid(3) does. The clock is
    # finer than /proc, which counts in ticks.
    own = time.clock_gettime((~pid << 3) | 2)
    stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    fields = stat.rpartition(")")[2].split()
    return own + sum(map(int, fields[_REAPED])) * _TICK
