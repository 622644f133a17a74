"""The outcome of a run that did not complete: a status, a type and a message."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass

from codemode.config import Limits
from codemode.executor.pool.children import Exit
from codemode.wire.constants import EXIT_NO_MEMORY

__all__ = ["LIMIT_TYPES", "Ending", "ending_of_exit", "status_of_failure"]

LIMIT_TYPES = frozenset({"ArtifactLimit", "MemoryLimit", "ResultLimit"})
"""Types of failure by which the guest reports that a limit was reached."""

_CRASH_SIGNALS = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP}
)
# The kernel enforces the CPU limit by sampling at its ticks, but reports the precise time. On a
# busy machine the difference grows with the square root of the number of ticks.
_CPU_DOUBT = 0.5
_MEMORY_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The ending of a run that did not complete."""

    status: str
    type: str
    message: str
    line: int = 0
    traceback: str = ""


def status_of_failure(type_name: str) -> str:
    """Return the status that belongs to a failure reported by the guest."""
    return "limit" if type_name in LIMIT_TYPES else "failed"


def ending_of_exit(
    exit: Exit | None, limits: Limits, cpu_limit: float, output: str, *, hung_up: bool = False
) -> Ending:
    """Classify the death of a child that had taken its code and was not killed by this side.

    ``output`` is the end of its raw output, which helps to explain a crash. Only a child
    that ``hung_up`` was killed by this side: it had closed its frame socket and lived on.
    """
    tail = f"\n{output.strip()[-2000:]}" if output.strip() else ""
    if exit is None:
        return Ending(
            status="crashed",
            type="Killed",
            message="the sandbox was killed together with the process that had made it",
        )
    if exit.signal == signal.SIGKILL:
        return _ending_of_kill(exit, limits, cpu_limit, tail if hung_up else None)
    if exit.signal == signal.SIGXCPU:
        return _cpu_limit(cpu_limit)
    if exit.signal == signal.SIGSYS:
        return Ending(
            status="crashed",
            type="SecurityViolation",
            message="the code made a system call that the sandbox forbids",
        )
    if exit.signal is not None:
        name = signal.Signals(exit.signal).name if exit.signal in set(signal.Signals) else "?"
        hint = ""
        if exit.signal in _CRASH_SIGNALS and _near_memory_limit(exit, limits):
            hint = f"; it was near its memory limit of {limits.max_memory_bytes} bytes"
        return Ending(
            status="crashed",
            type="Crashed",
            message=f"the interpreter crashed with signal {exit.signal} ({name}){hint}{tail}",
        )
    if exit.code == EXIT_NO_MEMORY:
        return Ending(
            status="limit",
            type="MemoryLimit",
            message=(
                "the inputs, or what a tool returned, did not fit into the memory that was left; "
                f"max_memory_bytes is {limits.max_memory_bytes}"
            ),
        )
    return Ending(
        status="crashed",
        type="ExitedEarly",
        message=(
            f"the process ended with exit status {exit.code} before the run did: the code called "
            f"os._exit or closed the sandbox's channel{tail}"
        ),
    )


def _ending_of_kill(exit: Exit, limits: Limits, cpu_limit: float, hung_up: str | None) -> Ending:
    # Where a control group reports lack of memory, there is nothing to guess.
    enforced = math.ceil(cpu_limit)  # the kernel counts whole seconds
    if not exit.out_of_memory and exit.cpu_seconds >= enforced - _CPU_DOUBT * math.sqrt(enforced):
        return _cpu_limit(cpu_limit)
    if exit.out_of_memory or _near_memory_limit(exit, limits):
        return Ending(
            status="limit",
            type="MemoryLimit",
            message=(
                f"the system killed the code at {exit.max_rss_bytes} bytes of memory; "
                f"max_memory_bytes is {limits.max_memory_bytes}"
            ),
        )
    if hung_up is not None:
        return Ending(
            status="crashed",
            type="ExitedEarly",
            message=f"the code closed the sandbox's channel before the run ended{hung_up}",
        )
    return Ending(
        status="crashed",
        type="Killed",
        message="the sandbox was killed from outside (SIGKILL), not by a limit of its own",
    )


def _cpu_limit(cpu_limit: float) -> Ending:
    return Ending(
        status="limit",
        type="CpuLimit",
        message=f"the code used its CPU time; max_cpu_seconds is {cpu_limit:g}",
    )


def _near_memory_limit(exit: Exit, limits: Limits) -> bool:
    return exit.max_rss_bytes >= _MEMORY_SHARE * limits.max_memory_bytes
