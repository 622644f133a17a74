"""MCP over the standard streams, for a client that starts this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied

from codemode.core.context import RuntimeContext, use_context
from django_codemode._streams.sockets import own_thread
from django_codemode.mcp.offer import Offer
from django_codemode.mcp.tool_server import make_server

# After tool_server, whose error says what to install.
import anyio  # isort: skip
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext  # isort: skip
from mcp.server.stdio import stdio_server  # isort: skip
from mcp.shared.exceptions import MCPError  # isort: skip
from mcp_types import INVALID_REQUEST  # isort: skip

__all__ = ["serve_stdio"]


async def serve_stdio(
    offer: Offer, context_of: Callable[[], RuntimeContext], *, stdout: TextIO
) -> None:
    """Serve until the client closes stdin, with the answers on ``stdout``.

    ``context_of`` is called for each request, on the thread for sync code; it
    raises PermissionDenied for a user who may no longer ask. Meanwhile nothing
    else can read stdin.
    """
    server = make_server(offer)

    async def in_context(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if not ctx.method.startswith("tools/"):
            return await call_next(ctx)
        async with own_thread():
            try:
                context = await sync_to_async(context_of)()
            except PermissionDenied as error:
                raise MCPError(code=INVALID_REQUEST, message=str(error)) from error
            with use_context(context):
                return await call_next(ctx)

    server.middleware.append(in_context)
    async with stdio_server(stdout=anyio.wrap_file(stdout)) as (read_stream, write_stream):
        await server.run(read_stream, write_stream, server.create_initialization_options())
