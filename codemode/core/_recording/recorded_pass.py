"""One run's passage over its recording: what is recorded is answered, what is new is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from codemode.core._dispatch.outcomes import CANCELLED
from codemode.core._recording.divergence import (
    Departure,
    arguments_of,
    call_divergence,
    departure_of,
    new_call_divergence,
    output_divergence,
)
from codemode.core._recording.journal import (
    LABEL,
    STEPS,
    CallMade,
    Event,
    Head,
    Journal,
    JournalFullError,
    OutcomeKnown,
    Printed,
    StepsTaken,
)
from codemode.core._recording.journal_bytes import PYTHON_VERSION
from codemode.core._recording.replay import replay_bytes
from codemode.core.hooks import ToolCall, ToolOutcome
from codemode.core.recorder import EndRun, Recorder
from codemode.core.result import ToolCallOutcome, ToolCallRecord
from codemode.errors import ExecutorProtocolError, InvalidRequestError
from codemode.protos import codemode_pb2 as pb
from codemode.values.shortening import cut, shorten
from codemode.wire.constants import LOOKUPS
from codemode.wire.protobuf import RECORDING

__all__ = ["RecordedPass"]

_MOST_ERROR = 500
_MOST_NAME = 200
_MOST_ARGUMENT_BYTES = 1024 * 1024  # that the records of a replay show in all
# The statuses with which code ends by itself: what it has not waited for, it never will.
_BY_ITSELF = ("completed", "failed")


class RecordedPass:
    """One pass of a recorded run, the Recorder of its calls. Safe from any thread.

    It records until the code has ended by itself or the next pass begins: the
    outcome of a tool that has gone on after a timeout is worth having. Over a
    complete record it records nothing, and no call is new. ``inner``
    is the project's own recorder of calls that are not on record. With
    ``any_python`` the code may run on another Python than that of the record;
    ``python`` is the one that it runs on. ``departure`` is set once the code has
    left the record, and ``status`` when the sandbox has reported the end.
    """

    def __init__(
        self, journal: Journal, head: Head, inner: Recorder | None, *, any_python: bool = False
    ) -> None:
        self._journal = journal
        self._head = head
        self._inner = inner
        self._any_python = any_python
        self.python = ""
        self.departure: Departure | None = None
        self.status = ""
        self._open = not journal.ended  # a complete record stays as it is
        self._arrived: set[str] = set()
        self._unanswered: dict[int, str] = {}
        self._answered = journal.calls()  # without running a tool
        self._output = {name: journal.printed(name) for name in ("stdout", "stderr")}
        self._shown = dict.fromkeys(self._output, 0)

    def replay(self, max_bytes: int) -> bytes:
        """Return what goes along with the code. Raises InvalidRequestError if it is too large."""
        return replay_bytes(self._journal, self._head, max_bytes)

    def started(self, message: pb.Started, url: str) -> None:
        """Check the sandbox that has taken the code, before it has called anything.

        Raises ExecutorProtocolError for an executor that does not record, and
        InvalidRequestError for another Python than that of the record.
        """
        if RECORDING not in message.features:
            raise ExecutorProtocolError(
                f"the executor at {url} (version {shorten(message.executor_version)}) cannot "
                "record runs; update it to the version of this client"
            )
        version = message.python_version
        if not PYTHON_VERSION.fullmatch(version):
            raise ExecutorProtocolError(
                f"the executor at {url} names the Python {shorten(version)} of a recorded run; "
                "expected a version such as '3.13'"
            )
        self.python = version
        if not self._head.python:
            self._journal.set_python(version)
        elif self._head.python != version and not self._any_python:
            raise InvalidRequestError(
                f"the recording was made with Python {self._head.python}, and the executor at "
                f"{url} has Python {version}, where the code may run otherwise; replay it on "
                "an executor with the same Python"
            )

    def answer(self, call: ToolCall) -> ToolOutcome | None:
        """Take a call that arrives: answer it from the record, or record it as new."""
        label = call.label or ""
        if not LABEL.fullmatch(label) or label in self._arrived:
            problem = "twice" if label in self._arrived else "though it is not one"
            raise _broken(f"the label {shorten(label)} {problem}")
        self._arrived.add(label)
        if call.steps and not STEPS.fullmatch(call.steps):
            raise _broken("malformed steps")
        recorded, known = self._journal.call(label), self._journal.outcome(label)
        if recorded is not None and (recorded.name, recorded.arguments) != (
            call.name,
            call.encoded,
        ):
            raise self._other_call(
                call, recorded, call_divergence(recorded, call.name, call.encoded)
            )
        if known is None and self._journal.ended:
            raise self._other_call(call, None, new_call_divergence(label, call.name, call.encoded))
        if recorded is None:
            made = CallMade(label, call.name, call.encoded, call.steps)
            self._add(made)
        else:
            made = recorded
            if call.steps:
                self._add(StepsTaken(call.steps))
        if known is not None:
            return known.outcome
        self._unanswered[call.call_id] = label
        outcome = None
        if self._inner is not None and call.name not in LOOKUPS:
            outcome = self._inner.answer(call)
        if outcome is not None:
            self._keep(call, outcome)
            self._answered.append((made, self._journal.outcome(label)))
        return outcome

    def perform(self, call: ToolCall, run: Callable[[], ToolOutcome]) -> ToolOutcome:
        """Run a call, and record its outcome before anybody gets it."""
        inner = None if call.name in LOOKUPS else self._inner
        outcome = run() if inner is None else inner.perform(call, run)
        self._keep(call, outcome)
        return outcome

    async def perform_async(
        self, call: ToolCall, run: Callable[[], Awaitable[ToolOutcome]]
    ) -> ToolOutcome:
        """Run a call from a task; otherwise as ``perform``."""
        inner = None if call.name in LOOKUPS else self._inner
        outcome = await (run() if inner is None else inner.perform_async(call, run))
        self._keep(call, outcome)
        return outcome

    def give_up(self, call_id: int) -> None:
        """Record that the code has given a call up; it has an outcome by that."""
        label = self._unanswered.get(call_id)
        if label is not None:
            self._add(OutcomeKnown(label, "cancelled", None, CANCELLED))

    def steps(self, data: bytes) -> None:
        """Record steps that no call has carried."""
        if not STEPS.fullmatch(data):
            raise _broken("malformed steps")
        self._add(StepsTaken(data))

    def printed(self, stream: str, text: str) -> str:
        """Compare output with the record; record what is new and return it."""
        expected, shown = self._output[stream], self._shown[stream]
        again = text[: len(expected) - shown]
        if not expected.startswith(again, shown):
            raise self._other_output(stream, expected[shown:], text)
        self._shown[stream] += len(again)
        new = text[len(again) :]
        if new:
            self._add(Printed(stream, new))
        return new

    def check_end(self) -> None:
        """Raise EndRun if the code has ended with less output than is recorded."""
        for stream, expected in self._output.items():
            shown = self._shown[stream]
            if shown < len(expected):
                raise self._other_output(stream, expected[shown:], "")

    def ended(self, status: str) -> None:
        """Record how the run has ended. The calls of code that has ended itself are given up."""
        self.status = status
        if self.ended_by_itself:
            for call in self._journal.open_calls():
                self._add(OutcomeKnown(call.label, "cancelled", None, CANCELLED))
            with self._journal.lock:
                if self._open:
                    self._journal.ended = status
            self.close()

    @property
    def ended_by_itself(self) -> bool:
        """Whether the code has come to its end: it completed, or it raised."""
        return self.status in _BY_ITSELF

    def close(self) -> None:
        """Record nothing more."""
        with self._journal.lock:
            self._open = False

    def divergence(self, message: pb.Failed) -> str:
        """Return the message for what the sandbox reports."""
        self.departure = departure_of(self._journal, message)
        return self.departure.message

    def records(self) -> tuple[ToolCallRecord, ...]:
        """Return the records of the tool calls that were on record, or that ``inner`` answered."""
        records: list[ToolCallRecord] = []
        left = _MOST_ARGUMENT_BYTES
        for call, known in self._answered:
            if known is None or call.lookup:
                continue
            left -= len(call.arguments)
            failure = known.failure
            error = None if failure is None else f"{failure.type}: {failure.message}"
            records.append(
                ToolCallRecord(
                    call_id=-1 - len(records),
                    name=cut(call.name, _MOST_NAME),
                    arguments=(arguments_of(call.arguments) or {}) if left >= 0 else _LEFT_OUT,
                    outcome=known.word,
                    duration_ms=0.0,
                    error=None if error is None else cut(error, _MOST_ERROR),
                    replayed=True,
                )
            )
        return tuple(records)

    def _other_call(self, call: ToolCall, expected: CallMade | None, end: EndRun) -> EndRun:
        self.departure = Departure(
            message=end.message, expected=expected, name=call.name, arguments=call.encoded
        )
        return end

    def _other_output(self, stream: str, expected: str, got: str) -> EndRun:
        end = output_divergence(stream, expected, got)
        self.departure = Departure(message=end.message)
        return end

    def _keep(self, call: ToolCall, outcome: ToolOutcome) -> None:
        if outcome.value is None and outcome.failure is None:
            raise ValueError("the recorder gives an outcome without a value and without a failure")
        self._unanswered.pop(call.call_id, None)
        word = _word(call, outcome)
        try:
            self._add(OutcomeKnown(call.label or "", word, outcome.value, outcome.failure))
        except EndRun as end:
            end.message += f", so that the outcome of {call.name} is not in it"
            raise

    def _add(self, event: Event) -> None:
        with self._journal.lock:
            if not self._open:
                return
            try:
                self._journal.add(event)
            except JournalFullError:
                raise EndRun(
                    "limit",
                    "RecordingLimit",
                    f"the recording is full: max_bytes is {self._journal.max_bytes:,}",
                ) from None


_LEFT_OUT = {"...": "arguments left out of the record"}


def _word(call: ToolCall, outcome: ToolOutcome) -> ToolCallOutcome:
    """Return how records name an outcome, which a recorder may have chosen itself."""
    if outcome.failure is None:
        return "completed"
    shown = call.record.outcome
    return shown if shown in ("failed", "refused", "cancelled") else "refused"


def _broken(what: str) -> EndRun:
    return EndRun("crashed", "ProtocolError", f"the sandbox broke the protocol: it sent {what}")
