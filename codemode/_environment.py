"""The environment variables that set a client or an executor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["ClientEnvironment", "ExecutorEnvironment"]


class ClientEnvironment(BaseSettings):
    """The environment variables of a client."""

    model_config = SettingsConfigDict(
        env_prefix="CODEMODE_", env_nested_delimiter="__", extra="ignore", env_ignore_empty=True
    )

    executor_url: str | None = None
    executor_api_key: SecretStr | None = None
    limits: dict[str, Any] | None = None
    tls: dict[str, Any] | None = None
    profile: str | None = None
    connect_timeout: float | None = None
    executor_log_file: Path | None = None


class ExecutorEnvironment(BaseSettings):
    """The environment variables of an executor."""

    model_config = SettingsConfigDict(
        env_prefix="CODEMODE_EXECUTOR_",
        env_nested_delimiter="__",
        extra="ignore",
        env_ignore_empty=True,
    )

    api_key: SecretStr | None = None
    min_tier: str | None = None
    tier: str | None = None
    limits: dict[str, Any] | None = None
    ceilings: dict[str, Any] | None = None
    tls: dict[str, Any] | None = None
    max_concurrency: int | None = None
    max_concurrency_per_key: int | None = None
    max_queued: int | None = None
    max_queued_bytes: int | None = None
    max_connections: int | None = None
    pool_size: int | None = None
    packages: Annotated[tuple[Path, ...] | None, NoDecode] = None
    warm_profiles: Annotated[tuple[str, ...] | None, NoDecode] = None

    @field_validator("packages", mode="before")
    @classmethod
    def _as_path_lists_are(cls, value: Any) -> Any:
        return value.split(os.pathsep) if isinstance(value, str) else value

    @field_validator("warm_profiles", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value
