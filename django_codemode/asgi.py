"""The middleware for ASGI applications: HTTP, websockets and streaming responses."""

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
# Libraries type scopes and messages differently, so any application is accepted.
ASGIApplication = Callable[[Any, Any, Any], Awaitable[None]]


class CodemodeASGIMiddleware:
    """ASGI middleware that runs each HTTP request and websocket in a RuntimeContext.

    ``provider`` takes the scope and returns a mapping of names to values, or a
    RuntimeContext; it may be asynchronous. Without a provider, a websocket gets
    the context that ``CONTEXT_PROVIDER`` makes from its handshake, and an HTTP
    request gets the default variables, because CodemodeMiddleware applies
    ``CONTEXT_PROVIDER`` to HTTP requests. The context holds for the whole
    scope, including streaming bodies and every message of a websocket, and is
    stored as ``scope["codemode_context"]``. Other scopes pass unchanged.
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
            await send({"type": "websocket.close"})  # before accept: the client gets 403
            return
        with use_context(context):
            known = {"codemode_context": context, "codemode_provider": self.provider}
            await self.app({**scope, **known}, receive, send)

    async def _context(self, scope: Scope) -> RuntimeContext:
        if self.provider is not None:
            return as_context(await call_provider(self.provider, scope), self.provider)
        if scope["type"] == "websocket" and get_settings().context_provider is not None:
            async with own_thread():  # a shared one would keep its connections open
                return await aprovide(handshake_request(scope, scope.get("user")))
        # Reads only the scope: no thread is needed.
        return as_context(default_scope_provider(scope), default_scope_provider)


def default_scope_provider(scope: Scope) -> dict[str, Any]:
    """Return the variables of a scope: ``request_id``, ``user`` and ``tenant_id``.

    ``user`` is present when an outer middleware has put it into the scope. A
    host that ``ALLOWED_HOSTS`` does not name gives no tenant.
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
    """Return the GET request that opened a websocket, as a CONTEXT_PROVIDER takes it.

    The request has ``user``, and ``session`` if a middleware has put one into
    the scope. It lacks what the project's Django middlewares add to requests.
    """
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    request = ASGIRequest({**scope, "method": "GET", "scheme": scheme}, io.BytesIO())

    async def auser() -> Any:
        return user

    known = {"user": user, "auser": auser} if user is not None else {}
    if "session" in scope:
        known["session"] = scope["session"]
    # Through vars(), because the request class declares no such attributes.
    vars(request).update(known)
    return request


def headers_of(scope: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the headers of a scope by their lower-case names."""
    # A repeated header is joined by commas as in Django, so that both see the same value.
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope.get("headers", ()):
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def host_of(headers: Mapping[str, str]) -> str:
    """Return the host that a client addressed, by the rule of ``request.get_host()``."""
    forwarded = headers.get("x-forwarded-host", "") if django_settings.USE_X_FORWARDED_HOST else ""
    return forwarded or headers.get("host", "")


def allowed_hosts() -> list[str]:
    """Return ``ALLOWED_HOSTS``, or under DEBUG the defaults of ``request.get_host()``."""
    if django_settings.DEBUG and not django_settings.ALLOWED_HOSTS:
        return [".localhost", "127.0.0.1", "[::1]"]
    return list(django_settings.ALLOWED_HOSTS)


def _allowed_host(host: str) -> str | None:
    domain, _port = split_domain_port(host)
    return domain if domain and validate_host(domain, allowed_hosts()) else None
