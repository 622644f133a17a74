"""Whether a websocket comes from a page that may open it: browsers send cookies from any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import ParseResult, urlparse

from channels.security.websocket import OriginValidator
from django.http.request import split_domain_port

from django_codemode.asgi import allowed_hosts, headers_of, host_of

__all__ = ["origin_is_allowed"]


def origin_is_allowed(scope: Mapping[str, Any], allowed_origins: Sequence[str] | None) -> bool:
    """Tell whether a websocket's Origin is among ``allowed_origins``; None: of this site.

    Of this site are the hosts that ALLOWED_HOSTS names; where it has ``*``,
    which names none, the host that is spoken to. Without an Origin the client
    is no browser, which alone can be made to send another site's cookies.
    """
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    try:
        parsed = [urlparse(one.decode("latin-1")) for one in origins]
        return all(_is_allowed(one, scope, allowed_origins) for one in parsed)
    except ValueError:  # It is no URL.
        return False


def _is_allowed(
    origin: ParseResult, scope: Mapping[str, Any], allowed_origins: Sequence[str] | None
) -> bool:
    nothing: Any = None  # What the validator would wrap: here it is only asked.
    if allowed_origins is not None:
        return OriginValidator(nothing, allowed_origins).valid_origin(origin)
    hosts = allowed_hosts()
    if OriginValidator(nothing, [host for host in hosts if host != "*"]).valid_origin(origin):
        return True
    domain = split_domain_port(host_of(headers_of(scope)))[0]
    return "*" in hosts and domain != "" and origin.hostname == domain.strip("[]")
