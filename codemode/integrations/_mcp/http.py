"""The HTTP client of a connection to an MCP server: answers within bounds, failures as answers.

The SDK reads an answer whole, and ends the connection of all calls when the
request of one of them fails. Here an answer that is too large, and a request
that fails, cost their own call alone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from mcp.types import CONNECTION_CLOSED, INTERNAL_ERROR

from codemode.integrations._mcp.streams import attempt_of_task

__all__ = ["MAX_ANSWER_BYTES", "UNKNOWN_OUTCOME", "BoundedClient"]

MAX_ANSWER_BYTES = 4 * 1024**2
"""Of one answer: parsed, small values take twenty times as much memory as their JSON."""

UNKNOWN_OUTCOME = -32_050
"""Code of an error of ours where the server may have done what it was asked for."""

_JSON = "application/json"
_SESSION = "mcp-session-id"


class BoundedClient(httpx2.AsyncClient):
    """A client for one MCP server."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; an MCP error takes the place of an answer that there cannot be."""
        try:
            response = await super().send(request, **options)
        except httpx2.TransportError as error:
            if request.method != "POST":
                raise
            if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
                _was_not_sent()
                return _error(request, 503, f"the server cannot be reached ({_words(error)})")
            return _error(request, 503, _words(error), CONNECTION_CLOSED)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            reason = "the server compressed its answer, though not asked to"
            return _error(request, 502, reason, UNKNOWN_OUTCOME)
        if response.status_code == 404 and _SESSION in request.headers:
            # By the protocol, a server that does not know a session looks at nothing else:
            # https://modelcontextprotocol.io/specification/2025-11-25/basic/transports
            _was_not_sent()
        elif response.status_code >= 400 and not _is(response, _JSON):
            await response.aclose()
            reason = f"HTTP {response.status_code} {response.reason_phrase}".strip()
            code = INTERNAL_ERROR if response.status_code < 500 else UNKNOWN_OUTCOME
            reason = f"the server refused the request ({reason})"
            return _error(request, response.status_code, reason, code)
        if not (response.status_code == 200 and _is(response, "text/event-stream")):
            response.stream = _Bounded(response.stream)
        return response


class _Bounded(httpx2.AsyncByteStream):
    """A body of which no more than ``MAX_ANSWER_BYTES`` are read.

    Its failures are StreamErrors, which the SDK makes the answer of the one request.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for part in self._stream:
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise httpx2.StreamError(f"the answer has more than {MAX_ANSWER_BYTES:,} bytes")
                yield part
        except httpx2.TransportError as error:
            raise httpx2.StreamError(f"the connection was lost ({_words(error)})") from error

    async def aclose(self) -> None:
        await self._stream.aclose()


def _was_not_sent() -> None:
    if (attempt := attempt_of_task.get()) is not None:
        attempt.sent = False


def _is(response: httpx2.Response, kind: str) -> bool:
    return str(response.headers.get("content-type", "")).lower().startswith(kind)


def _error(
    request: httpx2.Request, status: int, message: str, code: int = INTERNAL_ERROR
) -> httpx2.Response:
    """Return an answer that the SDK passes on to the one request that it is for."""
    body = {"code": code, "message": message}
    return httpx2.Response(
        status,
        headers={"content-type": _JSON},
        content=json.dumps({"jsonrpc": "2.0", "id": None, "error": body}).encode(),
        request=request,
    )


def _words(error: httpx2.TransportError) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")[:200]
