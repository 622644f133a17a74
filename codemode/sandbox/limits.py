"""The process's own resource limits, lowered before any code of the user runs."""

from __future__ import annotations

import math
import resource
from collections.abc import Mapping
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

    ``limits`` has ``memory_bytes``, ``cpu_seconds``, ``open_files`` and
    ``disk_bytes``. ``raw_memory_base`` is the address space in bytes that the
    process had before the run; None reads it from /proc.
    """
    base = _address_space_bytes() if raw_memory_base is None else raw_memory_base
    memory = base + int(limits["memory_bytes"])
    _lower(_RLIMIT_AS, memory, memory + SPARE_BYTES)
    cpu = max(1, math.ceil(limits["cpu_seconds"]))
    _lower(resource.RLIMIT_CPU, cpu, cpu)
    _lower(resource.RLIMIT_NOFILE, int(limits["open_files"]))
    _lower(resource.RLIMIT_FSIZE, int(limits["disk_bytes"]))
    _lower(resource.RLIMIT_CORE, 0)
    return MemoryReserve()


class MemoryReserve:
    """Keep what is needed to report that memory has run out.

    Between the soft and the hard limit lies a spare part, which only the report
    may use.
    """

    def __init__(self) -> None:
        self._limits = _getrlimit(_RLIMIT_AS)
        self._held: bytearray | None = bytearray(RESERVE_BYTES)

    def release(self) -> None:
        """Make room for the report."""
        self._held = None
        _setrlimit(_RLIMIT_AS, (self._limits[1], self._limits[1]))

    def restore(self) -> None:
        """Take the room back for the next run of the session, as far as there is any."""
        try:
            self._held = bytearray(RESERVE_BYTES)
        except MemoryError:
            self._held = None
        _setrlimit(_RLIMIT_AS, self._limits)


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    _, ceiling = _getrlimit(kind)
    hard = soft if hard is None else hard
    if ceiling != resource.RLIM_INFINITY:
        hard = min(hard, ceiling)
    _setrlimit(kind, (min(soft, hard), hard))


def _address_space_bytes() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[0]
    return int(pages) * resource.getpagesize()
