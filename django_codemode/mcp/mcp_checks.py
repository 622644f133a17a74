"""System checks of the MCP server's settings. None of them opens a connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.apps.config import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning

from codemode.errors import ConfigurationError
from django_codemode.conf import CodemodeSettings, get_settings
from django_codemode.mcp.authentication import resolve_authentication
from django_codemode.mcp.offer import Offer
from django_codemode.shared import shared

__all__ = ["check_mcp", "check_mcp_deployment"]


def check_mcp(
    *, app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Report how MCP requests cannot be authenticated (E009), and tools that are not (E010)."""
    if (settings := _settings()) is None:
        return []
    return [*_authentication(settings), *_tools()]


def check_mcp_deployment(
    *, app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Warn if everybody who reaches the MCP server may execute code (W019)."""
    settings = _settings()
    if settings is None or "anonymous" not in settings.mcp_authentication:
        return []
    return [
        Warning(
            "CODEMODE['MCP_AUTHENTICATION'] is 'anonymous': everybody who reaches the MCP server "
            "may execute code, and call every tool without a permission.",
            hint="Name 'session', 'oauth2', or a callable of the project.",
            id="django_codemode.W019",
        )
    ]


def _settings() -> CodemodeSettings | None:
    try:
        return get_settings()
    except ConfigurationError:
        return None  # reported by E001


def _authentication(settings: CodemodeSettings) -> Iterator[CheckMessage]:
    ways = settings.mcp_authentication
    if not ways:
        return  # no MCP by HTTP; mcp_application() refuses to be made
    try:
        resolve_authentication(ways, settings.mcp_scopes)
    except ConfigurationError as error:
        yield Error(str(error), id="django_codemode.E009")
    if find_spec("mcp") is None:
        yield _error("is set, and the package mcp is missing", "django-codemode[mcp]")
    if "session" in ways and not _stores_sessions():
        yield _error(
            "has 'session', and the app of SESSION_ENGINE is not in INSTALLED_APPS",
            "'django.contrib.sessions'",
        )
    if "oauth2" in ways and not apps.is_installed("oauth2_provider"):
        yield _error(
            "has 'oauth2', and 'oauth2_provider' is not in INSTALLED_APPS",
            "django-codemode[oauth], and the app of Django OAuth Toolkit",
        )


def _stores_sessions() -> bool:
    in_database = django_settings.SESSION_ENGINE.startswith("django.contrib.sessions") and (
        django_settings.SESSION_ENGINE.endswith("db")
    )
    return not in_database or apps.is_installed("django.contrib.sessions")


def _error(what: str, missing: str) -> Error:
    return Error(
        f"CODEMODE['MCP_AUTHENTICATION'] {what}.",
        hint=f"Install {missing}.",
        id="django_codemode.E009",
    )


def _tools() -> Iterator[CheckMessage]:
    if shared.problems:
        return  # tools are missing, and E005 or E006 says why
    offer = Offer().by_setting()
    for setting, check in (("MCP_TOOLS", offer.select), ("MCP_PLAIN_TOOLS", offer.select_plain)):
        try:
            check(shared.registry)
        except ConfigurationError as error:
            message = str(error).replace("available_tools", f"CODEMODE['{setting}']")
            yield Error(message, id="django_codemode.E010")
