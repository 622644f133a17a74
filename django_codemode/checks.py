"""System checks of the setting and the middleware. None of them opens a connection."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from django.apps import apps
from django.apps.config import AppConfig
from django.conf import settings as django_settings
from django.core.cache import InvalidCacheBackendError, caches
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.utils.module_loading import import_string

from codemode.config import (
    CEILINGS,
    MIN_KEY_CHARACTERS,
    ClientConfig,
    ExecutorConfig,
    TLSConfig,
)
from codemode.errors import ConfigurationError
from django_codemode._requests.rates import counts_by_numbers, why_unfit
from django_codemode.conf import CodemodeSettings, get_settings, problems
from django_codemode.context import provider_of
from django_codemode.mcp.mcp_checks import check_mcp, check_mcp_deployment
from django_codemode.same_name import check_same_name
from django_codemode.tool_checks import check_tools

__all__ = [
    "check_channels",
    "check_deployment",
    "check_middleware",
    "check_setting",
    "register_checks",
]

TAG = "codemode"
_FEW_USERS = 100
_OURS = "django_codemode.middleware.CodemodeMiddleware"
_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


def register_checks() -> None:
    """Register the checks. Idempotent."""
    for check in (check_setting, check_middleware, check_tools, check_channels, check_mcp):
        register(check, TAG)
    register(check_same_name, TAG)
    for check in (check_deployment, check_mcp_deployment):
        register(check, TAG, Tags.security, deploy=True)


def check_setting(
    *, app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Report an invalid setting (E001) or, in a valid one, values that cannot be used."""
    found: list[CheckMessage] = [
        Error(problem, id="django_codemode.E001")
        for problem in problems(getattr(django_settings, "CODEMODE", {}))
    ]
    if found:
        return found
    settings = get_settings()
    if settings.min_tier == "unsafe" and not django_settings.DEBUG:
        found.append(
            Error(
                "CODEMODE['MIN_TIER'] is 'unsafe' and DEBUG is off: models' code would run with "
                "the rights, the files and the network of this process's user.",
                hint="Remove MIN_TIER, or set it to the weakest tier that you accept: A, B or C.",
                id="django_codemode.E004",
            )
        )
    if (problem := _wrong_provider(settings)) is not None:
        found.append(Error(problem, id="django_codemode.E002"))
    try:
        settings.search_function()
    except ConfigurationError as error:
        found.append(Error(str(error), id="django_codemode.E002"))
    found += _wrong_connection(settings)
    found += _wrong_rate_cache(settings)
    return found


def check_middleware(
    *, app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Warn if requests have no context (W001), or a context without the user (W002)."""
    paths = list(django_settings.MIDDLEWARE)
    ours = [place for place, path in enumerate(paths) if _is_a(path, _OURS)]
    authentication = [place for place, path in enumerate(paths) if _is_a(path, _AUTHENTICATION)]
    if not ours:
        return [
            Warning(
                "CodemodeMiddleware is not in MIDDLEWARE, so that tools called from views have no "
                "context: neither user nor tenant.",
                hint="Add 'django_codemode.middleware.CodemodeMiddleware' after "
                "AuthenticationMiddleware. ExecuteView does without it.",
                id="django_codemode.W001",
            )
        ]
    if authentication and ours[0] < authentication[0]:
        return [
            Warning(
                f"{paths[ours[0]]!r} comes before AuthenticationMiddleware in MIDDLEWARE, so that "
                "its context has no user.",
                hint="Move it below AuthenticationMiddleware.",
                id="django_codemode.W002",
            )
        ]
    return []


def check_channels(
    *, app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Warn if Channels is installed and no application would serve websockets (W009)."""
    if not apps.is_installed("channels") or getattr(django_settings, "ASGI_APPLICATION", None):
        return []
    return [
        Warning(
            "Channels is installed but ASGI_APPLICATION is not set: no websocket is served.",
            hint="Set ASGI_APPLICATION to the application that routes to CodemodeConsumer.",
            id="django_codemode.W009",
        )
    ]


def check_deployment(
    *, app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Warn of an insecure executor.

    No encryption is W005, no API key W007, no isolation W008, and a TLS file
    that cannot be read W011.
    """
    try:
        config = get_settings().client_config()
    except ConfigurationError:
        return []  # reported by E001 or E007
    url = config.executor_url
    if url is None:
        return list(_unsafe_tier(config.min_tier))
    scheme = url.partition(":")[0].lower()
    if scheme in {"unix", "unix-abstract"} or _is_this_host(url):
        return []
    found: list[CheckMessage] = list(_unreadable_files(config.tls))
    if scheme != "https" and config.tls is None:
        found.append(
            Warning(
                f"Code, what tools return and the API key travel unencrypted to {url!r}.",
                hint="Use an https:// URL, or set CODEMODE['TLS'], or make the executor listen on "
                "a Unix socket.",
                id="django_codemode.W005",
            )
        )
    if config.executor_api_key is None and (config.tls is None or config.tls.cert_file is None):
        found.append(
            Warning(
                f"No API key is sent to {url!r}: an executor without a key serves everybody who "
                "can reach it.",
                hint="Give the executor a key and set CODEMODE['EXECUTOR_API_KEY'] to it, or "
                "CODEMODE['TLS'] with a client certificate.",
                id="django_codemode.W007",
            )
        )
    return found


def _unreadable_files(tls: TLSConfig | None) -> Iterator[CheckMessage]:
    if tls is None:
        return
    names: tuple[Literal["ca_file", "cert_file", "key_file"], ...]
    names = ("ca_file", "cert_file", "key_file")
    for name in names:
        try:
            tls.read(name)
        except ConfigurationError as error:
            yield Warning(
                f"CODEMODE['TLS']: {error}",
                hint="Without it no code is executed.",
                id="django_codemode.W011",
            )


def _unsafe_tier(min_tier: str | None) -> Iterator[CheckMessage]:
    """Warn of an unsafe tier that E004 misses: from the environment, or with DEBUG on."""
    chosen = min_tier or os.environ.get("CODEMODE_EXECUTOR_MIN_TIER")
    if chosen != "unsafe" or (min_tier == "unsafe" and not django_settings.DEBUG):
        return
    source = "CODEMODE['MIN_TIER']" if min_tier else "CODEMODE_EXECUTOR_MIN_TIER"
    yield Warning(
        f"{source} is 'unsafe': models' code would run with the rights, the files and the network "
        "of this process's user.",
        hint="Remove it, or set it to the weakest tier that you accept: A, B or C.",
        id="django_codemode.W008",
    )


def _wrong_provider(settings: CodemodeSettings) -> str | None:
    try:
        provider = provider_of(settings)
    except ConfigurationError as error:
        return str(error)
    with suppress(ValueError):  # it has no known signature, such as a built-in
        try:
            inspect.signature(provider).bind(object())
        except TypeError as error:
            return (
                f"CODEMODE['CONTEXT_PROVIDER'] {settings.context_provider!r} cannot be called with "
                f"the request alone ({error}); expected a callable that takes one argument"
            )
    return None


def _wrong_connection(settings: CodemodeSettings) -> Iterator[CheckMessage]:
    """Report what is wrong with the setting and the environment combined."""
    try:
        config = settings.client_config()
    except ConfigurationError as error:
        yield Error(
            f"CODEMODE and the CODEMODE_ variables of the environment do not go together: {error}",
            hint="Correct them. A key of CODEMODE beats its variable.",
            id="django_codemode.E007",
        )
        return
    yield from _refused_limits(config)
    if config.executor_url is None:
        return
    yield from _short_key(config)
    # Imports gRPC, which a project with the embedded default need not load here.
    from codemode.core._grpc.channels import metadata_of, parse_target

    try:
        parse_target(config.executor_url, config.tls)
        metadata_of(config.executor_api_key)
    except ConfigurationError as error:
        yield Error(f"CODEMODE: {error}", id="django_codemode.E003")


def _refused_limits(config: ClientConfig) -> Iterator[CheckMessage]:
    """Warn of limits above the executor's ceilings: it refuses each run that asks for them."""
    ceilings = CEILINGS
    if config.executor_url is None:
        try:
            ceilings = ExecutorConfig.from_env().ceilings
        except ConfigurationError:
            return  # the embedded executor reports this when it starts
    for name, asked in config.limits.model_dump(exclude_unset=True).items():
        ceiling = getattr(ceilings, name)
        if None not in (asked, ceiling) and asked > ceiling:
            yield Warning(
                f"The limit {name} is {asked:,} and an executor grants {ceiling:,} at most, unless "
                "its own configuration says otherwise: it refuses each run.",
                hint=f"Lower it (EXECUTION_TIMEOUT, LIMITS or CODEMODE_LIMITS__{name.upper()}), or "
                f"raise the executor's ceiling (CODEMODE_EXECUTOR_CEILINGS__{name.upper()}).",
                id="django_codemode.W013",
            )


def _short_key(config: ClientConfig) -> Iterator[CheckMessage]:
    key = config.executor_api_key
    if key is not None and len(key.get_secret_value()) < MIN_KEY_CHARACTERS:
        yield Warning(
            f"The API key has fewer than {MIN_KEY_CHARACTERS} characters: it can be guessed, and "
            "an executor does not start with it.",
            hint="Make one by python -c 'import secrets; print(secrets.token_urlsafe())', and give "
            "it to the executor and to the project.",
            id="django_codemode.W017",
        )


def _wrong_rate_cache(settings: CodemodeSettings) -> Iterator[CheckMessage]:
    if settings.rate_limit is None:
        return
    alias = settings.rate_limit_cache
    try:
        cache = caches[alias]
    except (InvalidCacheBackendError, ImportError):
        return  # Django reports this when the cache is used
    if (reason := why_unfit(cache)) is not None:
        yield Error(
            f"CODEMODE['RATE_LIMIT'] is set and the cache {alias!r} cannot count: {reason}.",
            hint="Name another cache by CODEMODE['RATE_LIMIT_CACHE'].",
            id="django_codemode.E008",
        )
        return
    most = int(settings.rate_limit.partition("/")[0])
    entries = getattr(cache, "_max_entries", None)
    if counts_by_numbers(cache) and entries is not None and entries < _FEW_USERS * most:
        yield Warning(
            f"The cache {alias!r} keeps an entry for each execution that CODEMODE['RATE_LIMIT'] "
            f"counts, and {entries:,} entries at most: with more users than "
            f"{entries // most:,} it forgets some, who then may execute more often.",
            hint="Set OPTIONS['MAX_ENTRIES'] of that cache to the executions of all users in two "
            "periods, or count in Redis or Memcached.",
            id="django_codemode.W012",
        )


def _is_this_host(url: str) -> bool:
    # The address of http://host:port, of a bare host:port, and of dns:///host:port.
    address = url.rstrip("/").rpartition("/")[2]
    try:
        host = urlsplit(f"//{address}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # another host name, or no host at all
        return False


def _is_a(path: str, middleware: str) -> bool:
    """Return whether a path leads to a middleware class or to a subclass of it."""
    # Compared by name, because a project may lack django.contrib.auth. Django itself
    # reports a path that cannot be imported, when it loads the middleware.
    with suppress(ImportError):
        found = import_string(path)
        return inspect.isclass(found) and middleware in (
            f"{one.__module__}.{one.__qualname__}" for one in found.__mro__
        )
    return False
