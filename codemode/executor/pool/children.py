"""The executor's side of one child: its frames, its life cycle and its exit."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from codemode.executor.host.control_groups import Cgroup
from codemode.executor.pool.frame_allowance import Allowance
from codemode.wire.frames import HEADER, LENGTH, Frame, pack

__all__ = ["Child", "ChildStartError", "Exit", "ReceivedFrame"]

_HIGH_WATER = 1024 * 1024
_RAW_OUTPUT_KEPT = 64 * 1024
_FRAME_SLACK = 64 * 1024
_FAREWELL_SECONDS = 0.002
_PROGRESS_COST = 20  # in frames: each goes to the client; honest code sends 20 a second

_KINDS = {int(kind): kind for kind in Frame if kind >= Frame.READY}
# The largest body of each kind that carries no value: what the guest sends, plus some room.
_MOST_BYTES = {
    Frame.READY: 0,
    Frame.TAKEN: 0,
    Frame.STDOUT: 64 * 1024,
    Frame.STDERR: 64 * 1024,
    Frame.CANCEL_CALL: 0,
    Frame.PROGRESS: 8 * 1024,
    Frame.FAILED: 256 * 1024,
}


class ReceivedFrame(NamedTuple):
    """One frame of a child, with its header checked and its body unread."""

    kind: Frame
    run: int
    call: int
    body: bytes


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


class Child(asyncio.Protocol):
    """One sandboxed child.

    ``frames()`` returns what the child sends, with back-pressure: the child
    blocks in its own write while nobody takes its frames, and when it sends
    more than its allowance. Every byte is treated as hostile: a frame that is
    too long or of an unknown kind closes the frame socket, and ``violation``
    describes it.
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
        self.violation: str | None = None
        self.closed = False
        self.killed = False
        self.max_frame_bytes = max_frame_bytes
        self.stale_calls = 0  # calls of runs that were already over
        self._loop = loop
        self._ready_received = False
        self._buffer = bytearray()
        self._frames: deque[ReceivedFrame] = deque()
        self._queued_bytes = 0
        self._full = False
        self._allowance = Allowance()
        self._pause: asyncio.TimerHandle | None = None
        self._raw_allowance = Allowance()
        self._raw_pause: asyncio.TimerHandle | None = None
        self._farewell: asyncio.TimerHandle | None = None
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._drained: asyncio.Future[None] | None = None
        self._raw_output = bytearray()
        self._raw_fd = -1

    async def attach(self, frame_socket: socket.socket, raw_fd: int) -> None:
        """Start reading from the frame socket and draining the raw output."""
        self._raw_fd = raw_fd
        os.set_blocking(raw_fd, False)
        frame_socket.setblocking(False)
        await self._loop.connect_accepted_socket(lambda: self, frame_socket)
        self._read_raw_output()

    def set_process(self, pid: int, pidfd: int) -> None:
        """Record the process that the zygote has forked for this child."""
        self.pid, self.pidfd = pid, pidfd
        if self.closed:
            self.kill()
        self._become_ready()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._pause is None:
            self._allowance.begin()
            self._allowance.use_bytes(len(data))
            self._take_frames()

    def _take_frames(self, *, every: bool = False) -> None:
        """Take the complete frames, as many as the allowance permits."""
        buffer = self._buffer
        while len(buffer) >= LENGTH.size + HEADER.size:
            (size,) = LENGTH.unpack_from(buffer)
            number, run, call = HEADER.unpack_from(buffer, LENGTH.size)
            kind = _KINDS.get(number)
            if kind is None:
                return self._violate(f"a frame of unknown kind {number}")
            most = _MOST_BYTES.get(kind, self.max_frame_bytes + _FRAME_SLACK)
            if not HEADER.size <= size <= HEADER.size + most:
                return self._violate(f"a {kind.name} frame of {size} bytes")
            if run == 0 and kind is not Frame.READY:
                return self._violate(f"a {kind.name} frame of run 0")
            end = LENGTH.size + size
            if len(buffer) < end or (self._allowance.is_used and not every):
                break
            self._allowance.use_frames(_PROGRESS_COST if kind is Frame.PROGRESS else 1)
            with memoryview(buffer) as view:
                body = bytes(view[LENGTH.size + HEADER.size : end])
            self._take(ReceivedFrame(kind, run, call, body))
            del buffer[:end]
        if self._allowance.is_used and not (every or self._ended):
            self._pause = self._loop.call_later(self._allowance.pause(), self._go_on)
            self._read_on_or_not()
        self._wake()

    def _go_on(self) -> None:
        self._pause = None
        self._allowance.go_on()
        self._take_frames()
        self._read_on_or_not()

    def _stop_pausing(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
            self._allowance.go_on()

    def _read_raw_output(self) -> None:
        self._raw_pause = None
        self._raw_allowance.go_on()
        if self._raw_fd >= 0:
            self._loop.add_reader(self._raw_fd, self._raw_output_came)

    def _raw_output_came(self) -> None:
        # Drained once, and again only after a pause: a child may write without end.
        self._loop.remove_reader(self._raw_fd)
        if self._drain_raw_output():
            pause = self._raw_allowance.pause()
            self._raw_pause = self._loop.call_later(pause, self._read_raw_output)

    def _read_on_or_not(self) -> None:
        if self._transport is None:
            return
        if self._full or self._pause is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        self._receive_end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._receive_end()
        self.resume_writing()

    def _receive_end(self) -> None:
        if self._pause is not None:
            self._stop_pausing()
            self._take_frames(every=True)
        self._end()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # the executor's side

    async def frames(self) -> list[ReceivedFrame]:
        """Wait for frames and return all of them; an empty list is the end of the stream."""
        while not self._frames:
            if self._ended:
                return []
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        frames = list(self._frames)
        self._frames.clear()
        self._queued_bytes = 0
        if self._full:
            self._full = False
            self._read_on_or_not()
        return frames

    async def send(self, *frames: bytes) -> None:
        """Send frames, waiting while the child does not read them."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return  # frames() reports the end
        # Not writelines(): in Python 3.12.1 the buffer grows without a call of pause_writing().
        transport.write(b"".join(frames))
        if self._drained is not None:
            # Shielded: other tasks wait for the same future, and this one may be cancelled.
            await asyncio.shield(self._drained)

    async def send_frame(self, kind: Frame, run: int, call: int, *body: bytes) -> None:
        """Pack and send one frame."""
        await self.send(pack(kind, run, call, *body))

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
        if self._raw_fd >= 0:
            self._drain_raw_output()
        return self._raw_output.decode("utf-8", "replace")

    def kill(self) -> None:
        """Kill the child at once; the zygote reaps it and kills what it left behind."""
        self.killed = True
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
        self.closed = True
        if self._farewell is not None:
            self._farewell.cancel()
        self.kill()
        self._stop_pausing()
        if self._transport is not None:
            self._transport.abort()
        if self._raw_pause is not None:
            self._raw_pause.cancel()
            self._raw_allowance.go_on()
        if self._raw_fd >= 0:
            self._loop.remove_reader(self._raw_fd)
            os.close(self._raw_fd)
            self._raw_fd = -1
        self._end()

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

    def _take(self, frame: ReceivedFrame) -> None:
        if frame.kind is Frame.READY:
            if self._ready_received:
                return self._violate("a second READY frame")
            self._ready_received = True
            return self._become_ready()
        self._frames.append(frame)
        self._queued_bytes += len(frame.body) + 64
        if self._queued_bytes > _HIGH_WATER and not self._full:
            self._full = True
            self._read_on_or_not()
        return None

    def _become_ready(self) -> None:
        # The zygote's report and the child's READY frame come on two sockets, in either order.
        if self._ready_received and self.pid and not self.ready.done():
            self.ready.set_result(None)

    def _violate(self, what: str) -> None:
        self.violation = what
        self._stop_pausing()
        self._buffer.clear()
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self._frames or self._ended):
            self._waiter.set_result(None)

    def _drain_raw_output(self) -> bool:
        """Drain the pipe and keep the end of its data; return False once it has no writers."""
        for _ in range(2):  # twice what the pipe can hold
            try:
                data = os.read(self._raw_fd, 65536)
            except (BlockingIOError, InterruptedError):
                return True
            if not data:
                return False
            self._raw_output += data
            del self._raw_output[:-_RAW_OUTPUT_KEPT]
        return True


class ChildStartError(RuntimeError):
    """The end of a child before it was ready; no code has run in it."""
