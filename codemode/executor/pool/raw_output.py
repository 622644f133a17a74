"""The end of what a child writes directly to its file descriptors 1 and 2."""

from __future__ import annotations

import asyncio
import os

from codemode.executor.pool.frame_allowance import Allowance

__all__ = ["RawOutput"]

_KEPT_BYTES = 64 * 1024


class RawOutput:
    """The reading end of a child's pipe, of whose data the end is kept."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._allowance = Allowance()
        self._pause: asyncio.TimerHandle | None = None
        self._kept = bytearray()

    def read(self) -> None:
        """Read from now on, unless the pipe is closed."""
        self._pause = None
        self._allowance.go_on()
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._readable)

    def text(self) -> str:
        """Return what is kept, with what the pipe holds now."""
        if self._fd >= 0:
            self._drain()
        return self._kept.decode("utf-8", "replace")

    def close(self) -> None:
        """Close the pipe. Idempotent."""
        if self._pause is not None:
            self._pause.cancel()
            self._allowance.go_on()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _readable(self) -> None:
        # Drained once, and again only after a pause: a child may write without end.
        self._loop.remove_reader(self._fd)
        if self._drain():
            self._pause = self._loop.call_later(self._allowance.pause(), self.read)

    def _drain(self) -> bool:
        """Drain the pipe and keep the end of its data; return False once it has no writers."""
        for _ in range(2):  # twice what the pipe can hold
            try:
                data = os.read(self._fd, 65536)
            except (BlockingIOError, InterruptedError):
                return True
            if not data:
                return False
            self._kept += data
            del self._kept[:-_KEPT_BYTES]
        return True
