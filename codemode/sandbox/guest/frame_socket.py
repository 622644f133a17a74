"""The guest's end of the socket: frames out, frames in, answers to their callers.

Any thread may call. A synchronous caller becomes the reader of the socket when
there is no reader. While it waits, it delivers every frame that arrives, to
every waiter. A lone caller therefore needs no second thread. As soon as two
callers wait at once, or a coroutine waits, a daemon thread reads instead, for
as long as calls are open.

A signal handler of the code (``signal.alarm`` is popular) may raise between any
two steps in the main thread. Reads and writes therefore account for their
bytes inside C calls, where no handler runs. The next sender finishes a frame
that was half sent.
"""

from __future__ import annotations

import _thread
import errno
import os
import socket
import threading
from asyncio import get_running_loop
from collections import deque
from collections.abc import Callable
from itertools import count

from codemode.sandbox.guest.call_window import CallWindow
from codemode.sandbox.guest.pending_calls import (
    LOST,
    NO_MEMORY,
    Call,
    NumberedCall,
    Outcome,
    TaskCall,
    ThreadCall,
)
from codemode.wire.constants import EXIT_NO_MEMORY
from codemode.wire.frames import HEADER, LENGTH, Frame, pack, pack_texts

__all__ = ["FrameSocket"]

RECEIVE_BYTES = 64 * 1024
RECEIVE_MOST_BYTES = 1024 * 1024

_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ESHUTDOWN})

# The bytes of a write, where its frame begins in them, and how many each `send` took.
_NOTHING: tuple[memoryview, int, list[int]] = (memoryview(b""), 0, [])

type OutgoingFrame = bytes | Callable[[str], bytes]
"""A frame, or what makes one of the steps that a recorded run sends along."""

_exit = os._exit
_get_ident = threading.get_ident
_allocate_lock = threading.Lock
_start_thread = _thread.start_new_thread
_exhaust = deque[object](maxlen=0).extend


class FrameSocket:
    """A frame connection to the executor, which ends the process when the executor is gone.

    The frame socket is created in the zygote and attached to a socket in the child.
    """

    _socket: socket.socket
    _send: Callable[[memoryview], int]
    _recv: Callable[[int], bytes]

    def __init__(self) -> None:
        self._sending = _allocate_lock()
        self._sender = 0
        self._outgoing = _NOTHING
        self._reading = _allocate_lock()
        self._received = bytearray()
        self._missing = 0
        self._broken = False
        self._calls: dict[int, Call] = {}
        self._numbers = count(1)
        self.window = CallWindow(1, 0)
        self._inbox: deque[tuple[int, int, bytes]] = deque()
        self._inbox_filled = threading.Event()
        self._receiving = False
        self._reader_wanted = threading.Event()
        self._reading_apart = False
        self.forked = False
        self.journal: Callable[[OutgoingFrame], bytes] | None = None
        """Completes the frames of a recorded run; called while no other frame is sent."""

    def attach(self, sock: socket.socket) -> None:
        """Use this blocking socket; a process forked from now on cannot use it."""
        self._socket = sock
        self._send = sock.send
        self._recv = sock.recv
        os.register_at_fork(after_in_child=self._after_fork)

    def rehearse(self, *frames: bytes) -> None:
        """Receive these frames, and discard what is sent, until a socket is attached."""
        left = deque(frames)
        self._recv = lambda _size: left.popleft()
        self._send = len

    def _after_fork(self) -> None:
        self.forked = True

    def set_calls_in_flight(self, most: int, most_bytes: int) -> None:
        """Limit the unanswered calls, and the bytes of their arguments; further calls wait."""
        self.window = CallWindow(most, most_bytes)

    # Frames out

    @property
    def sending_here(self) -> bool:
        """Whether the current thread is in the middle of sending a frame."""
        return self._sender == _get_ident()

    def send(self, kind: Frame, run: int, call: int, *body: bytes) -> None:
        """Send one whole frame; frames of other threads wait until it is sent."""
        self.send_packed(pack(kind, run, call, *body))

    def send_packed(self, frame: OutgoingFrame) -> None:
        """Send one frame that is packed already, or that the journal completes."""
        if self.forked:
            raise RuntimeError("a forked process cannot reach the executor: use threads instead")
        ident = _get_ident()
        if self._sender == ident:
            raise RuntimeError("reentrant call: a signal handler or finalizer interrupted a frame")
        with self._sending:
            self._sender = ident
            try:
                if self.journal is not None:
                    frame = self.journal(frame)
                self._write(frame)  # type: ignore[arg-type]  # a journal makes bytes of the others
            finally:
                self._sender = 0

    def send_last(self, frame: bytes) -> None:
        """Send one frame; all other senders wait for ever afterwards."""
        self._sending.acquire()
        self._write(frame if self.journal is None else self.journal(frame))

    def _write(self, frame: bytes) -> None:
        rest = self._rest()
        data = memoryview(rest + frame if rest else frame)
        counts: list[int] = []
        # An exception of a signal handler may end this method at any step. What was sent is
        # therefore read off the state alone, which changes in single steps: here, and by the
        # C call that sends and counts.
        self._outgoing = (data, len(rest), counts)
        try:
            while (sent := sum(counts)) < len(data):
                counts.extend(map(self._send, (data[sent:],)))
        except BaseException as error:
            _exit_if_gone(error)
            raise
        self._outgoing = _NOTHING

    def _rest(self) -> bytes:
        """Return what is left of a frame that an interrupted sender has begun.

        A frame of which no byte was sent is dropped: its sender sees the exception.
        """
        data, start, counts = self._outgoing
        sent = sum(counts)
        return bytes(data[sent:] if sent > start else data[sent:start])

    # Frames in

    def receive(self) -> tuple[int, int, bytes]:
        """Wait for the next frame that is not an answer; return its kind, run and body."""
        self._receiving = True
        try:
            while not self._inbox:
                self._inbox_filled.clear()
                if self._reading.acquire(blocking=False):
                    try:
                        while not self._inbox:
                            self._read()
                    finally:
                        self._reading.release()
                elif not self._inbox:
                    self._want_reader()
                    self._inbox_filled.wait()
            return self._inbox.popleft()
        finally:
            self._receiving = False

    def _read(self) -> None:
        """Wait for bytes and deliver the complete frames. Only the reader calls this."""
        received = self._received
        before = len(received)
        size = min(max(self._missing, RECEIVE_BYTES), RECEIVE_MOST_BYTES)
        try:
            if self._broken:
                raise MemoryError
            _exhaust(map(received.extend, map(self._recv, (size,))))
        except MemoryError:
            # Bytes may be lost between `recv` and `extend`; the stream after them cannot be parsed.
            self._broken = True
            if self._receiving:
                _exit(EXIT_NO_MEMORY)
            for number, call in list(self._calls.items()):
                call.finish((NO_MEMORY, b""))
                self._close(number)
            return
        except BaseException as error:
            _exit_if_gone(error)
            raise
        if len(received) == before:
            _exit(0)
        self._deliver()

    def _deliver(self) -> None:
        received = self._received
        while len(received) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(received)
            end = LENGTH.size + size
            if len(received) < end:
                self._missing = end - len(received)
                return
            kind, run, number = HEADER.unpack_from(received, LENGTH.size)
            start = LENGTH.size + HEADER.size
            if kind in (Frame.TOOL_VALUE, Frame.TOOL_FAILURE):
                call = self._calls.get(number)
                # A late answer to an abandoned call is dropped here.
                if call is not None:
                    try:
                        outcome = (kind, _copy(received, start, end))
                    except MemoryError:
                        outcome = (NO_MEMORY, b"")
                    call.finish(outcome)
                    self._close(number)
            else:
                self._inbox.append((kind, run, _copy(received, start, end)))
                self._inbox_filled.set()
            del received[:end]
        self._missing = 0

    # Calls

    def call(self, run: int, name: bytes, arguments: bytes, label: str = "") -> Outcome:
        """Send a call and wait in this thread for its answer; return the answer.

        A call of a recorded run has a label.
        """
        self.window.take(len(arguments))
        number = next(self._numbers)
        call = ThreadCall(run, len(arguments))
        self._calls[number] = call
        try:
            if label:
                self._send_recorded(run, number, name, arguments, label)
            else:
                self.send(Frame.CALL, run, number, name, arguments)
            while call.outcome is None:
                if self._reading.acquire(blocking=False):
                    try:
                        while call.outcome is None:
                            self._read()
                    finally:
                        self._reading.release()
                else:
                    self._want_reader()
                    call.answered.acquire()
        except BaseException:
            self.give_up(run, number)
            raise
        return call.outcome

    async def call_async(self, run: int, name: bytes, arguments: bytes) -> Outcome:
        """Send a call, await its answer and return it; cancelling the task cancels the call."""
        await self.window.take_async(len(arguments))
        number = next(self._numbers)
        call = TaskCall(run, len(arguments), get_running_loop())
        self._calls[number] = call
        try:
            self._want_reader()
            self.send(Frame.CALL, run, number, name, arguments)
            outcome: Outcome = await call.future
        except BaseException:
            self.give_up(run, number)
            raise
        return outcome

    def begin_call(self, call: NumberedCall, name: bytes, arguments: bytes, label: str) -> None:
        """Send a call of a recorded run that has room in the window."""
        number = call.number = next(self._numbers)
        self._calls[number] = call
        self._want_reader()
        self._send_recorded(call.run, number, name, arguments, label)

    def _send_recorded(
        self, run: int, number: int, name: bytes, arguments: bytes, label: str
    ) -> None:
        def frame(steps: str) -> bytes:
            texts = pack_texts(label, steps)
            return pack(Frame.RECORDED_CALL, run, number, name, texts, arguments)

        self.send_packed(frame)

    def end_run(self, run: int) -> None:
        """Answer the calls that a run left open with LOST: the executor will not answer them."""
        for number, call in list(self._calls.items()):
            if call.run == run:
                call.finish((LOST, b""))
                self._close(number)

    def _close(self, number: int) -> None:
        call = self._calls.pop(number, None)
        if call is not None:
            self.window.give(call.size)

    def give_up(self, run: int, number: int) -> bool:
        """Cancel a call; return whether it still waited for its answer."""
        call = self._calls.pop(number, None)
        if call is None:
            return False
        try:
            if not self.forked and not self.sending_here:
                self.send(Frame.CANCEL_CALL, run, number)
        finally:
            # The room is given back only after the cancellation is sent. In the other order:
            # 1. Another thread takes the room and sends its call.
            # 2. The executor has no room for that call and stops reading.
            # 3. It never reads the cancellation that would make room.
            self.window.give(call.size)
        return True

    # The reader thread

    def _want_reader(self) -> None:
        if not self._reading_apart:
            # A race may start two reader threads; they take turns, as all readers do.
            _start_thread(self._keep_reading, ())
            self._reading_apart = True
        if not self._reader_wanted.is_set():
            self._reader_wanted.set()

    def _keep_reading(self) -> None:
        while True:
            self._reader_wanted.wait()
            with self._reading:
                while self._calls or self._receiving:
                    self._read()
            self._reader_wanted.clear()
            # A call may have been opened between the last check and the clearing.
            if self._calls or self._receiving:
                self._reader_wanted.set()


def _copy(received: bytearray, start: int, end: int) -> bytes:
    with memoryview(received) as view:
        return bytes(view[start:end])


def _exit_if_gone(error: BaseException) -> None:
    """End the process if the executor is gone or this end of the socket was closed."""
    # A signal handler may raise TimeoutError, which is an OSError too: hence the check of errno.
    if isinstance(error, OSError) and error.errno in _GONE:
        _exit(0)
