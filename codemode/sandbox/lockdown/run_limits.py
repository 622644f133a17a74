"""The resource limits of the process, lowered before any executed code runs."""

from __future__ import annotations

import math
import mmap
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["MemoryReserve", "lower"]

SPARE_BYTES = 32 * 1024 * 1024
"""The room between the memory limit of the code and that of the process, for the report."""

RESERVE_BYTES = 4 * 1024 * 1024
"""Address space that is released first; it is never touched, so it costs no memory."""

_getrlimit = resource.getrlimit
_setrlimit = resource.setrlimit
_RLIMIT_AS = resource.RLIMIT_AS


def lower(limits: Mapping[str, Any], *, raw_memory_base: int | None = None) -> MemoryReserve:
    """Lower the limits of this process to those of the run; never raise a limit.

    ``limits`` has ``memory_bytes``, ``cpu_seconds``, ``open_files``,
    ``disk_bytes`` and ``threads`` (None where threads cannot be counted).
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
    """Address space held back to report that memory has run out.

    The difference between the soft and the hard limit is spare for the report.
    A session that has used the spare keeps it, so that its next run can begin
    and free memory.
    """

    def __init__(self) -> None:
        hard = _getrlimit(_RLIMIT_AS)[1]
        self._spare_too = (hard, hard)
        self._held: mmap.mmap | None = mmap.mmap(-1, RESERVE_BYTES)

    def guard[**P, T](self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function; if it runs out of memory, make room before anything else."""
        # This function must stay this short. An exception in a handler beyond the 256th
        # instruction needs a new int object. Without memory for that object CPython (3.12, 3.13)
        # retries for ever.
        if self._held is None:
            self._hold()
        try:
            return function(*args, **kwargs)
        except MemoryError:
            self._held = None
            _setrlimit(_RLIMIT_AS, self._spare_too)
            raise

    def _hold(self) -> None:
        """Hold the reserve again, if a session that ran out of memory has room for it now."""
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
