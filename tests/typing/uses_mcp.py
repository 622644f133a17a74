"""A program that uses the MCP server and MCP servers as tools, for type checkers; it is never run.

Each ignored error proves that the checkers see a mistake there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

import httpx2
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.http import HttpRequest
from mcp import StdioServerParameters

from codemode import Codemode, ComponentRegistry, RuntimeContext
from codemode.integrations.mcp import (
    HeadersOf,
    MCPOptions,
    MCPServerError,
    MCPTools,
    register_mcp,
    register_mcp_async,
)
from codemode.tools import Tool
from django_codemode.mcp.application import mcp_application

# The server.


async def user_of(request: HttpRequest) -> User | None:
    return await User.objects.filter(username=request.headers["X-User"]).afirst()


http = get_asgi_application()
application = mcp_application(
    http,
    path="/mcp/",
    authentication=[user_of, "session"],
    tools=["orders.*"],
    plain_tools=["orders.get"],
    permission_required=["shop.use_mcp"],
    resource="https://shop.example.com/mcp",
)
mcp_application(application, "/anybody/", authentication="anonymous")
mcp_application(http, paht="/mcp/")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
mcp_application(http, resource=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Servers of others.


def headers(context: RuntimeContext) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {context['token']}"}


async def headers_async(context: RuntimeContext) -> Mapping[str, str]:
    return headers(context)


HEADERS: tuple[HeadersOf, ...] = (headers, headers_async)
OPTIONS: MCPOptions = {"permission": "shop.use_github", "timeout": 10}
URL = "https://mcp.example.com/mcp"


def use(codemode: Codemode, registry: ComponentRegistry) -> Mapping[str, Tool]:
    command = StdioServerParameters(command="server")
    with register_mcp(registry, "stock", command, only=["level"], effects="reads") as handle:
        assert_type(handle, MCPTools)
        assert_type(handle.skipped, Mapping[str, str])
        handle.refresh()
        handle.disconnect()
    register_mcp(codemode, "github", URL, headers=headers, max_connections=3).close()
    register_mcp(codemode, "github", URL, **OPTIONS).close()
    register_mcp(codemode, "x", URL, timeot=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    register_mcp(codemode, "x", 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    try:
        return register_mcp(codemode, "x", URL, auth=lambda: httpx2.BasicAuth("a", "b")).tools
    except MCPServerError:
        return {}


async def use_async(codemode: Codemode) -> None:
    async with await register_mcp_async(codemode, "x", URL, headers=headers_async) as handle:
        assert_type(handle, MCPTools)
        await handle.refresh_async()
        await handle.close_async()
