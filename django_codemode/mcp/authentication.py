"""Who an MCP request comes from: a session, a token of OAuth 2, or the project's own credential.

The checks are synchronous and may query the database. They see the headers of
a request alone: no body has been read when they run.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth import get_user
from django.core.exceptions import BadRequest
from django.http import HttpRequest
from django.utils.http import is_same_domain
from django.utils.module_loading import import_string

from codemode.errors import ConfigurationError
from django_codemode.refusals import RefusalError

__all__ = [
    "Authentication",
    "UnauthenticatedError",
    "check_origin",
    "is_own_origin",
    "resolve_authentication",
]

_BUILT_IN = ("session", "oauth2", "anonymous")


class UnauthenticatedError(RefusalError):
    """The refusal of a credential, or of its absence; ``error`` is a code of RFC 6750, or ""."""

    def __init__(self, message: str, *, error: str = "", status: int = 401) -> None:
        super().__init__(error or "not_authenticated", message, status=status)
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """The ways in which the requests of an MCP server are authenticated, in their order.

    ``anonymous`` is True if everybody is admitted. ``scopes`` are those that a
    token of OAuth 2 needs.
    """

    ways: tuple[Callable[[HttpRequest], Any], ...]
    anonymous: bool = False
    oauth2: bool = False
    scopes: tuple[str, ...] = ()

    def user_of(self, request: HttpRequest, resource: str) -> Any:
        """Return the request's user, or None if everybody is admitted.

        ``resource`` is the URL for which a token of OAuth 2 must have been
        issued. Raises UnauthenticatedError unless one of the ways gives a user.
        """
        if self.anonymous:
            return None
        for way in self.ways:
            user = way(request)
            if inspect.isawaitable(user):
                user = async_to_sync(_wait_for)(user)
            if user is None:
                continue
            # By the key, callers are told apart.
            if not (hasattr(user, "is_authenticated") and hasattr(user, "pk")):
                raise ConfigurationError(
                    f"{way!r} returned a {type(user).__name__} for a request; expected a user, "
                    "or None for a request without a valid credential"
                )
            if user.is_authenticated:
                return user
        if self.oauth2 and (user := self._user_of_token(request, resource)) is not None:
            return user
        if "Authorization" in request.headers:
            raise UnauthenticatedError("the credential is not valid", error="invalid_token")
        raise UnauthenticatedError("send a credential, such as: Authorization: Bearer TOKEN")

    def challenge(self, refusal: RefusalError, metadata_url: str) -> str:
        """Return the ``WWW-Authenticate`` header of a refusal, by RFC 6750 and RFC 9728."""
        parts = []
        if isinstance(refusal, UnauthenticatedError) and refusal.error:
            parts += [("error", refusal.error), ("error_description", str(refusal))]
        if self.oauth2:
            parts.append(("resource_metadata", metadata_url))
            if self.scopes:
                parts.append(("scope", " ".join(self.scopes)))
        return " ".join(("Bearer", ", ".join(f'{name}="{text}"' for name, text in parts))).strip()

    def _user_of_token(self, request: HttpRequest, resource: str) -> Any:
        """Return the user of a token of OAuth 2, or None for anything else.

        Raises UnauthenticatedError for a valid token that is not for this resource, and
        BadRequest for a query that cannot be read.
        """
        if not _has_bearer_token(request):
            return None
        # Imports models, so only when the apps are ready.
        from oauth2_provider.oauth2_backends import get_oauthlib_core

        try:
            valid, checked = get_oauthlib_core().verify_request(request, scopes=[])
        except ValueError as error:  # oauthlib's, of a query
            raise BadRequest(str(error)) from error
        if not valid or checked.user is None:
            return None
        token = checked.access_token
        # The library lets a token without an audience pass everywhere, one for a whole site on
        # all its paths, and any by a setting. The MCP specification forbids that: another
        # service to which it was given could use it here.
        if resource.rstrip("/") not in {one.rstrip("/") for one in token.resource}:
            raise UnauthenticatedError(
                f"the token was not issued for {resource}: ask for it with this resource",
                error="invalid_token",
            )
        if not token.allow_scopes(self.scopes):
            raise UnauthenticatedError(
                f"the token lacks a scope; needed are: {' '.join(self.scopes)}",
                error="insufficient_scope",
                status=403,
            )
        return checked.user


def resolve_authentication(ways: Sequence[Any], scopes: Iterable[str]) -> Authentication:
    """Return the ways that the setting names, imported. Raises ConfigurationError.

    Without any, nobody could tell one caller from another.
    """
    if not ways:
        raise ConfigurationError(
            "CODEMODE['MCP_AUTHENTICATION'] is empty, so that no MCP request can be admitted; "
            "name 'session', 'oauth2' or a callable of the project, or 'anonymous' to let "
            "everybody who reaches the server execute code"
        )
    return Authentication(
        ways=tuple(_imported(way) for way in ways if way not in ("oauth2", "anonymous")),
        anonymous="anonymous" in ways,
        oauth2="oauth2" in ways,
        scopes=tuple(scopes),
    )


def check_origin(request: HttpRequest, allowed_origins: Iterable[str]) -> None:
    """Raise RefusalError for a page of another site: its browser may reach what it may not.

    A client without an Origin is not a browser.
    """
    origin = request.headers.get("Origin")
    if origin is None or origin in allowed_origins or is_own_origin(request, origin):
        return
    raise RefusalError(
        "origin_not_allowed",
        "the Origin is neither this site nor in CODEMODE['MCP_ALLOWED_ORIGINS']",
        status=403,
    )


def is_own_origin(request: HttpRequest, origin: str) -> bool:
    """Return whether an Origin is this site, or one that ``CSRF_TRUSTED_ORIGINS`` names."""
    if origin == f"{request.scheme}://{request.get_host()}":
        return True
    scheme, _, host = origin.partition("://")
    for trusted in django_settings.CSRF_TRUSTED_ORIGINS:
        its_scheme, _, its_host = trusted.partition("://")
        # "https://*.example.com" means subdomains alone, as in CsrfViewMiddleware.
        if scheme == its_scheme and is_same_domain(host, its_host.lstrip("*")):
            return True
    return False


def _user_of_session(request: HttpRequest) -> Any:
    """Return the user who is logged in by the request's session cookie, or None.

    Raises RefusalError for a cookie that a browser may have sent on behalf of
    another site, or of nobody knows which.
    """
    key = request.COOKIES.get(django_settings.SESSION_COOKIE_NAME)
    if not key or _has_bearer_token(request):
        return None
    origin = request.headers.get("Origin")
    if origin is None or not is_own_origin(request, origin):
        raise RefusalError(
            "origin_not_allowed",
            "a session is accepted only from a page of this site, with its Origin header",
            status=403,
        )
    session = import_module(django_settings.SESSION_ENGINE).SessionStore(key)
    # While SECRET_KEY is rotated, Django would give the session a new key, and no cookie of
    # ours would carry it to the browser.
    session.cycle_key = lambda: None
    request.session = session
    return get_user(request)


def _has_bearer_token(request: HttpRequest) -> bool:
    return request.headers.get("Authorization", "")[:7].lower() == "bearer "


def _imported(way: Any) -> Callable[[HttpRequest], Any]:
    if way == "session":
        return _user_of_session
    if isinstance(way, str):
        try:
            way = import_string(way)
        except ImportError as error:
            raise ConfigurationError(
                f"CODEMODE['MCP_AUTHENTICATION'] {way!r} cannot be imported ({error}); expected "
                f"{', '.join(map(repr, _BUILT_IN))}, or the dotted path of a callable that takes "
                "the request and returns a user or None"
            ) from error
    if not callable(way):
        raise ConfigurationError(
            f"CODEMODE['MCP_AUTHENTICATION'] has {way!r}; expected a callable that takes the "
            "request and returns a user or None"
        )
    return cast("Callable[[HttpRequest], Any]", way)


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
