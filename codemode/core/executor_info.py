"""An executor's description of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codemode.protos import codemode_pb2 as pb

__all__ = ["ExecutorInfo", "info_from"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorInfo:
    """The properties of an executor; ``ceilings`` has the maximum of each limit."""

    executor_version: str
    protocol_version: int
    python_version: str
    isolation: str
    isolation_detail: str
    default_limits: Mapping[str, float]
    ceilings: Mapping[str, float]
    max_execution_timeout: float
    profiles: Mapping[str, tuple[str, ...]]
    max_concurrency: int
    max_queued: int


def info_from(answer: pb.GetInfoResponse) -> ExecutorInfo:
    """Return the wire message as a record."""
    return ExecutorInfo(
        executor_version=answer.executor_version,
        protocol_version=answer.protocol_version,
        python_version=answer.python_version,
        isolation=answer.isolation,
        isolation_detail=answer.isolation_detail,
        default_limits=_limits(answer.default_limits),
        ceilings=_limits(answer.ceilings),
        max_execution_timeout=answer.max_execution_timeout,
        profiles={profile.name: tuple(profile.preloaded_modules) for profile in answer.profiles},
        max_concurrency=answer.max_concurrency,
        max_queued=answer.max_queued,
    )


def _limits(message: pb.Limits) -> Mapping[str, float]:
    return {field.name: value for field, value in message.ListFields()}
