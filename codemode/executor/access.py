"""The check of the API key, before anything that a caller sends is read."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, override

import grpc

from codemode.executor.health import HEALTH_METHODS

__all__ = ["KeyInterceptor"]


class KeyInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # not generic when it runs
    """A gate that lets calls with the key pass, and those of the health service.

    gRPC receives the request of a unary call whole before its handler runs. A
    refused call therefore gets the handler of a stream, whatever its method is:
    that handler ends it unread.
    """

    def __init__(self, key: str) -> None:
        self._authorization = b"Bearer " + key.encode()
        self._refusal = grpc.stream_stream_rpc_method_handler(_refuse)

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


async def _refuse(requests: Any, context: Any) -> None:
    await context.abort(
        grpc.StatusCode.UNAUTHENTICATED,
        "the API key is missing or wrong; the client's executor_api_key must be the "
        "executor's CODEMODE_EXECUTOR_API_KEY",
    )
