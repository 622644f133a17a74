from __future__ import annotations

from typing import Any

from django.core.asgi import get_asgi_application

from django_codemode.asgi import CodemodeASGIMiddleware
from tests.servers.project.identity import identity

django = get_asgi_application()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve Django, and plain ASGI applications beside it in a middleware of their own."""
    scope = {**scope, "before": identity()}
    if scope["type"] == "websocket" or scope.get("path") == "/raw/":
        # Importable only once Django is set up.
        from tests.servers.project import raw

        app = raw.socket if scope["type"] == "websocket" else raw.stream
        await CodemodeASGIMiddleware(app)(scope, receive, send)
    elif scope.get("query_string") == b"wrapped":
        await CodemodeASGIMiddleware(django)(scope, receive, send)
    else:
        await django(scope, receive, send)
