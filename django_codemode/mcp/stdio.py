"""MCP over the standard streams, for a client that starts this process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied

from codemode.core.context import RuntimeContext, use_context
from django_codemode._streams.sockets import own_thread
from django_codemode.mcp.offer import Offer
from django_codemode.mcp.tool_server import make_server

# After tool_server, whose error says what to install.
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext  # isort: skip
from mcp.server.stdio import stdio_server  # isort: skip
from mcp.shared.exceptions import MCPError  # isort: skip
from mcp_types import INVALID_REQUEST  # isort: skip

__all__ = ["serve_stdio"]


async def serve_stdio(offer: Offer, context_of: Callable[[], RuntimeContext]) -> None:
    """Serve until the client closes stdin.

    ``context_of`` is called for each request, on the thread for sync code; it
    raises PermissionDenied for a user who may no longer ask. Meanwhile only
    messages of MCP reach stdout: what anything else prints goes to stderr.
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
    # The SDK puts stderr in the place of stdout for this process and its children.
    async with stdio_server() as (read_stream, write_stream):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                await server.run(read_stream, write_stream, server.create_initialization_options())
        finally:
            # What is still in the buffer would follow the last message.
            sys.stdout.flush()
