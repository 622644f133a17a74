"""The checked execution that results from a request and from what is offered to its user."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from codemode._suggestions import did_you_mean
from codemode.core.codemode import Codemode, EventStream
from codemode.core.context import RuntimeContext
from codemode.core.result import ExecutionResult
from codemode.tools.names import names_meant
from django_codemode.atomic import run_in_transaction
from django_codemode.payload import ExecutePayload
from django_codemode.refusals import RefusalError

__all__ = ["Execution", "prepare_execution"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """An execution that has been checked. Run it within its ``context``."""

    codemode: Codemode
    context: RuntimeContext
    code: str
    arguments: dict[str, Any]

    def run(self) -> ExecutionResult:
        """Execute as ``Codemode.run``."""
        return self.codemode.run(self.code, **self.arguments)

    def run_atomic(self, using: str) -> ExecutionResult:
        """Execute as ``django_codemode.run_atomic``."""
        return run_in_transaction(self.codemode, self.code, using=using, **self.arguments)

    async def arun(self) -> ExecutionResult:
        """Execute as ``Codemode.run_async``."""
        return await self.codemode.run_async(self.code, **self.arguments)

    def stream(self) -> EventStream:
        """Execute as ``Codemode.stream``."""
        return self.codemode.stream(self.code, **self.arguments)


def prepare_execution(
    payload: ExecutePayload,
    *,
    codemode: Codemode,
    context: RuntimeContext,
    offered: Iterable[str] | None,
    longest: float,
) -> Execution:
    """Check a request against the ``offered`` tools and the ``longest`` timeout in seconds.

    May query the database. Raises RefusalError.
    """
    return Execution(
        codemode=codemode,
        context=context,
        code=payload.code,
        arguments={
            "inputs": payload.inputs,
            "available_tools": _tools(codemode, context, offered, payload.available_tools),
            "execution_timeout": _seconds(payload.execution_timeout, longest),
        },
    )


def _tools(
    codemode: Codemode,
    context: RuntimeContext,
    offered: Iterable[str] | None,
    requested: list[str] | None,
) -> list[str] | None:
    registry = codemode.registry
    within = registry.select(offered)
    if requested is None:
        return None if offered is None else list(within)
    chosen: dict[str, None] = {}
    for name in dict.fromkeys(requested):
        meant = names_meant(name, within)
        if not meant:
            # Suggest only tools that the user may see: a name can reveal something.
            hint = did_you_mean(name, registry.visible(within, context))
            raise RefusalError(
                "unknown_tool", f"'available_tools' has {name[:100]!r}, which is not a tool{hint}"
            )
        chosen.update(dict.fromkeys(meant))
    return list(chosen)


def _seconds(requested: float | None, longest: float) -> float:
    if requested is not None and requested > longest:
        raise RefusalError(
            "invalid_execution_timeout",
            # An integer of JSON may exceed the range of float, which the format converts to.
            f"'execution_timeout' is {min(requested, sys.float_info.max):g} seconds; "
            f"a request may ask for {longest:g} at most",
        )
    return longest if requested is None else requested
