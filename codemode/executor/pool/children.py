"""The executor's side of one child: its life cycle and its exit."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from dataclasses import dataclass
from enum import Enum, auto

from codemode.executor.host.control_groups import Cgroup
from codemode.executor.pool.frame_stream import FrameStream
from codemode.executor.pool.raw_output import RawOutput

__all__ = ["Child", "ChildStartError", "ChildState", "Exit"]

_FAREWELL_SECONDS = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The exit of a child: its wait status, CPU seconds and peak memory in bytes.

    ``out_of_memory`` is True when the kernel killed the child because its
    control group was full.
    """

    status: int
    cpu_seconds: float
    max_rss_bytes: int
    out_of_memory: bool = False

    @property
    def signal(self) -> int | None:
        """Return the signal that killed the child, or None."""
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else None

    @property
    def code(self) -> int | None:
        """Return the exit status, or None when a signal killed the child."""
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None


class ChildState(Enum):
    """What this side has done with a child; whether it lives is known by ``exited``."""

    OPEN = auto()
    KILLED = auto()
    CLOSED = auto()  # killed, and its descriptors are closed


class Child:
    """One sandboxed child.

    ``ready`` is done when the child is locked down and its process is known;
    it fails with ChildStartError. ``exited`` is done when the process is reaped.
    """

    def __init__(self, number: int, max_frame_bytes: int, group: Cgroup | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.group = group
        self.pid = 0
        self.pidfd = -1
        self.born = time.monotonic()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[Exit | None] = loop.create_future()
        self.frames = FrameStream(max_frame_bytes, self._become_ready)
        self.state = ChildState.OPEN
        self.stale_calls = 0  # calls of runs that were already over
        self._loop = loop
        self._raw_output: RawOutput | None = None
        self._farewell: asyncio.TimerHandle | None = None

    async def attach(self, frame_socket: socket.socket, raw_fd: int) -> None:
        """Start reading from the frame socket and draining the raw output."""
        self._raw_output = RawOutput(raw_fd)
        frame_socket.setblocking(False)
        await self._loop.connect_accepted_socket(lambda: self.frames, frame_socket)
        self._raw_output.read()

    def set_process(self, pid: int, pidfd: int) -> None:
        """Record the process that the zygote has forked for this child."""
        self.pid, self.pidfd = pid, pidfd
        if self.state is ChildState.CLOSED:
            self.kill()
        self._become_ready()

    def _become_ready(self) -> None:
        # The zygote's report and the child's READY frame come on two sockets, in either order.
        if self.frames.ready_received and self.pid and not self.ready.done():
            self.ready.set_result(None)

    def cpu_seconds(self) -> float | None:
        """Return the CPU seconds that the child has used, or None once it is gone."""
        try:
            # The id of another process's CPU clock, as clock_getcpuclockid(3) makes it.
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            return None

    def max_rss_bytes(self) -> int | None:
        """Return the child's peak resident memory, or None once it is gone."""
        try:
            with open(f"/proc/{self.pid}/status", "rb") as file:
                for line in file:
                    if line.startswith(b"VmHWM:"):
                        return int(line.split()[1]) * 1024
        except (OSError, ValueError):
            pass
        return None

    def raw_output(self) -> str:
        """Return the end of what was written directly to file descriptors 1 and 2."""
        return self._raw_output.text() if self._raw_output is not None else ""

    def kill(self) -> None:
        """Kill the child at once; the zygote reaps it and kills what it left behind."""
        if self.state is ChildState.OPEN:
            self.state = ChildState.KILLED
        if self.pidfd >= 0 and not self.exited.done():
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass

    @property
    def closes_soon(self) -> bool:
        """Whether ``close_soon`` was called."""
        return self._farewell is not None

    def close_soon(self) -> None:
        """Close the child in 2 ms: a dying process takes CPU time that the client needs first."""
        if self._farewell is None:
            self._farewell = self._loop.call_later(_FAREWELL_SECONDS, self.close)

    def close(self) -> None:
        """Kill the child and close its frame socket and other descriptors."""
        self.state = ChildState.CLOSED
        if self._farewell is not None:
            self._farewell.cancel()
        self.kill()
        self.frames.close()
        if self._raw_output is not None:
            self._raw_output.close()

    def set_exited(self, exit: Exit | None) -> None:
        """Record the exit of the reaped process (None: it died with its zygote)."""
        if not self.exited.done():
            self.exited.set_result(exit)
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        if not self.ready.done():
            self.ready.set_exception(ChildStartError(self._start_failure(exit)))
            self.ready.exception()  # mark it as retrieved: nobody may be waiting

    def _start_failure(self, exit: Exit | None) -> str:
        output = self.raw_output().strip()
        how = "its zygote died" if exit is None else f"wait status {exit.status}"
        return f"a sandbox did not start ({how}){': ' + output if output else ''}"


class ChildStartError(RuntimeError):
    """The end of a child before it was ready; no code has run in it."""
