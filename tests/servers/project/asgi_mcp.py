"""The project with two MCP servers: around it, and as a route of Channels."""

from __future__ import annotations

from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.http import HttpRequest
from django.urls import re_path

from tests.servers.project.asgi import application as project

# After the project, which has set Django up.
from django.contrib.auth.models import User  # isort: skip
from django_codemode.mcp.application import mcp_application  # isort: skip

USERS = {"ann": 1, "bob": 2}


def user_of_token(request: HttpRequest) -> User | None:
    """Authenticate without a database: a superuser has every permission."""
    _, _, name = request.headers.get("Authorization", "").partition(" ")
    return User(pk=USERS[name], username=name, is_superuser=True) if name in USERS else None


# Any ASGI application may be a route, though the types of Channels know consumers alone.
routed: Any = mcp_application(project, path="/routed/mcp/", authentication=user_of_token)
around: Any = mcp_application(project, path="/mcp/", authentication=user_of_token)
routes: list[Any] = [re_path(r"^routed/mcp/?$", routed), re_path("", around)]

application = ProtocolTypeRouter({"http": URLRouter(routes), "websocket": project})
