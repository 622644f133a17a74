"""The record of one run, made from the executor's messages. Does no IO."""

from __future__ import annotations

import re
import time
from itertools import islice
from typing import Any, cast

from codemode.config import Limits
from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core._recording.recorded_pass import RecordedPass
from codemode.core.artifact import Artifact
from codemode.core.events import (
    Event,
    ExecutionStarted,
    OutputReceived,
    ProgressReported,
    ToolCallFinished,
    ToolCallStarted,
)
from codemode.core.hooks import ToolCall
from codemode.core.recorder import EndRun
from codemode.core.result import (
    ExecutionFailure,
    ExecutionResult,
    ExecutionStatus,
    ToolCallRecord,
    Usage,
)
from codemode.errors import ExecutorProtocolError, ValueDecodingError
from codemode.protos import codemode_pb2 as pb
from codemode.values import decode
from codemode.values.shortening import cut
from codemode.wire.constants import MAX_HINT_CHARACTERS, MAX_HINTS
from codemode.wire.protobuf import ChunkBuffer

__all__ = ["Transcript"]

_LINE_END = re.compile(r"\r\n|\n|\r")
_MAX_SOURCE_LINE = 500

_STREAMS = {pb.Output.STREAM_STDOUT: "stdout", pb.Output.STREAM_STDERR: "stderr"}
_STATUSES = frozenset({"failed", "timeout", "cancelled", "limit", "crashed"})
_DIVERGED = "diverged"  # of recorded runs alone


class Transcript:
    """The record of one run, which has a result at any time."""

    def __init__(
        self,
        *,
        execution_id: str,
        code: str,
        execution_timeout: float,
        dispatcher: Dispatcher,
        limits: Limits,
        recording: RecordedPass | None = None,
    ) -> None:
        self.recording = recording
        self.execution_id = execution_id
        self._code = code
        self.dispatcher = dispatcher
        self._execution_timeout = execution_timeout
        self.started = False
        self.features: frozenset[str] = frozenset()  # of the executor
        self.final: ExecutionResult | None = None
        self._isolation = "none"
        self._limits = limits
        self._output: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._printed_characters = 0
        self._artifacts: dict[str, Artifact] = {}  # by name
        self._artifact_bytes = 0
        self.chunks = ChunkBuffer()
        self._began = time.monotonic()
        self._code_began = self._began

    @property
    def left_a_tool(self) -> bool:
        """Return whether a sync tool of the run still holds the thread for sync code."""
        return self.dispatcher.holds_sync_thread

    def keep_chunk(self, data: bytes) -> None:
        """Keep the beginning of a large value or artifact. Raises ExecutorProtocolError."""
        self.chunks.add(data)
        # Only the message after the chunks shows what they belong to.
        limits = self._limits
        if self.chunks.size > max(limits.max_value_bytes, limits.max_artifact_bytes):
            raise self._excess("a value", "max_value_bytes", "max_artifact_bytes")

    def event(self, message: pb.ExecutorMessage) -> Event | None:
        """Note a message that needs no answer; return its event, if it has one.

        Raises ExecutorProtocolError for more than the limits of the run allow,
        and EndRun for output that is not the recorded one.
        """
        match message.WhichOneof("message"):
            case "output":
                return self._printed(message.output)
            case "progress":
                progress = message.progress
                total = progress.total if progress.HasField("total") else None
                return ProgressReported(done=progress.done, total=total, note=progress.note)
            case "started":
                self.started = True
                self.features = frozenset(message.started.features)
                self._isolation = message.started.isolation
                # The time in the queue does not count.
                self._code_began = time.monotonic()
                self.dispatcher.deadline = self._code_began + self._execution_timeout
                return ExecutionStarted(execution_id=self.execution_id, isolation=self._isolation)
            case "chunk":
                self.keep_chunk(message.chunk.data)
            case "artifact":
                self._keep_artifact(message.artifact)
        return None  # the others are of a newer executor

    def _printed(self, output: pb.Output) -> Event | None:
        name = _STREAMS.get(output.stream)
        if name is None or not output.text:
            return None
        self._printed_characters += len(output.text)
        if self._printed_characters > self._limits.max_output_bytes:
            # A character is at least one of the bytes that the executor counts.
            raise self._excess("output", "max_output_bytes")
        self._output[name].append(output.text)
        new = output.text
        if self.recording is not None and not (new := self.recording.printed(name, new)):
            return None
        return OutputReceived(stream=cast("Any", name), text=new)

    def _keep_artifact(self, message: pb.Artifact) -> None:
        limits = self._limits
        data = self.chunks.whole(message.data)
        self._artifact_bytes += len(data)
        if len(self._artifacts) >= limits.max_artifacts:
            raise self._excess("artifacts", "max_artifacts")
        if self._artifact_bytes > limits.max_artifact_bytes:
            raise self._excess("artifacts", "max_artifact_bytes")
        artifact = Artifact.received(message.name, data, taken=self._artifacts)
        self._artifacts[artifact.name] = artifact

    def _excess(self, what: str, *names: str) -> ExecutorProtocolError:
        """Return the error for an executor that sends more than its limits allow."""
        limits = " and ".join(f"{name} ({getattr(self._limits, name)})" for name in names)
        return ExecutorProtocolError(
            f"the executor sent {what} above {limits}", result=self.partial()
        )

    def call_started(self, call: ToolCall) -> ToolCallStarted:
        """Return the event for the start of a call."""
        return ToolCallStarted(
            call_id=call.call_id,
            name=call.name,
            arguments=call.arguments,
            at_ms=self._start_ms(call),
        )

    def call_finished(self, call: ToolCall) -> ToolCallFinished:
        """Return the event for the end of a call."""
        record = call.record
        duration_ms = record.duration_ms or 0.0
        return ToolCallFinished(
            call_id=record.call_id,
            name=record.name,
            outcome=record.outcome,
            duration_ms=duration_ms,
            error=record.error,
            at_ms=self._start_ms(call) + duration_ms,
            encoded=call.outcome.value if call.outcome else None,
        )

    def _start_ms(self, call: ToolCall) -> float:
        return (call.entry.started - self._code_began) * 1000

    def complete(self, message: pb.Completed) -> ExecutionResult:
        """Decode the result, which is hostile bytes. May take long for large ones."""
        data = self.chunks.whole(message.value)
        try:
            value = decode(data, max_bytes=self._limits.max_value_bytes)
        except ValueDecodingError as error:
            failure = ExecutionFailure(type="ProtocolError", message=f"the result: {error}")
            self.final = self._result("crashed", message, error=failure)
        else:
            self.final = self._result("completed", message, value=value)
        return self.final

    def fail(self, message: pb.Failed) -> ExecutionResult:
        """Note that the code did not complete."""
        status = message.status if message.status in _STATUSES else "failed"
        kind, text = message.type, message.message
        if self.recording is not None and message.status == _DIVERGED:
            status, kind, text = _DIVERGED, "Divergence", self.recording.divergence(message)
        self.final = self._result(
            cast("ExecutionStatus", status),
            message,
            error=ExecutionFailure(
                type=kind,
                message=text,
                line=message.line or None,
                source_line=_line_of(self._code, message.line),
                traceback=message.traceback,
            ),
        )
        return self.final

    def cancelled(self, why: str) -> ExecutionResult:
        """Note that the run was cancelled from this side."""
        self.final = self._result(
            "cancelled", error=ExecutionFailure(type="Cancelled", message=why)
        )
        return self.final

    def end(self, ending: EndRun) -> ExecutionResult:
        """Note that the run has ended in a state of the host."""
        self.final = self._result(
            ending.status, error=ExecutionFailure(type=ending.type, message=ending.message)
        )
        return self.final

    def refuse_code_size(self, size: int, limit: int) -> ExecutionResult:
        """Note that the code is too large to be sent at all."""
        failure = ExecutionFailure(
            type="CodeSizeLimit",
            message=f"the code has {size} bytes; max_code_bytes is {limit}",
        )
        self.final = self._result("limit", error=failure)
        return self.final

    def partial(self) -> ExecutionResult | None:
        """Return the record so far for an error; None when the run has not begun."""
        if not self.started:
            return None
        failure = ExecutionFailure(type="Crashed", message="the executor was lost during the run")
        return self._result("crashed", error=failure)

    def _replayed(self) -> tuple[ToolCallRecord, ...]:
        return () if self.recording is None else self.recording.records()

    def _result(
        self,
        status: ExecutionStatus,
        last: pb.Completed | pb.Failed | None = None,
        *,
        value: Any = None,
        error: ExecutionFailure | None = None,
    ) -> ExecutionResult:
        duration_ms = (time.monotonic() - self._began) * 1000
        return ExecutionResult(
            status=status,
            execution_id=self.execution_id,
            value=value,
            stdout="".join(self._output["stdout"]),
            stderr="".join(self._output["stderr"]),
            hints=_hints_of(last),
            artifacts=tuple(self._artifacts.values()),
            error=error,
            tool_calls=self._replayed() + self.dispatcher.records(),
            duration_ms=duration_ms,
            isolation=self._isolation,
            usage=_usage_of(last),
        )


def _hints_of(last: pb.Completed | pb.Failed | None) -> tuple[str, ...]:
    if last is None or not last.hints:
        return ()
    return tuple(hint[:MAX_HINT_CHARACTERS] for hint in islice(last.hints, MAX_HINTS))


def _usage_of(last: pb.Completed | pb.Failed | None) -> Usage:
    if last is None:
        return Usage()
    usage = last.usage
    return Usage(
        wall_seconds=usage.wall_seconds,
        cpu_seconds=usage.cpu_seconds,
        max_rss_bytes=usage.max_rss_bytes,
        output_bytes=usage.output_bytes,
        tool_calls=usage.tool_calls,
    )


def _line_of(code: str, number: int) -> str:
    """Return a line of the code, counted from 1 as Python counts, or "" if there is none."""
    lines = _LINE_END.split(code, number)
    return cut(lines[number - 1], _MAX_SOURCE_LINE) if 0 < number <= len(lines) else ""
