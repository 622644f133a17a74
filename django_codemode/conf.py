"""The ``CODEMODE`` setting as one validated record."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Annotated, Any, Self

from django.conf import settings as django_settings
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from codemode._suggestions import did_you_mean
from codemode.catalogue.search_words import Synonyms
from codemode.config import ClientConfig, Limits, Tier, TLSConfig, got_number
from codemode.core.context import RuntimeContext
from codemode.core.registry import SearchFunction
from codemode.errors import ConfigurationError
from django_codemode._requests.lazy_users import is_unloaded

__all__ = [
    "CodemodeSettings",
    "check_authentication",
    "check_rate",
    "get_settings",
    "parse",
    "problems",
]

_RATE = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s?#@]+")
_SCOPE = re.compile(r"[!#-\[\]-~]+")  # RFC 6749, appendix A.4
_FAIRNESS_SALT = "django_codemode.fairness_key"
_OF_THE_CLIENT = (
    "executor_url",
    "executor_api_key",
    "executor_log_file",
    "connect_timeout",
    "tls",
    "profile",
    "min_tier",
)


class CodemodeSettings(BaseModel):
    """The validated ``settings.CODEMODE``, with the names of its keys in lower case.

    Units are seconds, bytes and rows. A key that is not set falls back to its
    environment variable in ``ClientConfig.from_env()``, then to the default.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=str.upper,
        hide_input_in_errors=True,
    )

    executor_url: str | None = None
    executor_api_key: SecretStr | None = None
    executor_log_file: Path | None = None
    connect_timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    execution_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    limits: Limits | None = None
    tls: TLSConfig | None = None
    profile: str = "default"
    min_tier: Tier | None = None
    context_provider: Any = None
    tenant_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] | None = None
    tenant_from_host: bool = False
    fairness_key: SecretStr | None = None
    max_rows: Annotated[int, Field(gt=0, strict=True)] = 10_000
    max_request_bytes: Annotated[int, Field(gt=0, strict=True)] = 1024 * 1024
    rate_limit: str | None = None
    rate_limit_cache: str = "default"
    mcp_authentication: tuple[Any, ...] = ()
    mcp_tools: list[str] | None = None
    mcp_plain_tools: list[str] = Field(default_factory=list)
    mcp_max_tokens: Annotated[int, Field(gt=0, strict=True)] | None = None
    mcp_allowed_origins: list[str] = Field(default_factory=list)
    mcp_scopes: list[str] = Field(default_factory=list)
    search: Any = None
    search_synonyms: dict[str, list[str]] = Field(default_factory=dict)

    @field_validator("rate_limit")
    @classmethod
    def _number_per_period(cls, value: str | None) -> str | None:
        return value if value is None else check_rate(value)

    @field_validator("rate_limit_cache")
    @classmethod
    def _known_cache(cls, value: str) -> str:
        if value in django_settings.CACHES:
            return value
        known = ", ".join(sorted(django_settings.CACHES))
        raise ValueError(f"{value!r} is not in CACHES; expected one of {known}")

    @field_validator("context_provider", "search")
    @classmethod
    def _path_or_callable(cls, value: object, info: ValidationInfo) -> object:
        if value is None or isinstance(value, str) or callable(value):
            return value
        takes = "(text, tools, limit)" if info.field_name == "search" else "the request"
        raise ValueError(
            f"the type {type(value).__name__} was given; expected a callable that takes {takes}, "
            "or the dotted path of one"
        )

    @field_validator("mcp_authentication", mode="before")
    @classmethod
    def _ways_to_authenticate(cls, value: object) -> tuple[object, ...]:
        return check_authentication(value)

    @field_validator("mcp_allowed_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin; expected a scheme, a host and, if need be, a "
                    "port, such as 'https://example.com' or 'http://localhost:6274'"
                )
        return value

    @field_validator("mcp_scopes")
    @classmethod
    def _scopes(cls, value: list[str]) -> list[str]:
        for scope in value:
            if not _SCOPE.fullmatch(scope):
                raise ValueError(f"{scope!r} is not a scope; expected a word such as 'codemode'")
        return value

    @field_validator("search_synonyms")
    @classmethod
    def _words_and_phrases(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        Synonyms(value)  # raises what is a ValueError too
        return value

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.tenant_header and self.tenant_from_host:
            raise ValueError(
                "TENANT_HEADER and TENANT_FROM_HOST exclude each other, because a client could "
                "override its host by the header: set one of them"
            )
        limits = self.limits.model_fields_set if self.limits else set()
        if self.execution_timeout and "execution_timeout" in limits:
            raise ValueError(
                "EXECUTION_TIMEOUT and LIMITS['execution_timeout'] set the same limit: use one "
                "of them"
            )
        return self

    def client_config(self) -> ClientConfig:
        """Return the client's configuration. A key that is set overrides its variable.

        Raises ConfigurationError for a bad environment variable.
        """
        chosen = self.model_fields_set.intersection(_OF_THE_CLIENT)  # an explicit None is set too
        config = ClientConfig.from_env(**{name: getattr(self, name) for name in chosen})
        if config.executor_url is None and config.min_tier is None:
            config = config.model_copy(update={"min_tier": _default_min_tier()})
        limits = config.limits.model_dump(exclude_unset=True)
        if self.limits is not None:
            limits |= self.limits.model_dump(exclude_unset=True)
        if self.execution_timeout is not None:
            limits["execution_timeout"] = self.execution_timeout
        return config.model_copy(update={"limits": Limits.parse(limits)})

    def search_function(self) -> SearchFunction | None:
        """Return the project's search of tools, or None. Raises ConfigurationError."""
        search: Any = self.search
        if isinstance(search, str):
            try:
                search = import_string(search)
            except ImportError as error:
                raise ConfigurationError(
                    f"CODEMODE['SEARCH'] {self.search!r} cannot be imported ({error}); expected "
                    "the dotted path of a function search(text, tools, limit)"
                ) from error
        if search is None or (callable(search) and not iscoroutinefunction(search)):
            return search  # type: ignore[no-any-return]  # of the project
        raise ConfigurationError(
            f"CODEMODE['SEARCH'] {self.search!r} is not a plain function; expected "
            "search(text, tools, limit), which may use the database"
        )

    def fairness_key_of(self, context: RuntimeContext | None) -> str:
        """Return the opaque key by which the executor is fair between callers.

        The key is an HMAC of ``tenant_id`` or, without a tenant, of the user's
        primary key, so that the executor cannot identify the caller. It is
        empty if neither is known.
        """
        caller = _caller_of(context or RuntimeContext())
        if not caller:
            return ""
        secret = self.fairness_key.get_secret_value() if self.fairness_key else None
        return salted_hmac(_FAIRNESS_SALT, caller, secret=secret, algorithm="sha256").hexdigest()


def check_rate(rate: object) -> str:
    """Return a rate such as ``"60/minute"`` unchanged. Raises ValueError for anything else."""
    if isinstance(rate, str) and _RATE.fullmatch(rate):
        return rate
    raise ValueError(
        f"{rate!r} is not a rate; expected a number per second, minute, hour or day, "
        "such as '60/minute'"
    )


def check_authentication(value: object) -> tuple[object, ...]:
    """Return the ways in which MCP requests are authenticated. Raises ValueError.

    Each is a name (``"session"``, ``"oauth2"``, ``"anonymous"``), a callable that takes
    the request, or the dotted path of one.
    """
    ways = tuple(value) if isinstance(value, list | tuple) else (value,)
    for way in ways:
        if not (callable(way) or (isinstance(way, str) and way)):
            raise ValueError(
                f"{way!r} does not authenticate; expected 'session', 'oauth2', 'anonymous', a "
                "callable that takes the request, or the dotted path of one"
            )
    if "anonymous" in ways and len(ways) > 1:
        raise ValueError(
            "'anonymous' admits everybody, so that nothing can stand beside it; remove it, or "
            "the rest"
        )
    return ways


def _caller_of(context: RuntimeContext) -> str:
    if (tenant := context.get("tenant_id")) is not None:
        return f"tenant {tenant}"
    user = context.get("user")
    if is_unloaded(user):
        return ""  # loading it is impossible while the thread for sync code waits for the loop
    pk = getattr(user, "pk", None)
    return "" if pk is None else f"user {pk}"


def _default_min_tier() -> str | None:
    """Return the minimum tier of an embedded executor: A in production, C under DEBUG."""
    if "CODEMODE_EXECUTOR_MIN_TIER" in os.environ:
        return None  # the executor reads the variable itself
    return "C" if django_settings.DEBUG else "A"


@lru_cache(maxsize=1)
def get_settings() -> CodemodeSettings:
    """Return the validated setting. Raises ConfigurationError, naming every bad key."""
    return parse(getattr(django_settings, "CODEMODE", {}))


def parse(raw: object) -> CodemodeSettings:
    """Return a value of ``CODEMODE`` as a record. Raises ConfigurationError."""
    validated = _validate(raw)
    if isinstance(validated, CodemodeSettings):
        return validated
    raise ConfigurationError("; ".join(validated))


def problems(raw: object) -> list[str]:
    """Return a sentence for each problem of a value of ``CODEMODE``."""
    validated = _validate(raw)
    return [] if isinstance(validated, CodemodeSettings) else validated


def _validate(raw: object) -> CodemodeSettings | list[str]:
    if not isinstance(raw, Mapping):
        given = type(raw).__name__
        return [f"CODEMODE is a {given}; expected a dict, such as {{'MAX_ROWS': 1000}}"]
    try:
        return CodemodeSettings.model_validate(dict(raw))
    except ValidationError as error:
        return [_sentence(one) for one in error.errors(include_url=False, include_context=False)]


_KEYS: dict[tuple[str, ...], list[str]] = {
    (): sorted(name.upper() for name in CodemodeSettings.model_fields),
    ("LIMITS",): sorted(Limits.model_fields),
    ("TLS",): sorted(TLSConfig.model_fields),
}


def _sentence(problem: ErrorDetails) -> str:
    *path, last = (str(step) for step in problem["loc"]) if problem["loc"] else ("",)
    name = "CODEMODE" + "".join(f"[{step!r}]" for step in (*path, last) if step)
    if problem["type"] == "extra_forbidden":
        known = _KEYS[tuple(path)]
        advice = did_you_mean(
            last if path else last.upper(), known, otherwise=f"expected one of {', '.join(known)}"
        )
        return f"{name} is not a setting{advice}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}: {message}{got_number(problem['input'])}"
