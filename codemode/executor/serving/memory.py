"""Memory that a flood of requests has needed, given back to the system when it is over."""

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
    """Have the C library give back what is free, while this process is 64 MiB above its least.

    By itself glibc keeps what a large request has left between small ones that
    are still in use, for ever: an executor would stay as large as it once was.
    Other C libraries than glibc are left to themselves.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        logger.info("this C library has no malloc_trim(): memory is given back as it likes")
        return
    # Kept open: there is memory to give back also when no descriptor is free.
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
