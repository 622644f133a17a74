"""Clients of the official SDK, in both eras of the protocol, and their tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from django_codemode.mcp.application import mcp_application
from tests.support.django_servers import asgi_serves

__all__ = ["ERAS", "client_of", "django_application", "mcp_serves", "text_of", "user_of_token"]

ERAS = ("legacy", "2026-07-28")


def user_of_token(request: HttpRequest) -> User | None:
    """Authenticate as a project may: the token is the name of the user."""
    _, _, name = request.headers.get("Authorization", "").partition(" ")
    return User.objects.filter(username=name).first()


async def django_application(scope: Any, receive: Any, send: Any) -> None:
    """Answer in the place of the project's own application."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"the project"})


@contextmanager
def mcp_serves(
    authentication: Any = user_of_token, *, application: Any = django_application, **options: Any
) -> Iterator[str]:
    """Serve MCP by uvicorn; yield the URL."""
    app = mcp_application(application, authentication=authentication, **options)
    with asgi_serves(app) as address:
        yield f"http://{address}/mcp/"


@asynccontextmanager
async def client_of(url: str, token: str | None, era: str, **headers: str) -> AsyncIterator[Client]:
    """Yield a connected client that sends a token."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with (
        create_mcp_http_client(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=era) as client,
    ):
        yield client


def text_of(result: Any) -> str:
    """Return the text that a model reads of a result."""
    (content,) = result.content
    return str(content.text)
