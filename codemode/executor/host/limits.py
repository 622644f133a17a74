"""A request's limits, checked against the executor's ceilings."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass

from codemode.config import ExecutorConfig, Limits
from codemode.protos import codemode_pb2 as pb

__all__ = [
    "DEFAULT_THREADS",
    "LimitRefusedError",
    "SandboxSettings",
    "resolve_limits",
    "resolve_seconds",
    "sandbox_settings",
    "to_message",
    "with_threads",
]

_PENDING_SIGNALS = 64
_COUNTED = ("A", "B")

DEFAULT_THREADS = 32
"""The thread limit of a sandbox whose request sets none."""

# asyncio's thread pool has four threads more than there are cores; the guest needs some too.
_THREADS_BEYOND_CORES = 8

# The limits of the wire message; a run's durations travel in separate fields.
_FIELDS = tuple(field.name for field in pb.Limits.DESCRIPTOR.fields)


class LimitRefusedError(ValueError):
    """A requested limit that is invalid or above its ceiling; the message names it."""


def resolve_limits(asked: pb.Limits, config_limits: Limits, ceilings: Limits) -> Limits:
    """Return the limits of one sandbox. Raises LimitRefusedError."""
    values = {}
    for name in _FIELDS:
        value = getattr(asked, name)
        if value:
            values[name] = _checked(name, value, getattr(ceilings, name))
    return config_limits.model_copy(update=values)


def with_threads(config: ExecutorConfig, *, cpu_by_sandbox: bool) -> ExecutorConfig:
    """Return the configuration with a number of threads for requests without one.

    The number is smaller where the CPU is shared by thread and not by sandbox.
    """
    most = config.ceilings.max_threads or DEFAULT_THREADS
    threads = config.limits.max_threads or min(most, DEFAULT_THREADS)
    if config.limits.max_threads is None and not cpu_by_sandbox:
        threads = min(threads, (os.cpu_count() or 1) + _THREADS_BEYOND_CORES)
    return config.model_copy(
        update={
            "limits": config.limits.model_copy(update={"max_threads": threads}),
            "ceilings": config.ceilings.model_copy(update={"max_threads": most}),
        }
    )


def resolve_seconds(name: str, asked: float, default: float, ceiling: float) -> float:
    """Return a request's duration in seconds, or its default. Raises LimitRefusedError."""
    return _checked(name, asked, ceiling) if asked else default


def _checked(name: str, value: float, ceiling: float | None) -> float:
    if not (math.isfinite(value) and value > 0):
        raise LimitRefusedError(f"{name}={value!r} is not a positive number")
    if ceiling is not None and value > ceiling:
        raise LimitRefusedError(
            f"{name}={value:g} is above this executor's ceiling of {ceiling:g}; "
            "ask for less, or raise the ceiling in the executor's configuration"
        )
    return value


def to_message(limits: Limits) -> pb.Limits:
    """Return the limits as a wire message."""
    return pb.Limits(**{name: getattr(limits, name) or 0 for name in _FIELDS})


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """The lock-down of children before their run is known.

    ``rlimits``, ``threads`` and ``disk_bytes`` are the executor's ceilings; a
    run lowers them to its limits. ``without`` names layers to leave out, in
    mutation tests only.
    """

    tier: str
    rlimits: Mapping[str, int]
    threads: int
    disk_bytes: int
    without: tuple[str, ...] = ()

    @property
    def threads_are_counted(self) -> bool:
        """Whether the kernel counts a child's threads separately from other processes'."""
        return self.tier in _COUNTED


def sandbox_settings(tier: str, ceilings: Limits) -> SandboxSettings:
    """Return the settings of children under these ceilings."""
    counted = tier in _COUNTED
    return SandboxSettings(
        tier=tier,
        rlimits={**_hard_rlimits(ceilings), **({} if counted else _reserve_of_threads())},
        threads=ceilings.max_threads or DEFAULT_THREADS,
        disk_bytes=ceilings.max_disk_bytes,
    )


def _reserve_of_threads() -> Mapping[str, int]:
    """Return a thread limit for sandboxes that leaves a quarter to the user's other processes.

    The kernel counts all threads of the user together: those of the sandboxes, of
    the executor and of anything else. With a lower limit for the sandboxes, the
    others can still start threads when the sandboxes cannot.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    return {} if most == resource.RLIM_INFINITY else {"RLIMIT_NPROC": most - most // 4}


def _hard_rlimits(ceilings: Limits) -> Mapping[str, int]:
    """Return the hard limits that hold in every tier.

    Memory is limited for the run only: that limit adds to the size of the
    forked process, which is known only in the child.
    """
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": ceilings.max_open_files,
        "RLIMIT_FSIZE": ceilings.max_disk_bytes,
        # Kernel memory that the code could use beyond its memory limit.
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_SIGPENDING": _PENDING_SIGNALS,
    }
    if ceilings.max_cpu_seconds is not None:
        limits["RLIMIT_CPU"] = math.ceil(ceilings.max_cpu_seconds)
    return {name: value for name, value in limits.items() if hasattr(resource, name)}
