"""The options of ``register_mcp``, checked."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict, Unpack
from urllib.parse import urlsplit

import httpx2
from mcp import StdioServerParameters

from codemode.core.context import RuntimeContext
from codemode.errors import ConfigurationError
from codemode.tools.build import check_permission
from codemode.tools.decorator import Effects, checked_effects
from codemode.tools.names import check_name

__all__ = ["Headers", "HeadersOf", "MCPOptions", "ServerOptions", "checked_headers", "options_for"]

Headers = tuple[tuple[str, str], ...]
"""The headers of a connection, in the order of their names, which are in lower case."""

HeadersOf = Callable[[RuntimeContext], Mapping[str, str] | Awaitable[Mapping[str, str]]]
"""Returns the headers for a context. A plain function may use the database."""

_MAX_TIMEOUT: Final = 86_400.0
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
# The client's own: the protocol's, those of the body, and of compression, which is off.
_RESERVED: Final = frozenset({"accept", "accept-encoding", "connection", "content-length"}) | {
    *("content-type", "host", "last-event-id", "mcp-protocol-version", "mcp-session-id"),
    *("mcp-method", "mcp-name", "transfer-encoding"),
}


class MCPOptions(TypedDict, total=False):
    """The options of ``register_mcp``.

    ``headers`` are sent with each request to a URL. As a function, sync or
    async, it returns those for the current context: contexts share a connection
    only where their headers are equal, and up to ``max_connections`` (32) are
    open. ``auth`` makes the authentication of each connection, such as the
    SDK's OAuth.

    ``only`` names the tools to register, as the server does; None means all.
    ``permission`` is that of each tool. ``effects`` is what each tool does;
    None means what the server says: ``"reads"``, or else ``"external"``.
    ``timeout`` (30) is in seconds: of the listing of tools, of a new
    connection, and of each call.
    """

    headers: Mapping[str, str] | HeadersOf | None
    auth: Callable[[], httpx2.Auth] | None
    only: Iterable[str] | None
    permission: Any
    effects: Effects | None
    timeout: float
    max_connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """A server, and all that the project has said about it and its tools."""

    prefix: str
    server: str | StdioServerParameters = field(repr=False)
    headers: Headers | HeadersOf = field(repr=False)  # may be secrets, as may be those of env
    auth: Callable[[], httpx2.Auth] | None
    only: frozenset[str] | None
    permission: Any
    effects: Effects | None
    timeout: float
    max_connections: int


def options_for(prefix: str, server: Any, **options: Unpack[MCPOptions]) -> ServerOptions:
    """Return the options as a record. Raises ConfigurationError and ToolRegistrationError."""
    unknown = options.keys() - MCPOptions.__annotations__.keys()
    if unknown:
        known = ", ".join(sorted(MCPOptions.__annotations__))
        raise ConfigurationError(f"{min(unknown)!r} is not an option; there are: {known}")
    check_name(prefix)
    headers, auth = options.get("headers"), options.get("auth")
    permission, effects = options.get("permission"), options.get("effects")
    check_permission(f"{prefix}.*", permission)
    _check_server(server, has_headers=headers is not None or auth is not None)
    if auth is not None and not callable(auth):
        raise ConfigurationError(
            f"auth is a {type(auth).__name__}; expected a function that returns an httpx2.Auth"
        )
    timeout = options.get("timeout", 30.0)
    if type(timeout) not in (int, float) or not 0 < timeout <= _MAX_TIMEOUT:
        raise ConfigurationError(f"timeout={timeout!r}; expected seconds, up to {_MAX_TIMEOUT:g}")
    most = options.get("max_connections", 32)
    if type(most) is not int or most < 1:
        raise ConfigurationError(f"max_connections={most!r}; expected a number from 1")
    return ServerOptions(
        prefix=prefix,
        server=server,
        headers=headers if callable(headers) else checked_headers(headers),
        auth=auth,
        only=_names(options.get("only")),
        permission=permission,
        effects=checked_effects(f"register_mcp({prefix!r})", effects),
        timeout=timeout,
        max_connections=most,
    )


def checked_headers(headers: Any) -> Headers:
    """Return headers in a fixed order. Errors do not show values, which may be secrets."""
    if headers is None:
        return ()
    if not isinstance(headers, Mapping):
        raise ConfigurationError(
            f"headers are a {type(headers).__name__}; expected a mapping of names to texts"
        )
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"headers have the name {name!r}, which HTTP does not allow")
        if name.lower() in _RESERVED or name.lower() in checked:
            reason = "twice" if name.lower() in checked else "which the MCP client sets itself"
            raise ConfigurationError(f"headers have {name!r}, {reason}; leave it out")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigurationError(
                f"the header {name!r} is a {type(value).__name__} that HTTP cannot send; "
                "expected a text in ASCII, on one line"
            )
        checked[name.lower()] = value
    return tuple(sorted(checked.items()))


def _check_server(server: Any, *, has_headers: bool) -> None:
    if isinstance(server, str):
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"server={server!r}; expected a URL such as 'https://mcp.example.com/mcp', or "
                "mcp.StdioServerParameters(command=...)"
            )
    elif not isinstance(server, StdioServerParameters):
        raise ConfigurationError(
            f"server is a {type(server).__name__}; expected a URL or mcp.StdioServerParameters"
        )
    elif has_headers:
        raise ConfigurationError(
            "headers and auth are for a server with a URL; give a command its secrets in env"
        )


def _names(only: Any) -> frozenset[str] | None:
    if only is None:
        return None
    names = () if isinstance(only, str) or not isinstance(only, Iterable) else tuple(only)
    if not names or not all(isinstance(one, str) for one in names):
        raise ConfigurationError(
            f"only={only!r}; expected names of the server's tools, such as ['create_issue']"
        )
    return frozenset(names)
