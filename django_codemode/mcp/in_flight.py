"""The requests that an MCP server is working on, and how each of them ends."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from typing import Any

from codemode.errors import ConfigurationError
from django_codemode.refusals import RefusalError, not_configured

try:
    import anyio
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.shared.exceptions import MCPError
    from mcp_types import INTERNAL_ERROR
except ImportError as error:
    raise ImportError(
        "the MCP server needs the package mcp: pip install 'django-codemode[mcp]'"
    ) from error

__all__ = ["CALLER", "SESSION_HEADER", "InFlight", "new_session_id"]

logger = logging.getLogger("django_codemode")

CALLER = "codemode_mcp_caller"
"""The key of an HTTP scope with the name of the caller: its user or, without one, its address."""

SESSION_HEADER = "mcp-session-id"

_MOST_CHARACTERS = 128
_CANCELLED = 0  # as the SDK answers a request that its client has cancelled

_Key = tuple[object, str, str, object]


def new_session_id() -> str:
    """Return an id by which a client of the older protocols names itself.

    Nothing is kept under it. It tells the requests of two clients of one user
    apart, whose numbers are the same.
    """
    return secrets.token_urlsafe(16)


class InFlight:
    """The requests in flight by HTTP, each of which its caller alone may cancel.

    A client of 2026-07-28 cancels by closing the response. A client of an older
    protocol sends a notification, which is a request of its own.
    """

    def __init__(self) -> None:
        self._tasks: dict[_Key, asyncio.Task[Any]] = {}

    async def cancel(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Cancel the request that a notification names; a middleware of the SDK's server."""
        if ctx.method == "notifications/cancelled" and ctx.params is not None:
            key = _key(ctx, ctx.params.get("requestId"))
            if key is not None and (task := self._tasks.get(key)) is not None:
                task.cancel()
        return await call_next(ctx)

    async def finish[R](
        self, ctx: ServerRequestContext[Any, Any], work: Coroutine[Any, Any, R]
    ) -> R:
        """Await the work of one request; an error says no more than a client may know.

        The work is a task of its own, which a cancellation reaches once. anyio
        cancels again at each await, and would break off what the end of a run
        does. Raises MCPError.
        """
        task = asyncio.create_task(work)
        key = _key(ctx, ctx.request_id)
        if key is not None:
            self._tasks[key] = task
        try:
            return await asyncio.shield(task)
        except MCPError:
            raise
        except RefusalError as refusal:
            raise MCPError(code=INTERNAL_ERROR, message=str(refusal)) from refusal
        except ConfigurationError as error:
            raise MCPError(code=INTERNAL_ERROR, message=str(not_configured(error))) from error
        except asyncio.CancelledError:
            if task.cancelled():  # by cancel(), not by the end of the connection
                raise MCPError(code=_CANCELLED, message="the request was cancelled") from None
            raise
        except Exception as error:
            logger.exception("An MCP request failed")
            raise MCPError(
                code=INTERNAL_ERROR, message="the request failed; the log has the details"
            ) from error
        finally:
            if key is not None and self._tasks.get(key) is task:
                del self._tasks[key]
            if not task.done():
                task.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait((task,))


def _key(ctx: ServerRequestContext[Any, Any], request_id: object) -> _Key | None:
    """Return what tells a request from all others; None if its client cannot name it."""
    if ctx.request is None or not isinstance(request_id, int | str):
        return None  # by stdio, the SDK cancels
    session = ctx.request.headers.get(SESSION_HEADER)
    if session is None or len(session) > _MOST_CHARACTERS:
        return None
    return asyncio.get_running_loop(), ctx.request.scope[CALLER], session, request_id
