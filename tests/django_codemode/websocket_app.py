"""The ASGI application of a project with websockets, as the documentation shows it."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

__all__ = ["application", "make_application"]


def make_application() -> ProtocolTypeRouter:
    http = get_asgi_application()
    from django_codemode.consumers import CodemodeConsumer

    consumer: Any = CodemodeConsumer.as_asgi()  # path() is typed for views only
    routes: Any = [path("ws/", consumer)]
    websocket = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(routes)))
    return ProtocolTypeRouter({"http": http, "websocket": websocket})


application = make_application()
