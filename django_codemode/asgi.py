"""The middleware for ASGI applications: HTTP, websockets, and whatever streams."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http.request import split_domain_port, validate_host

from codemode.core.context import RuntimeContext, use_context
from django_codemode._streams.sockets import own_thread
from django_codemode.conf import get_settings
from django_codemode.context import aprovide, as_context, call_provider, request_id_from

__all__ = [
    "CodemodeASGIMiddleware",
    "allowed_hosts",
    "default_scope_provider",
    "handshake_request",
    "headers_of",
    "host_of",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Each library types scopes and messages in its own way; any application will do.
ASGIApplication = Callable[[Any, Any, Any], Awaitable[None]]


class CodemodeASGIMiddleware:
    """Run each HTTP request and websocket of an ASGI application in a RuntimeContext.

    ``provider`` takes the scope and returns a mapping of names to values, or a
    RuntimeContext; it may be asynchronous. Without one, a websocket has what the
    setting ``CONTEXT_PROVIDER`` makes of its handshake; an HTTP request has the
    default variables, for Django's own middleware asks the setting. The context
    holds for the whole scope, streaming bodies and every message of a websocket
    included, and is at ``scope["codemode_context"]``. Other scopes pass untouched.
    """

    def __init__(
        self, app: ASGIApplication, *, provider: Callable[[Scope], Any] | None = None
    ) -> None:
        self.app = app
        self.provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        try:
            context = await self._context(scope)
        except PermissionDenied:
            if scope["type"] == "http":
                raise
            await send({"type": "websocket.close"})  # before it is accepted: 403 to the client
            return
        with use_context(context):
            known = {"codemode_context": context, "codemode_provider": self.provider}
            await self.app({**scope, **known}, receive, send)

    async def _context(self, scope: Scope) -> RuntimeContext:
        if self.provider is not None:
            return as_context(await call_provider(self.provider, scope), self.provider)
        if scope["type"] == "websocket" and get_settings().context_provider is not None:
            async with own_thread():  # or a connection of a shared one would stay open
                return await aprovide(handshake_request(scope, scope.get("user")))
        # Reads the scope and nothing else: no thread is needed.
        return as_context(default_scope_provider(scope), default_scope_provider)


def default_scope_provider(scope: Scope) -> dict[str, Any]:
    """Return what a scope tells: ``request_id``, ``user`` and ``tenant_id``.

    ``user`` is there when a middleware around this one has put it into the
    scope. A host that ``ALLOWED_HOSTS`` does not name is no tenant.
    """
    headers = headers_of(scope)
    settings = get_settings()
    variables: dict[str, Any] = {"request_id": request_id_from(headers.get("x-request-id"))}
    if scope.get("user") is not None:
        variables["user"] = scope["user"]
    tenant = None
    if settings.tenant_header:
        tenant = headers.get(settings.tenant_header.lower())
    elif settings.tenant_from_host:
        tenant = _allowed_host(host_of(headers))
    if tenant:
        variables["tenant_id"] = tenant
    return variables


def handshake_request(scope: Mapping[str, Any], user: Any) -> ASGIRequest:
    """Return the GET request by which a websocket was opened, as a CONTEXT_PROVIDER takes it.

    It has ``user``, and ``session`` where a middleware has put one into the
    scope. What the project's Django middlewares add to a request is not there.
    """
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    request = ASGIRequest({**scope, "method": "GET", "scheme": scheme}, io.BytesIO())

    async def auser() -> Any:
        return user

    known = {"user": user, "auser": auser} if user is not None else {}
    if "session" in scope:
        known["session"] = scope["session"]
    # By its dict, because the class of the request declares no such attributes.
    vars(request).update(known)
    return request


def headers_of(scope: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the headers of a scope by their names in lower case."""
    # Django joins a repeated header by commas too, so that both see one value.
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope.get("headers", ()):
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def host_of(headers: Mapping[str, str]) -> str:
    """Return the host that a client speaks to, by the rule of ``request.get_host()``."""
    forwarded = headers.get("x-forwarded-host", "") if django_settings.USE_X_FORWARDED_HOST else ""
    return forwarded or headers.get("host", "")


def allowed_hosts() -> list[str]:
    """Return what ``ALLOWED_HOSTS`` says, by the rule of ``request.get_host()`` for DEBUG."""
    if django_settings.DEBUG and not django_settings.ALLOWED_HOSTS:
        return [".localhost", "127.0.0.1", "[::1]"]
    return list(django_settings.ALLOWED_HOSTS)


def _allowed_host(host: str) -> str | None:
    domain, _port = split_domain_port(host)
    return domain if domain and validate_host(domain, allowed_hosts()) else None
