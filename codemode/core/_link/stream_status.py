"""The status with which an executor ended a stream of grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc

from codemode.core._link.grpc_errors import status_is_lost

__all__ = ["StreamStatus"]

_SECONDS = 5.0


class StreamStatus:
    """The executor's own status of one stream.

    When a write meets a stream that has ended, gRPC puts its own status over
    that one, or the other way round; it calls back at both.
    """

    def __init__(self, call: Any) -> None:
        loop = asyncio.get_running_loop()
        self._status: asyncio.Future[grpc.RpcError] = loop.create_future()
        call.add_done_callback(self._note)

    async def behind(self, error: grpc.RpcError) -> grpc.RpcError:
        """Return the error with the executor's status, which a failed write may hide."""
        if status_is_lost(error):
            await asyncio.wait((self._status,), timeout=_SECONDS)
            if self._status.done():
                return self._status.result()
        return error

    def _note(self, call: Any) -> None:
        code, details, trailing = map(
            _value_at_once, (call.code(), call.details(), call.trailing_metadata())
        )
        error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details, None)
        if not self._status.done() and not status_is_lost(error):
            self._status.set_result(error)


def _value_at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the status of a stream that has ended is known")
