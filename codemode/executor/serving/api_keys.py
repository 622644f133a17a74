"""The API key check, made before anything that a caller sends is read."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, override

import grpc

from codemode.executor.serving.health_service import HEALTH_METHODS

__all__ = ["KeyInterceptor"]

logger = logging.getLogger("codemode.executor")

_LOG_SECONDS = 10.0
_HOSTS_NAMED = 5


class KeyInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # not generic at run time
    """An interceptor that admits calls with the API key, and calls of the health service.

    gRPC receives the whole request of a unary call before it runs the handler.
    A refused call therefore gets a stream handler, whatever its method is: this
    handler ends the call without reading the request.
    """

    def __init__(self, key: str) -> None:
        self._authorization = b"Bearer " + key.encode()
        self._refused = _RefusalLog()
        self._refusal = grpc.stream_stream_rpc_method_handler(self._refuse)

    @override
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        if handler_call_details.method in HEALTH_METHODS or self._has_key(handler_call_details):
            return await continuation(handler_call_details)
        return self._refusal

    def _has_key(self, call: grpc.HandlerCallDetails) -> bool:
        given = b""
        for name, value in call.invocation_metadata or ():
            if name == "authorization":
                given = value if isinstance(value, bytes) else value.encode()
        return hmac.compare_digest(given, self._authorization)

    async def _refuse(self, requests: Any, context: Any) -> None:
        self._refused.add(context.peer())
        await context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            "the API key is missing or wrong; the client's executor_api_key must be the "
            "executor's CODEMODE_EXECUTOR_API_KEY",
        )


class _RefusalLog:
    """A log of refused calls: the first at once, then a count every ten seconds."""

    def __init__(self) -> None:
        self._waiting = False
        self._hosts: Counter[str] = Counter()
        self._others = 0

    def add(self, peer: str) -> None:
        if not self._waiting:
            logger.warning("refused a call of %s: its API key is missing or wrong", peer)
            self._wait()
            return
        host = peer.rpartition(":")[0] or peer
        if host in self._hosts or len(self._hosts) < _HOSTS_NAMED:
            self._hosts[host] += 1
        else:
            self._others += 1

    def _wait(self) -> None:
        self._waiting = True
        asyncio.get_running_loop().call_later(_LOG_SECONDS, self._report)

    def _report(self) -> None:
        self._waiting = False
        if not self._hosts:
            return
        named = [f"{host} ({count})" for host, count in self._hosts.most_common()]
        if self._others:
            named.append(f"other hosts ({self._others})")
        logger.warning(
            "refused more calls within %g s, whose API key is missing or wrong: %s",
            _LOG_SECONDS,
            ", ".join(named),
        )
        self._hosts.clear()
        self._others = 0
        self._wait()
