"""All-or-nothing executions: a transaction that is committed only if the code completes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.core.exceptions import SynchronousOnlyOperation
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections, transaction

from codemode.core.result import ExecutionFailure, ExecutionResult
from codemode.errors import ConfigurationError
from django_codemode.shared import get_codemode

if TYPE_CHECKING:
    from codemode.core.codemode import Codemode

__all__ = ["run_atomic", "run_in_transaction"]


def run_atomic(
    code: str,
    *,
    using: str = DEFAULT_DB_ALIAS,
    inputs: Mapping[str, Any] | None = None,
    available_tools: Iterable[str] | None = None,
    execution_timeout: float | None = None,
    profile: str | None = None,
) -> ExecutionResult:
    """Execute as ``Codemode.run``, and keep what tools wrote only if the result is ``ok``.

    The tools run in a transaction of the database ``using``, or in a savepoint
    of the surrounding transaction. If the database breaks the transaction, or
    refuses the commit with an IntegrityError, the result is ``failed``, however
    the code ended. What tools did elsewhere, such as in another database or over
    a network, is not undone.

    Raises SynchronousOnlyOperation in an event loop. Raises ConfigurationError
    if a tool with ``thread_sensitive=False`` is available: such tools would run
    outside of the transaction.
    """
    return run_in_transaction(
        get_codemode(),
        code,
        using=using,
        inputs=inputs,
        available_tools=available_tools,
        execution_timeout=execution_timeout,
        profile=profile,
    )


def run_in_transaction(
    codemode: Codemode, code: str, *, using: str, available_tools: Iterable[str] | None, **more: Any
) -> ExecutionResult:
    """Execute as ``run_atomic``, with a given Codemode."""
    _refuse_in_a_loop()
    names = None if available_tools is None else list(available_tools)
    _refuse_pooled_tools(codemode, names)
    result = None
    try:
        with transaction.atomic(using=using):
            result = codemode.run(code, available_tools=names, **more)
            connection = connections[using]
            if result.ok and (connection.needs_rollback or not connection.is_usable()):
                # Committing such a transaction rolls it back without an error.
                result = _failed(
                    result,
                    transaction.TransactionManagementError(
                        "an error of the database in a tool has broken the transaction, "
                        "although the code caught the error; decorate tools that write with "
                        "@transaction.atomic"
                    ),
                )
            if not result.ok:
                transaction.set_rollback(True, using=using)
    except IntegrityError as error:  # from a constraint that is checked on commit
        if result is None:
            raise
        return _failed(result, error)
    return result


def _failed(result: ExecutionResult, error: Exception) -> ExecutionResult:
    message = f"{error}. Everything that the code did in the database was taken back."
    failure = ExecutionFailure(type=type(error).__name__, message=message)
    return replace(result, status="failed", value=None, error=failure)


def _refuse_in_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SynchronousOnlyOperation(
        "run_atomic() was called in an event loop, where its tools would run in another thread, "
        "outside of the transaction; use await sync_to_async(run_atomic)(code)"
    )


def _refuse_pooled_tools(codemode: Codemode, names: list[str] | None) -> None:
    registry = codemode.registry
    tools = registry.visible(registry.select(names), registry.get_context())
    pooled = sorted(
        name for name, tool in tools.items() if not (tool.asynchronous or tool.thread_sensitive)
    )
    if pooled:
        raise ConfigurationError(
            f"the tools {', '.join(pooled)} have thread_sensitive=False and would run outside of "
            "the transaction; leave them out by available_tools, or let them be thread-sensitive"
        )
