"""The origin check of websockets: browsers send cookies with requests from any page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import ParseResult, urlparse

from channels.security.websocket import OriginValidator
from django.http.request import split_domain_port

from django_codemode.asgi import allowed_hosts, headers_of, host_of

__all__ = ["origin_is_allowed"]


def origin_is_allowed(scope: Mapping[str, Any], allowed_origins: Sequence[str] | None) -> bool:
    """Return whether a websocket's Origin is in ``allowed_origins``; None means this site.

    The hosts of this site are those that ALLOWED_HOSTS names and, if it has
    ``*``, the host that the client addressed. A client without an Origin is not
    a browser, and only a browser can be made to send another site's cookies.
    """
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    try:
        parsed = [urlparse(one.decode("latin-1")) for one in origins]
        return all(_is_allowed(one, scope, allowed_origins) for one in parsed)
    except ValueError:  # not a URL
        return False


def _is_allowed(
    origin: ParseResult, scope: Mapping[str, Any], allowed_origins: Sequence[str] | None
) -> bool:
    nothing: Any = None  # the validator wraps no application, only its check is used
    if allowed_origins is not None:
        return OriginValidator(nothing, allowed_origins).valid_origin(origin)
    hosts = allowed_hosts()
    if OriginValidator(nothing, [host for host in hosts if host != "*"]).valid_origin(origin):
        return True
    domain = split_domain_port(host_of(headers_of(scope)))[0]
    return "*" in hosts and domain != "" and origin.hostname == domain.strip("[]")
