"""Children whose frames the test writes, and the runs that they serve."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from typing import Any

from codemode import Limits
from codemode.executor.pool.children import Child, Exit
from codemode.executor.streams.event_writer import EventWriter
from codemode.executor.streams.run import ChildLostError, Run, RunTerms
from codemode.protos import codemode_pb2 as pb
from codemode.wire.frames import HEADER, LENGTH, Frame, pack, pack_texts
from codemode.wire.protobuf import unbatched

__all__ = [
    "COMPLETED",
    "MAX_VALUE",
    "RUN",
    "TAKEN",
    "Hearer",
    "Puppet",
    "artifact",
    "call",
    "diverged",
    "puppet_child",
    "recorded_call",
    "serve",
    "steps",
]

RUN = 7

MAX_VALUE = 100_000

TAKEN = pack(Frame.TAKEN, RUN, 0)

COMPLETED = pack(Frame.COMPLETED, RUN, 0, b"\x05")


def call(number: int, *, run: int = RUN) -> bytes:
    return pack(Frame.CALL, run, number, pack_texts("ping"), b"\xa0")


def artifact(name: str, data: bytes = b"data", *, run: int = RUN) -> bytes:
    return pack(Frame.ARTIFACT, run, 0, pack_texts(name), data)


def recorded_call(
    number: int,
    *,
    name: str = "ping",
    label: str = "0:1",
    steps: str = "",
    arguments: bytes = b"\xa0",
) -> bytes:
    return pack(Frame.RECORDED_CALL, RUN, number, pack_texts(name, label, steps), arguments)


def steps(data: bytes = b"0:1@5\n") -> bytes:
    return pack(Frame.STEPS, RUN, 0, data)


def diverged(
    reason: str = "call", *, expected: str = "", line: str = "3", arguments: bytes = b"\xa0"
) -> bytes:
    texts = ("", "") if reason in ("missing", "beyond") else ("0.1:2", "orders.get")
    return pack(Frame.DIVERGED, RUN, 0, pack_texts(reason, *texts, expected, line), arguments)


class Hearer:
    """A client of a run that keeps every event it receives."""

    def __init__(self) -> None:
        self.messages: list[pb.ExecutorMessage] = []

    async def read(self) -> Any:
        raise AssertionError("a run does not read")

    async def write(self, message: pb.ExecutorMessage) -> None:
        assert message.ByteSize() < 4 * 1024 * 1024, "gRPC would refuse the message"
        self.messages.extend(unbatched(message))

    async def abort(self, *arguments: Any) -> None:
        raise AssertionError(f"aborted with {arguments}")

    @property
    def kinds(self) -> list[str]:
        return [message.WhichOneof("message") or "" for message in self.messages]


class Puppet:
    """A real process whose frames the test writes."""

    def __init__(self) -> None:
        self.child = Child(1, MAX_VALUE)
        self.child.frames.max_artifact_bytes = MAX_VALUE
        self.socket, self._theirs = socket.socketpair()
        self._process = subprocess.Popen(["sleep", "600"])
        self._raw, self.raw_write = os.pipe()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        await self.child.attach(self._theirs, self._raw)
        pidfd = os.pidfd_open(self._process.pid)
        self._watched = os.dup(pidfd)
        self.child.set_process(self._process.pid, pidfd)
        loop.add_reader(self._watched, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watched)
        self._process.wait()
        self.socket.close()
        self.child.set_exited(Exit(status=signal.SIGKILL, cpu_seconds=0.0, max_rss_bytes=0))

    async def say(self, data: bytes) -> None:
        """Send bytes as a child does, waiting while nobody reads them."""
        loop = asyncio.get_running_loop()
        self.socket.setblocking(False)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await loop.sock_sendall(self.socket, data)

    async def hear(self, last: Frame) -> list[tuple[Frame, bytes]]:
        """Return the kinds and bodies of the frames that come, up to one of the last kind."""
        loop = asyncio.get_running_loop()
        self.socket.setblocking(False)
        heard: list[tuple[Frame, bytes]] = []
        data = bytearray()
        async with asyncio.timeout(60):
            while not heard or heard[-1][0] is not last:
                while len(data) < LENGTH.size or len(data) < (end := _end_of_first(data)):
                    received = await loop.sock_recv(self.socket, 1024 * 1024)
                    assert received, "the executor has closed the socket"
                    data += received
                kind, *_ = HEADER.unpack_from(data, LENGTH.size)
                heard.append((Frame(kind), bytes(data[LENGTH.size + HEADER.size : end])))
                del data[:end]
        return heard

    async def stop(self) -> None:
        self.child.kill()
        await asyncio.wait_for(asyncio.shield(self.child.exited), 60)
        self.child.close()
        self.socket.close()
        os.close(self.raw_write)
        os.close(self._watched)


def _end_of_first(frames: bytearray) -> int:
    return LENGTH.size + int(LENGTH.unpack_from(frames)[0])


@contextlib.asynccontextmanager
async def puppet_child() -> AsyncIterator[Puppet]:
    puppet = Puppet()
    await puppet.start()
    try:
        yield puppet
    finally:
        await puppet.stop()


async def serve(
    puppet: Puppet,
    data: bytes,
    *,
    limits: Limits | None = None,
    hang_up: bool = True,
    timeout: float = 60,
    session: bool = True,
    hearer: Hearer | None = None,
    replay: bytes | None = None,
) -> tuple[Hearer, bool | None]:
    """Carry a run whose child sends ``data``; return what the client received.

    A run with a ``replay`` is recorded.
    """
    hearer = hearer or Hearer()
    run = Run(
        pb.Run(run_id=RUN, code="1", execution_id="e", replay=replay),
        RunTerms(limits=limits or Limits(), timeout=timeout, cpu_limit=60, session=session),
        child=puppet.child,
        events=EventWriter(hearer, batches=True),
    )

    async def speak() -> None:
        await puppet.say(data)
        if hang_up:
            puppet.child.kill()

    speaking = asyncio.create_task(speak())
    try:
        survived = await asyncio.wait_for(run.serve(), 90)
    except ChildLostError:
        survived = None
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    return hearer, survived
