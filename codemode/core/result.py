"""The outcome of an execution, as one record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from codemode.catalogue.result_text import render_outcome
from codemode.core.artifact import Artifact
from codemode.values import to_text

__all__ = [
    "ExecutionFailure",
    "ExecutionResult",
    "ExecutionStatus",
    "ToolCallRecord",
    "Usage",
]

ExecutionStatus = Literal[
    "completed", "failed", "timeout", "cancelled", "limit", "crashed", "diverged"
]

ToolCallOutcome = Literal["running", "completed", "failed", "refused", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallRecord:
    """The record of one tool call of an execution.

    ``outcome`` is ``running`` for a call that had started but not ended when
    the execution did. ``duration_ms`` is None until the call has ended.
    ``replayed`` calls were answered from a recording, or by a recorder: no tool
    ran, they took no time, and their ``call_id`` is negative.
    """

    call_id: int
    name: str
    arguments: dict[str, Any]
    outcome: ToolCallOutcome
    duration_ms: float | None = None
    error: str | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFailure:
    """The reason why an execution did not complete.

    ``type`` is the name of the exception (``ZeroDivisionError``) or of the
    limit (``MemoryLimit``); ``line`` counts the lines of the code from 1, and
    ``source_line`` is the text of that line, or "" when unknown; ``traceback``
    has the frames of the code only.
    """

    type: str
    message: str
    line: int | None = None
    source_line: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The resources that an execution used: seconds, bytes and tool calls."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    max_rss_bytes: int = 0
    output_bytes: int = 0
    tool_calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """The whole outcome of one execution.

    ``status`` shows how the execution ended:

    * ``completed``: ``value`` is the result.
    * ``failed``: the code raised, or its result cannot travel or was never awaited.
    * ``timeout``: the wall clock ran out.
    * ``cancelled``: the caller cancelled the execution, or closed the client.
    * ``limit``: the execution exceeded a limit, named by ``error.type``.
    * ``crashed``: the sandbox died.
    * ``diverged``: a replay left its recording; ``error.message`` has the call that
      was expected and the one that came. Nothing of the code ran after it.

    Whatever the status, ``stdout``, ``stderr``, ``artifacts`` and ``tool_calls``
    hold everything up to the end. ``hints`` are remarks for the model that wrote the
    code, such as a call that was never awaited.
    """

    status: ExecutionStatus
    execution_id: str
    value: Any = None
    stdout: str = ""
    stderr: str = ""
    hints: tuple[str, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    error: ExecutionFailure | None = None
    tool_calls: tuple[ToolCallRecord, ...] = ()
    duration_ms: float = 0.0
    isolation: str = "none"
    usage: Usage = field(default_factory=Usage)

    @property
    def ok(self) -> bool:
        """Whether the code completed."""
        return self.status == "completed"

    @property
    def text(self) -> str:
        """The value as text: a str unchanged, everything else as JSON."""
        return to_text(self.value)

    def for_model(self, max_chars: int = 20_000) -> str:
        """Return what a model should read of the outcome, in at most ``max_chars`` characters.

        A value alone reads as ``text``, output alone as it was printed. Otherwise
        the text has sections: output, result, artifacts and hints, or the failure,
        the tool calls before it, the output and the artifacts. What is too long
        keeps its beginning and its end, and a note in between has its size.

        Raises TypeError or ValueError unless ``max_chars`` is an int of at least 100.
        """
        return render_outcome(self, max_chars)
