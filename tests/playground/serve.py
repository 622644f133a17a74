"""The site that the tests visit, served by ASGI or WSGI until stdin ends.

Once ready, it prints its port and the session of each logged-in person.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any


def prepare() -> dict[str, str]:
    """Create the database, with people of different permissions; return their sessions."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import Permission, User
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command

    from shop.seed import seed

    call_command("migrate", verbosity=0)
    assert seed()
    sessions = {}
    may_execute = Permission.objects.get(codename="execute_code")
    for name, is_staff, permissions in (
        ("coder", True, [may_execute]),
        ("clerk", True, [may_execute, Permission.objects.get(codename="add_refund")]),
        ("deputy", True, [may_execute, Permission.objects.get(codename="execute_as_user")]),
        ("editor", True, []),
        ("outsider", False, [may_execute]),
    ):
        user = User.objects.create_user(name, is_staff=is_staff)
        user.user_permissions.set(permissions)
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        sessions[name] = str(session.session_key)
    User.objects.create_user("boss", is_superuser=True)
    User.objects.create_user("leaver", is_active=False)
    return sessions


def serve_asgi(listener: socket.socket) -> None:
    import uvicorn
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
    from django.core.asgi import get_asgi_application

    app: Any = ASGIStaticFilesHandler(get_asgi_application())
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
    when_stdin_ends(lambda: setattr(server, "should_exit", True))
    server.run([listener])


def serve_wsgi(listener: socket.socket) -> None:
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application

    server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name, server.server_port = "127.0.0.1", listener.getsockname()[1]
    server.setup_environ()
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    when_stdin_ends(server.shutdown)
    server.serve_forever()
    server.server_close()


def when_stdin_ends(stop: Any) -> None:
    def wait() -> None:
        sys.stdin.read()
        stop()

    threading.Thread(target=wait, daemon=True).start()


def main(kind: str) -> None:
    import django

    django.setup()
    sessions = prepare()
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps([listener.getsockname()[1], sessions]), flush=True)
    {"asgi": serve_asgi, "wsgi": serve_wsgi}[kind](listener)
    from django_codemode.shared import shared

    shared.close()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.playground.site_settings")
    main(sys.argv[1])
