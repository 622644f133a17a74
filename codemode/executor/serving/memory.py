"""The return of memory to the system after a flood of requests."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
from io import FileIO

__all__ = ["give_back_memory"]

logger = logging.getLogger("codemode.executor")

_SLACK_BYTES = 64 * 1024 * 1024
_WORTH_BYTES = 8 * 1024 * 1024
_SECONDS = 1.0
_MOST_SECONDS = 60.0


async def give_back_memory() -> None:
    """Make the C library return free memory, while this process is 64 MiB above its minimum.

    By itself glibc never returns free memory that lies between small blocks still
    in use: after a large request an executor would stay at its peak size. C
    libraries other than glibc are left alone.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        logger.info(
            "this C library has no malloc_trim(): memory is returned to the system when glibc "
            "chooses"
        )
        return
    # Kept open: memory must be returned even when no descriptor is free.
    with FileIO("/proc/self/statm") as statm:
        least = _resident_bytes(statm)
        pause = _SECONDS
        while True:
            await asyncio.sleep(pause)
            resident = _resident_bytes(statm)
            least = min(least, resident)
            if resident - least <= _SLACK_BYTES:
                pause = _SECONDS
                continue
            await asyncio.to_thread(trim, 0)
            worth = resident - _resident_bytes(statm) >= _WORTH_BYTES
            pause = _SECONDS if worth else min(2 * pause, _MOST_SECONDS)


def _resident_bytes(statm: FileIO) -> int:
    pages = os.pread(statm.fileno(), 256, 0).split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
