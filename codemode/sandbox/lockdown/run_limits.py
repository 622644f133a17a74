"""The process's own resource limits, lowered before any code of the user runs."""

from __future__ import annotations

import math
import mmap
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["MemoryReserve", "lower"]

SPARE_BYTES = 32 * 1024 * 1024
"""Between the memory limit of the code and that of the process, to report in."""

RESERVE_BYTES = 4 * 1024 * 1024
"""Address space that is given back first of all; it is never touched, so it costs no memory."""

_getrlimit = resource.getrlimit
_setrlimit = resource.setrlimit
_RLIMIT_AS = resource.RLIMIT_AS


def lower(limits: Mapping[str, Any], *, raw_memory_base: int | None = None) -> MemoryReserve:
    """Lower the limits of this process to those of the run, and never raise one.

    ``limits`` has ``memory_bytes``, ``cpu_seconds``, ``open_files``,
    ``disk_bytes`` and ``threads`` (None where they cannot be counted).
    ``raw_memory_base`` is the address space in bytes that the process had
    before the run; None reads it from /proc.
    """
    base = _address_space_bytes() if raw_memory_base is None else raw_memory_base
    memory = base + int(limits["memory_bytes"])
    _lower(_RLIMIT_AS, memory, memory + SPARE_BYTES)
    cpu = max(1, math.ceil(limits["cpu_seconds"]))
    _lower(resource.RLIMIT_CPU, cpu, cpu)
    _lower(resource.RLIMIT_NOFILE, int(limits["open_files"]))
    _lower(resource.RLIMIT_FSIZE, int(limits["disk_bytes"]))
    if limits["threads"] is not None:
        _lower(resource.RLIMIT_NPROC, int(limits["threads"]))
    _lower(resource.RLIMIT_CORE, 0)
    return MemoryReserve()


class MemoryReserve:
    """Keep what is needed to report that memory has run out.

    Between the soft and the hard limit lies a spare part for the report. A
    session keeps it from then on, so that its next run can begin and tidy up.
    """

    def __init__(self) -> None:
        hard = _getrlimit(_RLIMIT_AS)[1]
        self._spare_too = (hard, hard)
        self._held: mmap.mmap | None = mmap.mmap(-1, RESERVE_BYTES)

    def guard[**P, T](self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function; when it runs out of memory, make room before anything else."""
        # Must stay this short: an exception in a handler beyond the 256th instruction needs a new
        # int object, and where there is no memory for it CPython (3.12, 3.13) tries for ever.
        if self._held is None:
            self._hold()
        try:
            return function(*args, **kwargs)
        except MemoryError:
            self._held = None
            _setrlimit(_RLIMIT_AS, self._spare_too)
            raise

    def _hold(self) -> None:
        """Hold the reserve again, where a session that ran out of memory has room for it."""
        try:
            mmap.mmap(-1, 3 * RESERVE_BYTES).close()
            self._held = mmap.mmap(-1, RESERVE_BYTES)
        except OSError:
            self._held = None


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    _, ceiling = _getrlimit(kind)
    hard = soft if hard is None else hard
    if ceiling != resource.RLIM_INFINITY:
        hard = min(hard, ceiling)
    _setrlimit(kind, (min(soft, hard), hard))


def _address_space_bytes() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[0]
    return int(pages) * resource.getpagesize()
