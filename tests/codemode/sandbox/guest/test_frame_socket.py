"""Promises of the guest's end of the socket, whatever a signal handler of the code does."""

from __future__ import annotations

import random
import signal
import socket
import threading

from codemode.sandbox.guest.frame_socket import FrameSocket
from codemode.wire.frames import HEADER, LENGTH, Frame, pack

INTERRUPTS = 500
MOST_FRAMES = 50_000


class InterruptError(Exception):
    """The exception of a signal handler."""


def numbers(stream: bytes) -> list[int]:
    """Return the call numbers of the whole frames of a stream, and check that it has no others."""
    found = []
    view = memoryview(stream)
    while len(view) >= LENGTH.size:
        (size,) = LENGTH.unpack_from(view)
        if len(view) < LENGTH.size + size:
            break
        kind, run, number = HEADER.unpack_from(view, LENGTH.size)
        assert (kind, run) == (Frame.STDOUT, 1)
        found.append(number)
        view = view[LENGTH.size + size :]
    return found


def test_an_interrupted_sender_neither_repeats_nor_tears_a_frame() -> None:
    ours, theirs = socket.socketpair()
    received = bytearray()

    def read() -> None:
        while data := theirs.recv(65536):
            received.extend(data)

    reader = threading.Thread(target=read)
    sending = False
    interrupts = sent = 0

    def interrupt(*_: object) -> None:
        if sending:
            raise InterruptError

    former = signal.signal(signal.SIGALRM, interrupt)
    try:
        with ours, theirs:
            channel = FrameSocket()
            channel.attach(ours)
            reader.start()
            while interrupts < INTERRUPTS and sent < MOST_FRAMES:
                sent += 1
                frame = pack(Frame.STDOUT, 1, sent, b"x" * 60_000)
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-4))
                try:
                    sending = True
                    channel.send_packed(frame)
                    sending = False
                except InterruptError:
                    sending = False
                    interrupts += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            ours.shutdown(socket.SHUT_RDWR)
            reader.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert interrupts == INTERRUPTS
    arrived = numbers(bytes(received))
    assert arrived == sorted(set(arrived))
    assert len(arrived) > sent - interrupts - 2  # only an interrupted frame may be missing
