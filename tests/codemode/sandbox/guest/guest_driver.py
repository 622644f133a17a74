"""A driver of real guests: it forks a guest, sends code, answers calls and records all frames."""

from __future__ import annotations

import contextlib
import heapq
import math
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cbor2

from codemode.values import decode, encode
from codemode.wire.frames import HEADER, LENGTH, PROGRESS, Frame, pack, pack_texts, unpack_texts
from tests.support.paths import ROOT

MAX_BYTES = 16 * 1024 * 1024
LIMITS = {
    "memory_bytes": 256 * 1024 * 1024,
    "cpu_seconds": 60,
    "threads": None,
    "open_files": 64,
    "disk_bytes": 16 * 1024 * 1024,
    "value_bytes": MAX_BYTES,
    "tool_calls_in_flight": 100,
    "tool_call_bytes_in_flight": 4_000_000,
    "output_bytes": 1024 * 1024,
    "artifacts": 10,
    "artifact_bytes": 1024 * 1024,
}


def tool(
    name: str,
    signature: str,
    *positional: str,
    description: str = "",
    asynchronous: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "signature": signature,
        "positional": list(positional),
        "description": description,
        "asynchronous": asynchronous,
    }


class RefusedError(Exception):
    """A refusal that a host's handler raises; the driver sends it as TOOL_FAILURE."""

    def __init__(self, kind: str, type: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.type = type


@dataclass
class Later:
    """A delayed answer that a host's handler returns, due after ``seconds`` (None: never).

    With ``when``, the answer is sent as soon as ``when()`` is true after a frame of the guest.
    """

    seconds: float | None
    value: Any = None
    when: Callable[[], bool] | None = None


@dataclass
class Outcome:
    """Everything that a guest sent during one run."""

    value: Any = None
    type: str = ""
    message: str = ""
    line: int | None = None
    traceback: str = ""
    completed: bool = False
    exited: bool = False
    stdout: str = ""
    stderr: str = ""
    hints: list[str] = field(default_factory=list)
    events: list[tuple[Any, ...]] = field(default_factory=list)

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.events if event[0] == kind]


Handler = Callable[[str, dict[str, Any]], Any]


class Forker:
    """The process from which guests are forked; ``look`` False is for comparison alone."""

    def __init__(self, *, look: bool = True) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        packages = Path(cbor2.__file__).parents[1]
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-s", "-P", "-S", "-B", "-X", "utf8"),
                str(Path(__file__).with_name("guest_forker.py")),
                str(theirs.fileno()),
                os.pathsep.join(map(str, (ROOT, packages))),
                *([] if look else ["blind"]),
            ],
            pass_fds=[theirs.fileno()],
            env={
                "PATH": os.environ["PATH"],
                "MALLOC_ARENA_MAX": "2",
                "PYTHONHASHSEED": "0",
            },
        )
        theirs.close()

    def fork(self, sock: socket.socket) -> int:
        socket.send_fds(self._control, [b"f"], [sock.fileno()])
        return self._answer()

    def wait(self, pid: int) -> int:
        self._control.sendall(struct.pack("!q", pid))
        return self._answer()

    def _answer(self) -> int:
        answer = self._control.recv(8)
        assert len(answer) == 8, "the forker died"
        (number,) = struct.unpack("!q", answer)
        assert isinstance(number, int)
        return number

    def close(self) -> None:
        self._control.close()
        self._process.wait(60)


class Guest:
    """One guest, and the host's side of its socket."""

    def __init__(
        self,
        forker: Forker,
        tools: list[dict[str, Any]],
        handler: Handler,
        *,
        session: bool = False,
        **limits: Any,
    ) -> None:
        self._forker = forker
        self._handler = handler
        self._sock, theirs = socket.socketpair()
        self.pid = forker.fork(theirs)
        theirs.close()
        self._received = bytearray()
        self._runs = count(1)
        self._due: list[tuple[float, int, Later]] = []
        self._held: list[tuple[int, Later]] = []
        self.outcome = Outcome()
        opened = {"tools": tools, "limits": LIMITS | limits, "session": session}
        self._sock.sendall(pack(Frame.OPEN, 0, 0, encode(opened, max_bytes=MAX_BYTES)))
        self.status: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._sock.close()
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Wait until the guest ends; return its exit code, negative for a signal."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(self._forker.wait(self.pid))
        return self.status

    def run(
        self, code: str, inputs: Mapping[str, Any] | None = None, *, timeout: float = 60
    ) -> Outcome:
        """Send code and serve its calls until the run or the guest ends."""
        run = next(self._runs)
        body = pack_texts(code)
        if inputs:
            body += encode(dict(inputs), max_bytes=MAX_BYTES)
        self._sock.sendall(pack(Frame.RUN, run, 0, body))
        self.outcome = outcome = Outcome()
        deadline = time.monotonic() + timeout
        while True:
            frame = self._next(deadline)
            if frame is None:
                outcome.exited = True
                return outcome
            kind, its_run, number, body = frame
            assert its_run == run, f"{kind!r} of run {its_run} during run {run}"
            if self._note(outcome, kind, number, body):
                return outcome

    def _note(self, outcome: Outcome, kind: Frame, number: int, body: bytes) -> bool:
        """Record one frame; return whether it was the run's last."""
        events = outcome.events
        match kind:
            case Frame.TAKEN:
                events.append(("taken",))
            case Frame.STDOUT | Frame.STDERR:
                assert 0 < len(body) <= 64 * 1024
                name, text = kind.name.lower(), body.decode()
                events.append((name, text))
                setattr(outcome, name, getattr(outcome, name) + text)
            case Frame.CALL:
                (name,), rest = unpack_texts(body, 1)
                arguments = decode(bytes(rest), max_bytes=MAX_BYTES)
                events.append(("call", name, arguments))
                self._answer(number, name, arguments)
            case Frame.CANCEL_CALL:
                events.append(("cancel", number))
            case Frame.PROGRESS:
                done, total = PROGRESS.unpack_from(body)
                (note,), _ = unpack_texts(body[PROGRESS.size :], 1)
                events.append(("progress", done, None if math.isnan(total) else total, note))
            case Frame.ARTIFACT:
                (name,), data = unpack_texts(body, 1)
                events.append(("artifact", name, bytes(data)))
            case Frame.HINT:
                outcome.hints.append(body.decode())
            case Frame.COMPLETED:
                outcome.completed = True
                outcome.value = decode(body, max_bytes=MAX_BYTES)
                return True
            case Frame.FAILED:
                (outcome.type, outcome.message, line, outcome.traceback), _ = unpack_texts(body, 4)
                outcome.line = int(line) if line else None
                return True
            case _:
                raise AssertionError(f"a guest never sends {kind!r}")
        return False

    def _answer(self, number: int, name: str, arguments: dict[str, Any]) -> None:
        try:
            value = self._handler(name, arguments)
        except RefusedError as refusal:
            body = pack_texts(refusal.kind, refusal.type, str(refusal))
            self._send(pack(Frame.TOOL_FAILURE, 0, number, body))
            return
        if isinstance(value, Later):
            if value.when is not None:
                self._held.append((number, value))
            elif value.seconds is not None:
                heapq.heappush(self._due, (time.monotonic() + value.seconds, number, value))
            return
        self._send_value(number, value)

    def _send_value(self, number: int, value: Any) -> None:
        self._send(pack(Frame.TOOL_VALUE, 0, number, encode(value, max_bytes=MAX_BYTES)))

    def _send(self, frame: bytes) -> None:
        # The reading side notices a guest that ended meanwhile.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._sock.sendall(frame)

    def _next(self, deadline: float) -> tuple[Frame, int, int, bytes] | None:
        while True:
            received = self._received
            if len(received) >= LENGTH.size:
                (size,) = LENGTH.unpack_from(received)
                assert size <= MAX_BYTES + 1024, "no frame is that large"
                end = LENGTH.size + size
                if len(received) >= end:
                    kind, run, number = HEADER.unpack_from(received, LENGTH.size)
                    body = bytes(received[LENGTH.size + HEADER.size : end])
                    del received[:end]
                    return Frame(kind), run, number, body
            now = time.monotonic()
            assert now < deadline, "the guest said nothing in time"
            while self._due and self._due[0][0] <= now:
                _, number, later = heapq.heappop(self._due)
                self._send_value(number, later.value)
            for number, later in [one for one in self._held if one[1].when and one[1].when()]:
                self._held.remove((number, later))
                self._send_value(number, later.value)
            until = min(deadline, self._due[0][0] if self._due else deadline)
            if not select.select([self._sock], [], [], max(0, until - now))[0]:
                continue
            try:
                data = self._sock.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if not data:
                assert not received, "the guest ended in the middle of a frame"
                return None
            received += data
