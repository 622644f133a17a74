"""The columns of the matrix: tools of each kind, and the code that calls them."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any, Literal

from asgiref.sync import async_to_sync

from codemode import ExecutionResult, get_current_context, get_current_execution, tool
from django_codemode import get_codemode
from tests.concurrency.places import Place, ahere, current_heartbeat, here

__all__ = ["COLUMNS", "TOOLS", "Column"]

# Long enough for a live loop to show it on the busiest machine. A blocked loop shows nothing,
# however long the wait.
_ALIVE_SECONDS = 60.0
_BLOCKED_SECONDS = 0.05

Facts = dict[str, Any]


def facts(kind: str, place: Place | None, **more: Any) -> Facts:
    """Return what a tool sees: its tenant, the run that called it, and its place."""
    context, execution = get_current_context(), get_current_execution()
    return {
        "kind": kind,
        "tenant": context and context.get("tenant_id"),
        "execution": execution and execution.execution_id,
        "place": place and list(place),
        "thread": threading.get_ident(),
        **more,
    }


def report(blocked: bool = False) -> Facts:
    """Report where a sync tool runs, and whether the caller's loop stays alive meanwhile."""
    heartbeat = current_heartbeat.get()
    seconds = _BLOCKED_SECONDS if blocked else _ALIVE_SECONDS
    alive = None if heartbeat is None else heartbeat.goes_on(seconds)
    return facts("sync", here(), alive=alive)


@tool(thread_sensitive=False)
def pooled(blocked: bool = False) -> Facts:
    """Report where a sync tool runs that does not need the caller's thread."""
    return {**report(blocked), "kind": "pooled"}


_waiting: dict[str, int] = {}


async def areport(together: int) -> Facts:
    """Report where an async tool runs, once ``together`` of them are running."""
    execution = get_current_execution()
    assert execution is not None
    _waiting[execution.execution_id] = _waiting.get(execution.execution_id, 0) + 1
    async with asyncio.timeout(_ALIVE_SECONDS):
        while _waiting[execution.execution_id] < together:
            await asyncio.sleep(0.001)
    return facts("async", None, loop=id(asyncio.get_running_loop()))


async def aorm() -> Facts:
    """Report where the queries of an async tool run."""
    return facts("orm", await ahere(), loop=id(asyncio.get_running_loop()))


def execute(blocked: bool = False) -> Facts:
    """Execute code in a sync tool."""
    return nested(facts("sync", here()), get_codemode().run(inner(blocked)))


async def execute_async(blocked: bool = False) -> Facts:
    """Execute code in an async tool."""
    outer = facts("orm", await ahere(), loop=id(asyncio.get_running_loop()))
    return nested(outer, await get_codemode().run_async(inner(blocked)))


def execute_across(blocked: bool = False) -> Facts:
    """Execute code in a sync tool by the asynchronous half."""
    result = async_to_sync(get_codemode().run_async)(inner(blocked))
    return nested(facts("sync", here()), result)


async def aexecute_across(blocked: bool = False) -> Facts:
    """Execute code in an async tool by the synchronous half, which blocks the tool's loop."""
    outer = facts("orm", await ahere(), loop=id(asyncio.get_running_loop()))
    return nested(outer, get_codemode().run(inner(blocked)))


def nested(outer: Facts, result: ExecutionResult) -> Facts:
    assert result.ok, result.error
    return {"outer": outer, "inner": result.value}


def inner(blocked: bool) -> str:
    """Return code that calls a tool of each kind."""
    return (
        f"import asyncio\n[style.report({blocked}), style.pooled({blocked}), "
        "*await asyncio.gather(style.areport(2), style.areport(2), style.aorm())]"
    )


@dataclass(frozen=True, kw_only=True)
class Column:
    """One kind of tool, with the code that calls it.

    ``nests`` says in which half the tool itself executes code: in the caller's thread, in the
    caller's loop, or in a worker thread, because a loop runs.
    """

    name: str
    code: str
    nests: Literal["", "sync", "async", "worker"] = ""


TOOLS = {
    f"style.{one.__name__}": one
    for one in (report, pooled, areport, aorm, execute, execute_async, execute_across)
} | {"style.aexecute_across": aexecute_across}

COLUMNS = [
    Column(name="sync tool", code="[style.report(BLOCKED), style.report(BLOCKED)]"),
    Column(name="pooled tool", code="[style.pooled(BLOCKED), style.pooled(BLOCKED)]"),
    Column(
        name="async tool",
        code="import asyncio\nawait asyncio.gather(style.areport(2), style.areport(2))",
    ),
    Column(
        name="async ORM", code="import asyncio\nawait asyncio.gather(style.aorm(), style.aorm())"
    ),
    Column(name="sync > execute", code="[style.execute(BLOCKED)]", nests="sync"),
    Column(
        name="async > execute_async", code="[await style.execute_async(BLOCKED)]", nests="async"
    ),
    Column(name="sync > execute_async", code="[style.execute_across(BLOCKED)]", nests="sync"),
    Column(name="async > execute", code="[await style.aexecute_across(BLOCKED)]", nests="worker"),
]
