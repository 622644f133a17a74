"""The ASGI application that serves MCP by HTTP, in front of the project's own.

MCP is served without sessions: each request is authenticated, has its own
context and its own thread for sync code, and leaves nothing behind.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.core.exceptions import DisallowedHost, PermissionDenied
from django.core.handlers.asgi import ASGIRequest

from codemode.core.context import RuntimeContext, use_context
from codemode.errors import ConfigurationError
from django_codemode._streams.sockets import own_thread
from django_codemode.asgi import ASGIApplication, Message, Receive, Scope, Send
from django_codemode.conf import check_authentication, get_settings
from django_codemode.context import provide
from django_codemode.mcp.authentication import (
    Authentication,
    UnauthenticatedError,
    check_origin,
    resolve_authentication,
)
from django_codemode.mcp.in_flight import CALLER, SESSION_HEADER, new_session_id
from django_codemode.mcp.offer import Offer
from django_codemode.mcp.tool_server import make_server
from django_codemode.permissions import require_permission
from django_codemode.refusals import RefusalError, not_configured
from django_codemode.shared import get_codemode

# After tool_server, whose error says what to install.
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # isort: skip

__all__ = ["mcp_application"]

_METADATA = "/.well-known/oauth-protected-resource"
_NO_METHOD = "send a POST request with a message of MCP; this server keeps no sessions"


def mcp_application(
    application: ASGIApplication,
    path: str = "/mcp/",
    *,
    authentication: Any = None,
    tools: Sequence[str] | None = None,
    plain_tools: Sequence[str] | None = None,
    permission_required: str | Collection[str] = "django_codemode.execute_code",
) -> ASGIApplication:
    """Return an ASGI application that serves MCP at a path, and the given one elsewhere.

    ``authentication``, ``tools`` and ``plain_tools`` replace the settings
    ``MCP_AUTHENTICATION``, ``MCP_TOOLS`` and ``MCP_PLAIN_TOOLS``. Raises
    ConfigurationError for a wrong argument or setting, and if neither tells how
    requests are authenticated.
    """
    return _MCPApplication(
        application,
        path,
        authentication=authentication,
        offer=Offer(
            tools=None if tools is None else list(tools),
            plain_tools=None if plain_tools is None else list(plain_tools),
        ),
        permission_required=permission_required,
    )


class _MCPApplication:
    def __init__(
        self,
        application: ASGIApplication,
        path: str,
        *,
        authentication: Any,
        offer: Offer,
        permission_required: str | Collection[str],
    ) -> None:
        if not (path.startswith("/") and path.strip("/")):
            raise ConfigurationError(f"path={path!r}; expected one such as '/mcp/'")
        self._application = application
        self._path = f"/{path.strip('/')}"  # a final slash makes no difference
        self._ways: tuple[object, ...] | None = None
        if authentication is not None:
            try:
                self._ways = check_authentication(authentication)
            except ValueError as error:
                raise ConfigurationError(f"authentication: {error}") from error
        self._permission = permission_required
        self._server = make_server(offer)
        self._authentication()  # so that a mistake stops the start

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")
            if path == self._path:
                await self._serve(scope, receive, send)
                return
            if path == f"{_METADATA}{self._path}" and self._authentication().oauth2:
                await self._send_metadata(scope, send)
                return
        await self._application(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await _send_json(send, 405, _error("method_not_allowed", _NO_METHOD), {"Allow": "POST"})
            return
        # Of the headers alone: the body is read once the caller has been admitted.
        request = ASGIRequest({**scope}, io.BytesIO())
        async with own_thread():
            try:
                caller, context = await sync_to_async(self._admit)(request)
            except RefusalError as refusal:
                await _send_json(
                    send,
                    refusal.status,
                    _error(refusal.code, str(refusal)),
                    await sync_to_async(self._headers_of)(request, refusal),
                )
                return
            # One for each request: it may be entered once, and belongs to one event loop.
            manager = StreamableHTTPSessionManager(
                self._server, stateless=True, max_request_body_size=_most_bytes()
            )
            with use_context(context):
                async with manager.run():
                    await manager.handle_request(
                        {**scope, CALLER: caller}, receive, _with_session_id(request, send)
                    )

    def _admit(self, request: ASGIRequest) -> tuple[str, RuntimeContext]:
        """Return under which name a caller is counted, and its context. Raises RefusalError."""
        try:
            check_origin(request, get_settings().mcp_allowed_origins)
            authentication = self._authentication()
            user = authentication.user_of(request, self._resource(request))
            if user is not None:
                _put_user(request, user)
                require_permission(user, self._permission)
            get_codemode()  # the first time, it imports and connects: not in the loop
            context = provide(request)
        except DisallowedHost as error:
            raise RefusalError("host_not_allowed", "the Host is not in ALLOWED_HOSTS") from error
        except PermissionDenied as error:
            raise RefusalError("not_permitted", "permission denied", status=403) from error
        except ConfigurationError as error:
            raise not_configured(error) from error
        if user is not None:
            return f"user {user.pk}", context
        return f"address {request.META.get('REMOTE_ADDR', '')}", context

    def _headers_of(self, request: ASGIRequest, refusal: RefusalError) -> dict[str, str]:
        headers = {}
        if isinstance(refusal, UnauthenticatedError) or refusal.status == 401:
            metadata = request.build_absolute_uri(f"{_prefix(request)}{_METADATA}{self._path}")
            headers["WWW-Authenticate"] = self._authentication().challenge(refusal, metadata)
        return headers

    async def _send_metadata(self, scope: Scope, send: Send) -> None:
        """Send where clients get tokens for this server, by RFC 9728."""
        if scope["method"] not in {"GET", "HEAD"}:
            text = "send a GET request"
            await _send_json(send, 405, _error("method_not_allowed", text), {"Allow": "GET, HEAD"})
            return
        request = ASGIRequest({**scope}, io.BytesIO())
        try:
            document = await sync_to_async(self._metadata)(request)
        except DisallowedHost:
            text = "the Host is not in ALLOWED_HOSTS"
            await _send_json(send, 400, _error("host_not_allowed", text))
            return
        # Public, and read by clients in browsers as well.
        await _send_json(send, 200, document, {"Access-Control-Allow-Origin": "*"})

    def _metadata(self, request: ASGIRequest) -> dict[str, Any]:
        from oauth2_provider.settings import oauth2_settings

        document: dict[str, Any] = {
            "resource": self._resource(request),
            "bearer_methods_supported": ["header"],
        }
        if servers := oauth2_settings.oauth2_resource_authorization_servers(request):
            document["authorization_servers"] = servers
        if scopes := get_settings().mcp_scopes:
            document["scopes_supported"] = scopes
        return document

    def _resource(self, request: ASGIRequest) -> str:
        return request.build_absolute_uri(f"{_prefix(request)}{self._path}")

    def _authentication(self) -> Authentication:
        settings = get_settings()
        ways = settings.mcp_authentication if self._ways is None else self._ways
        return resolve_authentication(ways, settings.mcp_scopes)


def _with_session_id(request: ASGIRequest, send: Send) -> Send:
    """Return ``send``, which gives a client of the older protocols an id in its first answer."""
    if SESSION_HEADER in request.headers or "mcp-protocol-version" in request.headers:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            header = (SESSION_HEADER.encode(), new_session_id().encode())
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await send(message)

    return sending


def _prefix(request: ASGIRequest) -> str:
    return str(request.scope.get("root_path", ""))


def _put_user(request: ASGIRequest, user: Any) -> None:
    async def auser() -> Any:
        return user

    # Through vars(), because the request class declares no such attributes.
    vars(request).update(user=user, auser=auser)


def _most_bytes() -> int:
    djangos: int | None = django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    ours = get_settings().max_request_bytes
    return ours if djangos is None else min(ours, djangos)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


async def _send_json(
    send: Send, status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None
) -> None:
    content = json.dumps(body).encode()
    every = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    raw = [
        (name.lower().encode(), text.encode())
        for name, text in (every | dict(headers or {})).items()
    ]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})
