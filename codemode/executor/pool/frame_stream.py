"""The executor's end of a child's frame socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from codemode.executor.pool.frame_allowance import Allowance
from codemode.wire.constants import MAX_HINT_CHARACTERS, MAX_STEPS_BYTES
from codemode.wire.frames import HEADER, LENGTH, Frame, pack

__all__ = ["FrameStream", "ReceivedFrame"]

_HIGH_WATER = 1024 * 1024
_FRAME_SLACK = 64 * 1024
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
    Frame.HINT: 4 * MAX_HINT_CHARACTERS,  # a character has at most four bytes
    Frame.STEPS: MAX_STEPS_BYTES,
    Frame.DIVERGED: 2 * MAX_STEPS_BYTES,
}


class ReceivedFrame(NamedTuple):
    """One frame of a child, with its header checked and its body unread."""

    kind: Frame
    run: int
    call: int
    body: bytes


class FrameStream(asyncio.Protocol):
    """The frames from and to one child.

    ``receive()`` returns what the child sends, with back-pressure: the child
    blocks in its own write while nobody takes its frames, and when it sends
    more than its allowance. Every byte is treated as hostile: a frame that is
    too long or of an unknown kind closes the socket, and ``violation``
    describes it.

    ``on_ready`` is called once, when the READY frame comes.
    """

    def __init__(self, max_frame_bytes: int, on_ready: Callable[[], None]) -> None:
        self.max_frame_bytes = max_frame_bytes
        self.max_artifact_bytes = 0
        self.violation: str | None = None
        self._on_ready: Callable[[], None] | None = on_ready
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._drained: asyncio.Future[None] | None = None
        self._buffer = bytearray()
        self._frames: deque[ReceivedFrame] = deque()
        self._queued_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._allowance = Allowance()
        self._pause: asyncio.TimerHandle | None = None
        self._ended = False

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

    def eof_received(self) -> bool:
        self._receive_end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._receive_end()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # the executor's side

    @property
    def ready_received(self) -> bool:
        """Whether the READY frame has come."""
        return self._on_ready is None

    async def receive(self) -> list[ReceivedFrame]:
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
        was_full = self._is_full
        self._queued_bytes = 0
        if was_full:
            self._read_on_or_not()
        return frames

    async def send(self, *frames: bytes) -> None:
        """Send frames, waiting while the child does not read them."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return  # receive() reports the end
        # Not writelines(): in Python 3.12.1 the buffer grows without a call of pause_writing().
        transport.write(b"".join(frames))
        if self._drained is not None:
            # Shielded: other tasks wait for the same future, and this one may be cancelled.
            await asyncio.shield(self._drained)

    async def send_frame(self, kind: Frame, run: int, call: int, *body: bytes) -> None:
        """Pack and send one frame."""
        await self.send(pack(kind, run, call, *body))

    def close(self) -> None:
        """Close the socket; ``receive()`` still returns the frames that have come."""
        self._stop_pausing()
        if self._transport is not None:
            self._transport.abort()
        self._end()

    # Frames in

    @property
    def _is_full(self) -> bool:
        return self._queued_bytes > _HIGH_WATER

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
            if kind is Frame.ARTIFACT:
                most = self.max_artifact_bytes + _FRAME_SLACK
            elif kind is Frame.RECORDED_CALL:
                most += MAX_STEPS_BYTES
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

    def _take(self, frame: ReceivedFrame) -> None:
        if frame.kind is Frame.READY:
            if self.ready_received:
                return self._violate("a second READY frame")
            return self._become_ready()
        was_full = self._is_full
        self._frames.append(frame)
        self._queued_bytes += len(frame.body) + 64
        if self._is_full and not was_full:
            self._read_on_or_not()
        return None

    def _become_ready(self) -> None:
        # Forgotten before the call: it refers to the child, which refers to this stream.
        on_ready, self._on_ready = self._on_ready, None
        assert on_ready is not None
        on_ready()

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

    def _read_on_or_not(self) -> None:
        if self._transport is None:
            return
        if self._is_full or self._pause is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _receive_end(self) -> None:
        if self._pause is not None:
            self._stop_pausing()
            self._take_frames(every=True)
        self._end()

    def _violate(self, what: str) -> None:
        self.violation = what
        self._buffer.clear()
        self.close()

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self._frames or self._ended):
            self._waiter.set_result(None)
