"""The ASGI application that serves MCP by HTTP, in front of the project's own.

MCP is served without sessions: each request is authenticated, has its own
context and its own thread for sync code, and leaves nothing behind.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    PermissionDenied,
    SuspiciousOperation,
)
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.http.multipartparser import MultiPartParserError
from django.utils.encoding import iri_to_uri

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
from django_codemode.mcp.bodies import Body, may_answer_early, while_read
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
_PROMPT_SECONDS = 1.0
_MALFORMED = "the query or the Content-Type is malformed"


def mcp_application(
    application: ASGIApplication,
    path: str = "/mcp/",
    *,
    authentication: Any = None,
    tools: Sequence[str] | None = None,
    plain_tools: Sequence[str] | None = None,
    permission_required: str | Collection[str] = "django_codemode.execute_code",
    resource: str | None = None,
) -> ASGIApplication:
    """Return an ASGI application that serves MCP at a path, and the given one elsewhere.

    ``authentication``, ``tools`` and ``plain_tools`` replace the settings
    ``MCP_AUTHENTICATION``, ``MCP_TOOLS`` and ``MCP_PLAIN_TOOLS``. ``resource`` is
    the public URL of this server, for which tokens of OAuth 2 must have been
    issued; by default that of the request. Raises ConfigurationError for a wrong
    argument or setting, and if neither tells how requests are authenticated.
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
        resource=None if resource is None else _checked_resource(resource),
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
        resource: str | None,
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
        self._resource = resource
        self._server = make_server(offer)
        self._authentication()  # so that a mistake stops the start

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            path = scope["path"].removeprefix(get_script_prefix(scope).rstrip("/")).rstrip("/")
            if path == self._path:
                await self._serve(scope, *may_answer_early(receive, send))
                return
            if path == f"{_METADATA}{self._path}" and self._authentication().oauth2:
                await self._serve_metadata(scope, *may_answer_early(receive, send))
                return
        await self._application(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await _send_json(send, 405, _error("method_not_allowed", _NO_METHOD), {"Allow": "POST"})
            return
        try:
            request = _request_of(scope)
        except RefusalError as refusal:
            await _refuse(send, refusal)
            return
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(own_thread())
            try:
                caller, context = await sync_to_async(self._admit)(request)
            except RefusalError as refusal:
                headers = await sync_to_async(self._challenge)(request, refusal)
                await _refuse(send, refusal, headers)
                return
            body = Body(receive, request.headers.get("Content-Length"), most=_most_bytes())
            try:
                if not await body.read(_PROMPT_SECONDS):
                    # A slow client keeps no thread, and no connection to the database.
                    await stack.aclose()
                    await body.read_slowly()
                    await stack.enter_async_context(own_thread())
            except RefusalError as refusal:
                await _refuse(send, refusal)
                return
            if body.has_left:
                return
            # One for each request: it may be entered once, and belongs to one event loop.
            manager = StreamableHTTPSessionManager(
                self._server, stateless=True, max_request_body_size=_most_bytes()
            )
            with use_context(context):
                async with while_read(send) as sending, manager.run():
                    await manager.handle_request(
                        {**scope, CALLER: caller}, body.again(), _with_session_id(request, sending)
                    )

    def _admit(self, request: ASGIRequest) -> tuple[str, RuntimeContext]:
        """Return under which name a caller is counted, and its context. Raises RefusalError."""
        try:
            check_origin(request, get_settings().mcp_allowed_origins)
            authentication = self._authentication()
            user = authentication.user_of(request, self._resource_of(request))
            if user is not None:
                _put_user(request, user)
                require_permission(user, self._permission)
            get_codemode()  # the first time, it imports and connects: not in the loop
            context = provide(request)
        except PermissionDenied as error:
            raise RefusalError("not_permitted", "permission denied", status=403) from error
        except (BadRequest, MultiPartParserError, SuspiciousOperation) as error:
            # Of a hook that reads what no MCP request has, such as request.POST.
            raise RefusalError("bad_request", _MALFORMED) from error
        except ConfigurationError as error:
            raise not_configured(error) from error
        if user is not None:
            return f"user {user.pk}", context
        return f"address {request.META.get('REMOTE_ADDR', '')}", context

    def _challenge(self, request: ASGIRequest, refusal: RefusalError) -> dict[str, str]:
        """Return the header of a refusal that says how to authenticate, if it is about that."""
        if not isinstance(refusal, UnauthenticatedError) and refusal.status != 401:
            return {}
        metadata = _url(request, f"{_METADATA}{self._path}")
        return {"WWW-Authenticate": self._authentication().challenge(refusal, metadata)}

    async def _serve_metadata(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer where clients get tokens for this server, by RFC 9728."""
        if scope["method"] not in {"GET", "HEAD"}:
            text = "send a GET request"
            await _send_json(send, 405, _error("method_not_allowed", text), {"Allow": "GET, HEAD"})
            return
        try:
            document = await sync_to_async(self._metadata)(_request_of(scope))
        except RefusalError as refusal:
            await _refuse(send, refusal)
            return
        # Public, and read by clients in browsers as well.
        await _send_json(send, 200, document, {"Access-Control-Allow-Origin": "*"})

    def _metadata(self, request: ASGIRequest) -> dict[str, Any]:
        from oauth2_provider.settings import oauth2_settings

        document: dict[str, Any] = {
            "resource": self._resource_of(request),
            "bearer_methods_supported": ["header"],
        }
        if servers := oauth2_settings.oauth2_resource_authorization_servers(request):
            document["authorization_servers"] = servers
        if scopes := get_settings().mcp_scopes:
            document["scopes_supported"] = scopes
        return document

    def _resource_of(self, request: ASGIRequest) -> str:
        return self._resource or _url(request, self._path)

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


def _request_of(scope: Scope) -> ASGIRequest:
    """Return a request by its headers alone. Raises RefusalError for one that Django refuses."""
    # The body is read once the caller has been admitted.
    try:
        request = ASGIRequest({**scope}, io.BytesIO())
        request.get_host()
    except DisallowedHost as error:
        raise RefusalError("host_not_allowed", "the Host is not in ALLOWED_HOSTS") from error
    except (BadRequest, LookupError, ValueError) as error:
        raise RefusalError("bad_request", _MALFORMED) from error
    return request


def _url(request: ASGIRequest, path: str) -> str:
    # Not by build_absolute_uri(): Daphne lets clients name the root path, and with
    # "//evil.example" the URL would be of that host.
    root = (request.script_name or "").strip("/")
    place = f"/{root}{path}" if root else path
    return str(iri_to_uri(f"{request.scheme}://{request.get_host()}{place}"))


def _checked_resource(resource: Any) -> str:
    parts = urlsplit(resource) if isinstance(resource, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc or parts.fragment:
        raise ConfigurationError(
            f"resource={resource!r}; expected the public URL of this server, such as "
            "'https://example.com/mcp'"
        )
    return str(resource)


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


async def _refuse(
    send: Send, refusal: RefusalError, headers: Mapping[str, str] | None = None
) -> None:
    await _send_json(send, refusal.status, _error(refusal.code, str(refusal)), headers)


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
