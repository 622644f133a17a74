"""The async half's stub where gRPC's asyncio channels are dead: streams carried by threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from queue import SimpleQueue
from typing import Any

import grpc

from codemode.wire import EOF

__all__ = ["ThreadedStub"]


class ThreadedStub:
    """Be a stub for tasks over one for threads; each of its streams occupies two more."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def Execute(self, **options: Any) -> ThreadedCall:  # noqa: N802 - the service's name
        """Open a stream."""
        return ThreadedCall(self._stub, options)

    async def GetInfo(self, request: Any, **options: Any) -> Any:  # noqa: N802 - the service's name
        """Ask, with a thread that waits."""
        return await asyncio.to_thread(self._stub.GetInfo, request, **options)


class ThreadedCall:
    """Be as much of gRPC's asyncio call as the async half uses."""

    def __init__(self, stub: Any, options: dict[str, Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._wanted: SimpleQueue[asyncio.Future[Any] | None] = SimpleQueue()
        self._ended: grpc.RpcError | object | None = None
        self._call = stub.Execute(iter(self._requests.get, None), **options)
        threading.Thread(target=self._read, name="codemode-stream", daemon=True).start()

    def done(self) -> bool:
        """Tell whether the end of the stream has been read."""
        return self._ended is not None

    def add_done_callback(self, callback: Any) -> None:
        """Call nothing: here no failed write hides how the stream has ended."""

    async def write(self, message: Any) -> None:
        """Queue a message."""
        if self.done():
            raise asyncio.InvalidStateError("the stream has ended")
        self._requests.put(message)

    async def read(self) -> Any:
        """Return the next message, or EOF. Raises grpc.RpcError."""
        if isinstance(self._ended, grpc.RpcError):
            raise self._ended
        if self._ended is not None:
            return EOF
        future = self._loop.create_future()
        self._wanted.put(future)
        try:
            return await future
        except asyncio.CancelledError:
            # What it would have got is lost.
            self.cancel()
            raise

    async def done_writing(self) -> None:
        """Tell the executor that nothing more is coming."""
        self._requests.put(None)

    def cancel(self) -> None:
        """End the stream. Idempotent."""
        self._requests.put(None)
        self._wanted.put(None)
        self._call.cancel()

    def _read(self) -> None:
        while not self.done() and (future := self._wanted.get()) is not None:
            item: Any
            try:
                item = next(self._call, EOF)
            except grpc.RpcError as error:
                item = error
            if item is EOF or isinstance(item, grpc.RpcError):
                self._ended = item
                self._requests.put(None)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_settle, future, item)


def _settle(future: asyncio.Future[Any], item: Any) -> None:
    if future.done():
        return
    if isinstance(item, grpc.RpcError):
        future.set_exception(item)
    else:
        future.set_result(item)
