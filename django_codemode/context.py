"""The RuntimeContext of a request, and the provider that makes it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from codemode.core.context import RuntimeContext
from codemode.errors import ConfigurationError
from django_codemode.conf import CodemodeSettings, get_settings

__all__ = [
    "ContextProvider",
    "aprovide",
    "as_context",
    "call_provider",
    "default_provider",
    "provide",
    "provider_of",
    "request_id_from",
]

Provided = Mapping[str, Any] | RuntimeContext
ContextProvider = Callable[[Any], Provided | Awaitable[Provided]]

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")


def default_provider(request: HttpRequest) -> dict[str, Any]:
    """Return ``request_id``, ``user`` and ``tenant_id``, as far as they are known.

    ``user`` is the value that ``request.user`` has on first use; a run loads it
    when it begins. ``tenant_id`` is present if ``TENANT_HEADER`` or
    ``TENANT_FROM_HOST`` names its source.
    """
    variables: dict[str, Any] = {"request_id": _request_id(request)}
    if hasattr(request, "user"):
        variables["user"] = SimpleLazyObject(lambda: request.user)
    tenant = _tenant_id(request)
    if tenant is not None:
        variables["tenant_id"] = tenant
    return variables


def provider_of(settings: CodemodeSettings) -> ContextProvider:
    """Return the project's CONTEXT_PROVIDER, or the default one.

    Raises ConfigurationError if the provider cannot be imported or called.
    """
    provider: Any = settings.context_provider
    if provider is None:
        return default_provider
    if isinstance(provider, str):
        try:
            provider = import_string(provider)
        except ImportError as error:
            raise ConfigurationError(
                f"CODEMODE['CONTEXT_PROVIDER'] {settings.context_provider!r} cannot be imported "
                f"({error}); expected the dotted path of a callable that takes the request"
            ) from error
    if not callable(provider):
        raise ConfigurationError(
            f"CODEMODE['CONTEXT_PROVIDER'] {settings.context_provider!r} is a "
            f"{type(provider).__name__}; expected a callable that takes the request"
        )
    found: ContextProvider = provider
    return found


def provide(request: HttpRequest) -> RuntimeContext:
    """Return the request's context, from synchronous code.

    Raises ConfigurationError if CONTEXT_PROVIDER cannot be used.
    """
    provider = provider_of(get_settings())
    provided = provider(request)
    if inspect.isawaitable(provided):
        provided = async_to_sync(_wait_for)(provided)
    return as_context(provided, provider)


async def aprovide(request: HttpRequest) -> RuntimeContext:
    """Return the request's context, from asynchronous code.

    A synchronous CONTEXT_PROVIDER runs in the request's thread, where it may
    query the database. Raises ConfigurationError if the provider cannot be used.
    """
    provider = provider_of(get_settings())
    if provider is default_provider:
        return provide(request)  # reads only the request: no thread is needed
    return as_context(await call_provider(provider, request), provider)


async def call_provider(provider: Callable[[Any], Any], argument: object) -> object:
    """Call a sync or async provider; a sync one runs in the request's thread."""
    if inspect.iscoroutinefunction(provider):
        return await provider(argument)
    # Wrapped in a lambda, because asgiref refuses a callable that it takes for asynchronous.
    provided = await sync_to_async(lambda: provider(argument))()
    # A callable object or a lambda turns out to be asynchronous only now.
    return await provided if inspect.isawaitable(provided) else provided


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def request_id_from(header: str | None) -> str:
    """Return the request's own id if it is well-formed, else a new id."""
    if header and _SANE_REQUEST_ID.fullmatch(header):
        return header
    return str(uuid4())


def as_context(provided: object, provider: object) -> RuntimeContext:
    """Return a provider's or hook's result as a RuntimeContext. Raises ConfigurationError."""
    if isinstance(provided, RuntimeContext):
        return provided
    if isinstance(provided, Mapping) and all(isinstance(name, str) for name in provided):
        return RuntimeContext(variables=provided)
    name = getattr(provider, "__qualname__", type(provider).__qualname__)
    raise ConfigurationError(
        f"the context cannot be made: {name} returned a {type(provided).__name__}; expected "
        "a mapping of names to values, such as {'tenant_id': 'acme'}, or a RuntimeContext"
    )


def _request_id(request: HttpRequest) -> str:
    # An outer middleware may have chosen an id already.
    for around in (vars(request), getattr(request, "scope", {})):
        outer = around.get("codemode_context")
        if isinstance(outer, RuntimeContext) and "request_id" in outer:
            return str(outer["request_id"])
    return request_id_from(request.headers.get("X-Request-ID"))


def _tenant_id(request: HttpRequest) -> str | None:
    settings = get_settings()
    if settings.tenant_header:
        return request.headers.get(settings.tenant_header) or None
    if settings.tenant_from_host:
        return split_domain_port(request.get_host())[0] or None
    return None
