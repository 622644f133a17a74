"""gRPC's health service, without an API key and with a limit of watchers."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse

__all__ = ["HEALTH_METHODS", "Health"]

_METHODS = ("Check", "Watch")
_MOST_WATCHES = 10
_MOST_WATCHES_BY_UNIX = 1_000  # all their connections have the same peer name

HEALTH_METHODS = frozenset(f"/{health.SERVICE_NAME}/{name}" for name in _METHODS)


class Health:
    """The single status of the executor, for checks and for some watchers per connection.

    Requests are not read, because their senders need no key: every service that
    a request may name has the same status.
    """

    def __init__(self) -> None:
        self._status = HealthCheckResponse.NOT_SERVING
        self._ended = False
        self._changed = asyncio.Event()
        self._watches: Counter[str] = Counter()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Add the health service to a server."""
        handlers = {
            name: grpc.stream_stream_rpc_method_handler(
                handler, response_serializer=HealthCheckResponse.SerializeToString
            )
            for name, handler in zip(_METHODS, (self._check, self._watch), strict=True)
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(health.SERVICE_NAME, handlers),)
        )

    def set_serving(self, serving: bool) -> None:
        """Report whether the executor serves; calls after ``end()`` have no effect."""
        if not self._ended:
            self._status = (
                HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
            )
            self._changed.set()
            self._changed = asyncio.Event()

    def end(self) -> None:
        """Report NOT_SERVING from now on."""
        self.set_serving(False)
        self._ended = True

    async def _check(self, requests: Any, context: Any) -> None:
        await context.write(HealthCheckResponse(status=self._status))

    async def _watch(self, requests: Any, context: Any) -> None:
        peer = context.peer()
        most = _MOST_WATCHES_BY_UNIX if peer.startswith("unix:") else _MOST_WATCHES
        if self._watches[peer] >= most:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"a connection may watch {most} times at once; one watch reports every change",
            )
        self._watches[peer] += 1
        sent: int | None = None
        try:
            while True:
                changed = self._changed
                if self._status != sent:
                    sent = self._status
                    await context.write(HealthCheckResponse(status=sent))
                await changed.wait()
        finally:
            self._watches[peer] -= 1
            if not self._watches[peer]:
                del self._watches[peer]
