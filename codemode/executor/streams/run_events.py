"""The messages to the client about one run, apart from those that hold a guest's report."""

from __future__ import annotations

import sys

from codemode.executor.streams.endings import Ending
from codemode.executor.streams.guest_reports import GuestCall
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import PROTOCOL_VERSION, features_with

__all__ = ["completed", "ended", "started", "steps_taken", "tool_call", "tool_call_cancelled"]

# A sandbox runs the executor's own interpreter.
_PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def started(request: pb.Run, *, isolation: str, version: str) -> pb.ExecutorMessage:
    """Return the event that a sandbox has taken the code of the request."""
    return pb.ExecutorMessage(
        started=pb.Started(
            run_id=request.run_id,
            execution_id=request.execution_id,
            isolation=isolation,
            protocol_version=PROTOCOL_VERSION,
            executor_version=version,
            features=features_with(isolation),
            python_version=_PYTHON_VERSION,
        )
    )


def tool_call(run_id: int, call_id: int, call: GuestCall, arguments: bytes) -> pb.ExecutorMessage:
    """Return a call, with the last chunk of its arguments."""
    return pb.ExecutorMessage(
        tool_call=pb.ToolCall(
            run_id=run_id,
            call_id=call_id,
            name=call.name,
            arguments=arguments,
            label=call.label,
            steps=call.steps,
        )
    )


def tool_call_cancelled(run_id: int, call_id: int) -> pb.ExecutorMessage:
    """Return the event that the code no longer waits for a call."""
    return pb.ExecutorMessage(
        tool_call_cancelled=pb.ToolCallCancelled(run_id=run_id, call_id=call_id)
    )


def steps_taken(run_id: int, steps: bytes) -> pb.ExecutorMessage:
    """Return a piece of a recorded run's steps."""
    return pb.ExecutorMessage(steps=pb.Steps(run_id=run_id, data=steps))


def completed(run_id: int, value: bytes, usage: pb.Usage, hints: list[str]) -> pb.ExecutorMessage:
    """Return the last event of a run that has a value, with its last chunk."""
    return pb.ExecutorMessage(
        completed=pb.Completed(run_id=run_id, value=value, usage=usage, hints=hints)
    )


def ended(run_id: int, ending: Ending, usage: pb.Usage, hints: list[str]) -> pb.ExecutorMessage:
    """Return the last event of a run that the executor ended."""
    return pb.ExecutorMessage(
        failed=pb.Failed(
            run_id=run_id,
            status=ending.status,
            type=ending.type,
            message=ending.message,
            usage=usage,
            hints=hints,
        )
    )
