"""The opening of a sandbox: the tools and limits that a child receives first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cbor2

from codemode.config import Limits
from codemode.executor.host.limits import DEFAULT_THREADS, LimitRefusedError
from codemode.executor.pool.children import Child
from codemode.executor.streams.unanswered_calls import most_bytes_in_flight
from codemode.protos import codemode_pb2 as pb
from codemode.wire.frames import Frame, pack

__all__ = ["check_tools", "open_sandbox"]

# The memory that a sandbox starts with (numpy and pandas: some 160 MiB) and the kernel's part.
_GROUP_SLACK_BYTES = 256 * 1024 * 1024

_MOST_TOOLS = 10_000
_MOST_PARAMETERS = 100_000
_MOST_NAME_CHARACTERS = 1024 * 1024


def check_tools(tools: Sequence[pb.ToolSpec], names: str) -> None:
    """Refuse tools so numerous that sending them to a sandbox would delay all other streams.

    Raises LimitRefusedError.
    """
    if len(names) > _MOST_NAME_CHARACTERS:
        raise LimitRefusedError(
            f"the `open` has {len(names)} characters of tool names; an execution takes up to "
            f"{_MOST_NAME_CHARACTERS}: make fewer available to it"
        )
    found = f"{len(tools)} tools"
    if len(tools) <= _MOST_TOOLS:
        parts = sum(
            len(tool.positional_parameters) + len(tool.notes) + len(tool.records) + len(tool.marks)
            for tool in tools
        )
        if parts <= _MOST_PARAMETERS:
            return
        found = f"tools with {parts} parameters and notes"
    raise LimitRefusedError(
        f"the `open` has {found}; an execution takes up to {_MOST_TOOLS} tools, with "
        f"{_MOST_PARAMETERS} parameters and notes in all: make fewer available to it"
    )


def _help_texts(tool: pb.ToolSpec) -> dict[str, list[str]]:
    texts = {"notes": tool.notes, "records": tool.records, "marks": tool.marks}
    return {name: list(lines) for name, lines in texts.items() if lines}


async def open_sandbox(
    child: Child,
    limits: Limits,
    *,
    cpu_seconds: float,
    threads_are_counted: bool,
    tools: Iterable[pb.ToolSpec] = (),
    tool_names: str = "",
    answers_lookups: bool = False,
    session: bool = False,
) -> None:
    """Limit a child's control group and send its OPEN frame. Raises OSError.

    With ``threads_are_counted`` the kernel counts the child's threads
    separately from other processes', so that their limit can be set.
    """
    threads = limits.max_threads or DEFAULT_THREADS
    opening = {
        "session": session,
        "tools": [
            {
                "name": tool.name,
                "signature": tool.signature,
                "positional": list(tool.positional_parameters),
                "description": tool.description,
                "asynchronous": tool.asynchronous,
                "hidden": tool.hidden,
                **_help_texts(tool),
            }
            for tool in tools
        ],
        "tool_names": tool_names,
        "answers_lookups": answers_lookups,
        "limits": {
            "memory_bytes": limits.max_memory_bytes,
            "cpu_seconds": math.ceil(cpu_seconds),
            "threads": threads if threads_are_counted else None,
            "open_files": limits.max_open_files,
            "disk_bytes": limits.max_disk_bytes,
            "value_bytes": limits.max_value_bytes,
            "output_bytes": limits.max_output_bytes,
            "tool_calls_in_flight": limits.max_tool_calls_in_flight,
            "tool_call_bytes_in_flight": most_bytes_in_flight(limits),
            "artifacts": limits.max_artifacts,
            "artifact_bytes": limits.max_artifact_bytes,
        },
    }
    if child.group is not None:
        child.group.limit(
            memory_bytes=limits.max_memory_bytes + limits.max_disk_bytes + _GROUP_SLACK_BYTES,
            processes=threads,
        )
    await child.frames.send(pack(Frame.OPEN, 0, 0, cbor2.dumps(opening)))
