"""The floor below every stream: gRPC over a Unix socket between two processes, and nothing else.

``python -m tests.benchmarks.bare ADDRESS`` runs the server; messages are plain bytes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from queue import SimpleQueue
from typing import Any

import grpc

__all__ = ["AsyncBare", "BareServer", "SyncBare", "async_bare", "bare_server", "sync_bare"]

_SERVICE = "bare.Bare"
_READY = b"ready\n"


class BareServer:
    """The address and the process id of a running server."""

    def __init__(self, address: str, pid: int) -> None:
        self.address = address
        self.pid = pid


@contextmanager
def bare_server() -> Iterator[BareServer]:
    """Run a server in another process for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="bare-") as folder:
        address = f"unix:{folder}/socket"
        command = [sys.executable, "-m", "tests.benchmarks.bare", address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            if process.stdout.readline() != _READY:
                raise RuntimeError("the bare gRPC server did not start")
            try:
                yield BareServer(address, process.pid)
            finally:
                process.stdin.close()


class AsyncBare:
    """A client that opens bare streams from an event loop."""

    def __init__(self, channel: Any) -> None:
        self._echo = channel.stream_stream(f"/{_SERVICE}/Echo")
        self._call_back = channel.stream_stream(f"/{_SERVICE}/CallBack")

    async def stream(self, reply_bytes: int = 1) -> None:
        """Open a stream, send one message, receive ``reply_bytes``, close the stream."""
        call = self._echo()
        await call.write(_number(reply_bytes))
        await call.read()
        await call.done_writing()
        await call.read()

    async def round_trips(self, count: int) -> None:
        """Send ``count`` messages on one stream, each after the answer to the previous message."""
        call = self._echo()
        for _ in range(count):
            await call.write(_number(1))
            await call.read()
        await call.done_writing()
        await call.read()

    async def gather(self, count: int, seconds: float) -> None:
        """Receive ``count`` calls at once, and answer each after ``seconds``."""
        call = self._call_back()
        await call.write(_number(count))
        writing = asyncio.Lock()

        async def answer(question: bytes) -> None:
            await asyncio.sleep(seconds)
            async with writing:
                await call.write(question)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(count):
                tasks.create_task(answer(await call.read()))
        await call.read()
        await call.done_writing()
        await call.read()


class SyncBare:
    """A client that opens bare streams from a thread."""

    def __init__(self, channel: Any) -> None:
        self._echo = channel.stream_stream(f"/{_SERVICE}/Echo")

    def stream(self, reply_bytes: int = 1) -> None:
        """Open a stream, send one message, receive ``reply_bytes``, close the stream."""
        for _ in self._echo(iter((_number(reply_bytes),))):
            pass

    def round_trips(self, count: int) -> None:
        """Send ``count`` messages on one stream, each after the answer to the previous message."""
        questions: SimpleQueue[bytes | None] = SimpleQueue()
        call = self._echo(iter(questions.get, None))
        for _ in range(count):
            questions.put(_number(1))
            next(call)
        questions.put(None)
        for _ in call:
            pass


@asynccontextmanager
async def async_bare(server: BareServer) -> AsyncIterator[AsyncBare]:
    """Connect from an event loop."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield AsyncBare(channel)


@contextmanager
def sync_bare(server: BareServer) -> Iterator[SyncBare]:
    """Connect from a thread."""
    with grpc.insecure_channel(server.address) as channel:
        yield SyncBare(channel)


def _number(value: int) -> bytes:
    return value.to_bytes(4)


async def _echo(_requests: Any, context: Any) -> None:
    while isinstance(message := await context.read(), bytes):
        await context.write(bytes(int.from_bytes(message)))


async def _call_back(_requests: Any, context: Any) -> None:
    count = int.from_bytes(await context.read())
    for number in range(count):
        await context.write(_number(number))
    for _ in range(count):
        await context.read()
    await context.write(_number(count))


async def _serve(address: str) -> None:
    server = grpc.aio.server()
    methods = {"Echo": _echo, "CallBack": _call_back}
    handlers = {
        name: grpc.stream_stream_rpc_method_handler(method) for name, method in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    server.add_insecure_port(address)
    await server.start()
    sys.stdout.buffer.write(_READY)
    sys.stdout.buffer.flush()
    # stdin closes when the starting process closes it or ends.
    await asyncio.to_thread(sys.stdin.buffer.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
