"""Real servers in threads of the test, and logged-in clients of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests.support.processes import wait_until

__all__ = ["asgi_serves", "session_headers", "wsgi_serves"]

_TOKEN = "a" * 32


@contextmanager
def asgi_serves(app: Any) -> Iterator[str]:
    """Serve an ASGI application by uvicorn; yield the address, such as ``127.0.0.1:8123``."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, lifespan="off", log_config=None, ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert wait_until(lambda: server.started)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def wsgi_serves(app: Any) -> Iterator[str]:
    """Serve a WSGI application by one thread; yield the address."""
    with make_server("127.0.0.1", 0, app, WSGIServer, _QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(60)
    assert not thread.is_alive()


def session_headers(user: User) -> dict[str, str]:
    """Return the headers of a logged-in browser, its CSRF token included."""
    client = Client()
    client.force_login(user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    return {
        "Cookie": f"{settings.SESSION_COOKIE_NAME}={session}; csrftoken={_TOKEN}",
        "X-CSRFToken": _TOKEN,
    }
