"""Settings of the client and of the executor.

``ClientConfig()`` and ``ExecutorConfig()`` read no environment;
``from_env()`` reads it with pydantic-settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from codemode.errors.base import ConfigurationError

__all__ = ["CEILINGS", "ClientConfig", "ExecutorConfig", "Limits", "TLSConfig", "Tier"]

Tier = Literal["A", "B", "C", "unsafe"]

KIB = 1024
MIB = 1024 * KIB
MIN_KEY_CHARACTERS = 16

# Longer than anybody waits, and within what the clocks of gRPC and of the system can count.
MAX_SECONDS = 365 * 24 * 3600

Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0, lt=2**31)]
Bytes = Annotated[int, Field(gt=0, lt=2**50)]


class _Model(BaseModel):
    """Base class of the settings.

    A subclass declares a constructor for type checkers where a field accepts
    more than its own type. Without pydantic's plugin, type checkers derive the
    parameters from the fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build from a mapping; raise ConfigurationError naming the key, the value and the fix."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise _configuration_error(cls, error) from None


def _configuration_error(model: type[BaseModel], error: ValidationError) -> ConfigurationError:
    """Return an error with one line that names what is wrong with each key."""
    parts = []
    for problem in error.errors(include_url=False, include_context=False):
        key = ".".join(str(step) for step in problem["loc"]) or model.__name__
        if problem["type"] == "extra_forbidden":
            owner = _owner(model, problem["loc"])
            known = ", ".join(sorted(owner.model_fields))
            parts.append(f"{key!r} is not a setting of {owner.__name__}; it takes: {known}")
        else:
            parts.append(f"{key}: {problem['msg']}{got_number(problem['input'])}")
    return ConfigurationError("; ".join(parts))


def got_number(value: Any) -> str:
    """Return the end of a message that shows a number or a bool; other values may be secrets."""
    if not isinstance(value, int | float | bool):
        return ""
    if isinstance(value, int) and value.bit_length() > 64:  # str() refuses very long integers
        return f" (got an integer of {value.bit_length()} bits)"
    return f" (got {value!r})"


def _owner(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model, ``model`` or one nested in it, that should have the path's last step."""
    for step in path[:-1]:
        annotation = model.model_fields[str(step)].annotation
        found = [kind for kind in (annotation, *get_args(annotation)) if _is_model(kind)]
        if not found:
            break
        model = found[0]
    return model


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


class Limits(_Model):
    """The limits of one execution.

    In a session, wall time, output and artifacts are counted per run, everything
    else over the whole session.

    Durations are in seconds, sizes in bytes. ``max_cpu_seconds=None`` is one
    second more than ``execution_timeout``. With ``max_threads=None`` the executor
    chooses: 32, or fewer where all threads of the host get equal shares of its CPU.
    ``max_value_bytes`` bounds the encoded result, the encoded inputs, and the
    encoded arguments and result of each tool call. ``max_artifact_bytes`` bounds
    all artifacts of a run together.
    """

    execution_timeout: Seconds = 30.0
    queue_timeout: Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)] = 30.0
    idle_timeout: Seconds = 300.0
    max_cpu_seconds: Seconds | None = None
    max_memory_bytes: Bytes = 512 * MIB
    max_threads: Count | None = None
    max_open_files: Count = 64
    max_disk_bytes: Bytes = 16 * MIB
    max_output_bytes: Bytes = 1 * MIB
    max_value_bytes: Bytes = 16 * MIB
    max_code_bytes: Bytes = 256 * KIB
    max_tool_calls: Count = 10_000
    max_tool_calls_in_flight: Count = 100
    max_artifacts: Count = 10
    max_artifact_bytes: Bytes = 8 * MIB


CEILINGS = Limits(
    execution_timeout=600,
    queue_timeout=600,
    idle_timeout=3600,
    max_cpu_seconds=600,
    max_memory_bytes=2048 * MIB,
    max_threads=128,
    max_open_files=256,
    max_disk_bytes=16 * MIB,
    max_output_bytes=64 * MIB,
    max_value_bytes=64 * MIB,
    max_code_bytes=4 * MIB,
    max_tool_calls=1_000_000,
    max_tool_calls_in_flight=1_000,
    max_artifacts=100,
    max_artifact_bytes=64 * MIB,
)
"""The ceilings of an executor whose configuration sets no others."""


class TLSConfig(_Model):
    """The PEM files of a TLS connection.

    A client needs ``ca_file`` (None: the system's roots), and ``cert_file``
    with ``key_file`` for mutual TLS. An executor needs ``cert_file`` with
    ``key_file``, and ``ca_file`` when clients must show a certificate.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            ca_file: str | Path | None = None,
            cert_file: str | Path | None = None,
            key_file: str | Path | None = None,
        ) -> None: ...

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together: give both or neither")
        return self

    def read(self, name: Literal["ca_file", "cert_file", "key_file"]) -> bytes | None:
        """Return the content of one of the files, or None when it is not set."""
        path: Path | None = getattr(self, name)
        if path is None:
            return None
        try:
            return path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"TLS {name} {str(path)!r} cannot be read: {error.strerror}; "
                "expected a PEM file that this process may read"
            ) from error


class ClientConfig(_Model):
    """A client's settings: how to reach an executor, and what each execution may use.

    ``executor_url`` is ``http://host:port``, ``https://host:port``,
    ``unix:/path`` or any gRPC target. None starts an embedded executor on first
    use; ``min_tier`` is the weakest isolation tier in which it serves (None: C).
    ``connect_timeout`` is how many seconds an execution waits for a connection.
    """

    executor_url: str | None = None
    executor_api_key: SecretStr | None = None
    connect_timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    limits: Limits = Limits()
    tls: TLSConfig | None = None
    profile: str = "default"
    min_tier: Tier | None = None
    executor_log_file: Path | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            executor_url: str | None = None,
            executor_api_key: str | SecretStr | None = None,
            connect_timeout: float = ...,
            limits: Limits | Mapping[str, Any] = ...,
            tls: TLSConfig | None = None,
            profile: str = ...,
            min_tier: Tier | None = None,
            executor_log_file: str | Path | None = None,
        ) -> None: ...

    @model_validator(mode="after")
    def _tier_of_the_embedded_executor(self) -> Self:
        if self.min_tier is not None and self.executor_url is not None:
            raise ValueError(
                "min_tier is for the executor that this client starts itself; one at executor_url "
                "has its own minimum (CODEMODE_EXECUTOR_MIN_TIER there): drop min_tier here"
            )
        return self

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Read ``CODEMODE_EXECUTOR_URL``, ``CODEMODE_EXECUTOR_API_KEY`` and related variables.

        An argument overrides the environment. Raises ConfigurationError.
        """
        # pydantic-settings takes long to import, and only this needs it.
        from codemode._environment import ClientEnvironment

        return cls.parse({**_from_env(ClientEnvironment), **overrides})


class ExecutorConfig(_Model):
    """An executor's settings: where it listens, whom it admits and what it grants.

    ``listen`` accepts ``unix:/path`` and ``host:port``. Every address that is
    not a Unix socket requires an API key, of 16 characters or more.
    ``max_concurrency=None`` means twice the number of cores, at least 16.
    ``max_concurrency_per_key=None`` lets one caller (one fairness key) use all
    of it. ``max_connections`` applies to each address.

    ``min_tier`` is the weakest isolation tier in which the executor serves.
    ``tier`` fixes the tier, instead of the best that the host offers.

    ``packages`` are folders that executed code may read and import from.
    ``warm_profiles`` are the profiles whose sandboxes are warm from the start.
    """

    listen: tuple[str, ...] = ("127.0.0.1:8001",)
    api_key: SecretStr | None = None
    tls: TLSConfig | None = None
    min_tier: Tier = "A"
    tier: Tier | None = None
    limits: Limits = Limits()
    ceilings: Limits = CEILINGS
    max_concurrency: Count | None = None
    max_concurrency_per_key: Count | None = None
    max_queued: Annotated[int, Field(ge=0)] = 1000
    max_queued_bytes: Bytes = 256 * MIB
    max_connections: Count = 1000
    pool_size: Count | None = None
    packages: tuple[Path, ...] = ()
    warm_profiles: tuple[str, ...] = ("default",)
    child_max_age: Seconds = 600.0
    zygote_max_forks: Count = 10_000
    zygote_max_age: Seconds = 3600.0
    parent_pid_fd: int | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            listen: list[str] | tuple[str, ...] = ...,
            api_key: str | SecretStr | None = None,
            tls: TLSConfig | None = None,
            min_tier: Tier = ...,
            tier: Tier | None = None,
            limits: Limits | Mapping[str, Any] = ...,
            ceilings: Limits | Mapping[str, Any] = ...,
            max_concurrency: int | None = None,
            max_concurrency_per_key: int | None = None,
            max_queued: int = ...,
            max_queued_bytes: int = ...,
            max_connections: int = ...,
            pool_size: int | None = None,
            packages: list[str] | list[Path] | tuple[str | Path, ...] = ...,
            warm_profiles: list[str] | tuple[str, ...] = ...,
            child_max_age: float = ...,
            zygote_max_forks: int = ...,
            zygote_max_age: float = ...,
            parent_pid_fd: int | None = None,
        ) -> None: ...

    @field_validator("ceilings", mode="before")
    @classmethod
    def _over_the_default_ceilings(cls, value: Any) -> Any:
        return {**CEILINGS.model_dump(), **value} if isinstance(value, Mapping) else value

    @field_validator("api_key")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        length = MIN_KEY_CHARACTERS if value is None else len(value.get_secret_value().strip())
        if length < MIN_KEY_CHARACTERS:
            raise ValueError(
                f"the API key has {length} characters, which can be guessed; take one of at least "
                f"{MIN_KEY_CHARACTERS} by chance, as `openssl rand -hex 32` prints it, or leave it "
                "out on a Unix socket"
            )
        return value

    @model_validator(mode="after")
    def _grants_what_it_gives_unasked(self) -> Self:
        for name in Limits.model_fields:
            default, ceiling = getattr(self.limits, name), getattr(self.ceilings, name)
            if None not in (default, ceiling) and default > ceiling:
                raise ValueError(
                    f"limits.{name}={default:g} is above ceilings.{name}={ceiling:g}, but a "
                    "request without limits would get it; lower the limit, or raise the ceiling"
                )
        return self

    @model_validator(mode="after")
    def _one_request_may_wait(self) -> Self:
        if self.max_queued_bytes < self.ceilings.max_value_bytes:
            raise ValueError(
                f"max_queued_bytes={self.max_queued_bytes} has no room for the inputs of one "
                f"execution, which the ceilings grant max_value_bytes="
                f"{self.ceilings.max_value_bytes}: raise it, or lower the ceiling"
            )
        return self

    @property
    def concurrency(self) -> int:
        """The number of sandboxes that may run at once."""
        return self.max_concurrency or max(16, 2 * (os.cpu_count() or 1))

    @property
    def warm_children(self) -> int:
        """The number of idle sandboxes that wait for work."""
        return min(self.pool_size or max(4, 2 * (os.cpu_count() or 1)), self.concurrency)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Read ``CODEMODE_EXECUTOR_API_KEY`` and related variables. Raises ConfigurationError."""
        from codemode._environment import ExecutorEnvironment

        return cls.parse({**_from_env(ExecutorEnvironment), **overrides})


def _from_env(settings: type[BaseModel]) -> dict[str, Any]:
    """Return the fields that the environment sets."""
    try:
        return settings().model_dump(exclude_none=True)
    except ValidationError as error:
        raise _configuration_error(settings, error) from None
