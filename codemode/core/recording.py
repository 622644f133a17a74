"""A recording of a run, which replays it exactly and goes on from where it ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from codemode.core._recording.divergence import arguments_of
from codemode.core._recording.journal import CallMade, Head, Journal, OutcomeKnown
from codemode.core._recording.journal_bytes import journal_from, to_bytes
from codemode.core._recording.recorded_pass import RecordedPass
from codemode.core._recording.replay import digest_of
from codemode.core.hooks import ToolFailure
from codemode.core.recorder import Recorder
from codemode.core.result import ToolCallOutcome
from codemode.errors import InvalidRequestError, RecordingFormatError
from codemode.tools import Tool
from codemode.values import decode
from codemode.values.shortening import shorten

__all__ = ["RecordedCall", "Recording"]

_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """One tool call of a recording.

    ``label`` is the call's name within the run, in each replay the same.
    ``sequence`` counts the calls in the order in which they came, from 1.
    ``outcome`` is ``running`` while there is none: such a call is open, and runs
    in the next run, which must make the same one. ``failure`` is what the code got
    of a call that did not complete.
    """

    label: str
    name: str
    sequence: int
    outcome: ToolCallOutcome
    failure: ToolFailure | None = None
    encoded_arguments: bytes = field(repr=False)
    encoded_value: bytes | None = field(default=None, repr=False)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name, decoded anew each time; empty where they are not usable."""
        return arguments_of(self.encoded_arguments) or {}

    @property
    def value(self) -> Any:
        """The value that the code got, decoded anew each time; None where it got none."""
        if self.encoded_value is None:
            return None
        return decode(self.encoded_value, max_bytes=len(self.encoded_value))


class Recording:
    """What a run has called, taken in and printed, in memory.

    An empty recording is written while the run goes on. A run with one that
    holds calls already gets their outcomes from it, without running any tool
    again, and is live after them: the same code with the same inputs makes the
    same calls and prints the same. A run that leaves the record ends with the
    status ``diverged``.

    It holds at most ``max_bytes``; a run that needs more ends by a limit. It
    serves one run at a time. A sync tool that goes on after its run was cut off is
    recorded when it ends, so that the next run does not repeat it. What it holds is
    as secret as the values in it, and the seed of all that the code draws at random
    is among it.
    """

    def __init__(self, *, max_bytes: int = _MAX_BYTES) -> None:
        if type(max_bytes) is not int or max_bytes < 1:
            raise ValueError(
                f"max_bytes is {shorten(max_bytes)}; expected a number of bytes from 1"
            )
        self._journal = Journal(max_bytes)
        self._in_use = threading.Lock()
        self._pass: RecordedPass | None = None

    @property
    def execution_id(self) -> str | None:
        """The id of the execution, which replays keep; None before a sandbox had the code."""
        head = self._journal.begun
        return None if head is None else head.execution_id

    @property
    def calls(self) -> tuple[RecordedCall, ...]:
        """The tool calls in the order in which they came."""
        calls: list[RecordedCall] = []
        for made, known in self._journal.calls():
            if not made.lookup:
                calls.append(_recorded_call(made, known, len(calls) + 1))
        return tuple(calls)

    @property
    def complete(self) -> bool:
        """Whether the code has ended by itself: it completed, or it raised."""
        return self._journal.ended != ""

    def cut(self, *, after: int) -> Recording:
        """Return a recording that ends with the outcome number ``after`` of a tool call.

        It has what came before that outcome. Calls that had no outcome by then
        are ``running`` in it: they must come again as they were, and run live.
        ``after=0`` keeps none. Raises ValueError for what is no such number, and
        for more outcomes than there are.
        """
        events = self._journal.events()
        tools = {one.label for one in events if isinstance(one, CallMade) and not one.lookup}
        places = [
            place
            for place, one in enumerate(events)
            if isinstance(one, OutcomeKnown) and one.label in tools
        ]
        if type(after) is not int or not 0 <= after <= len(places):
            raise ValueError(
                f"after is {shorten(after)}; expected a number from 0 to {len(places)}, of the "
                "outcomes in this recording"
            )
        copy = Recording(max_bytes=self._journal.max_bytes)
        copy._journal.head = self._journal.head
        copy._journal.keep(events[: places[after - 1] + 1] if after else ())
        return copy

    def to_bytes(self) -> bytes:
        """Return the whole recording as bytes, in a versioned form of our own."""
        return to_bytes(self._journal)

    @classmethod
    def from_bytes(
        cls, data: bytes | bytearray | memoryview, *, max_bytes: int = _MAX_BYTES
    ) -> Self:
        """Return the recording that ``to_bytes`` has turned into these bytes.

        The bytes may come from anywhere: they are checked, in time proportional
        to their length. Raises RecordingFormatError, which names what is wrong.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise RecordingFormatError(
                f"data is {shorten(data)}; expected the bytes of Recording.to_bytes()"
            )
        recording = cls(max_bytes=max_bytes)
        recording._journal = journal_from(bytes(data), max_bytes)
        return recording

    def __repr__(self) -> str:
        state = "complete" if self.complete else "open"
        return f"<{type(self).__name__}: {len(self._journal.calls())} calls, {state}>"

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Refuse a second run while the first is going on."""
        if not self._in_use.acquire(blocking=False):
            raise InvalidRequestError(
                "the recording is in use by another run; it serves one at a time: make another "
                "Recording, or wait"
            )
        try:
            yield
        finally:
            self._in_use.release()

    def _begin(
        self, *, execution_id: str, profile: str, code: str, inner: Recorder | None
    ) -> RecordedPass:
        """Begin a pass. Raises InvalidRequestError for another execution or another profile."""
        if self._pass is not None:
            self._pass.close()
        new = self._new_head(execution_id, profile, digest_of(code.encode()))
        head = self._journal.begin(new)
        if head.execution_id != execution_id:
            raise InvalidRequestError(
                f"the recording is of the execution {head.execution_id!r}, not of "
                f"{execution_id!r}; leave execution_id out, or use a new Recording"
            )
        if head.profile != profile:
            raise InvalidRequestError(
                f"the recording was made with the profile {head.profile!r}, and this run asks for "
                f"{profile!r}; replay it with profile={head.profile!r}"
            )
        self._pass = RecordedPass(self._journal, head, inner, any_python=self._any_python)
        return self._pass

    # What a recording out of a RecordingSource may do otherwise:

    _any_python = False

    def _new_head(self, execution_id: str, profile: str, code: bytes) -> Head:
        """Return the head of a new record."""
        return Head(execution_id=execution_id, profile=profile, code=code)

    def _listed(self, tools: Mapping[str, Tool]) -> Mapping[str, Tool] | None:
        """Return those of the tools that the code is shown, or None to ask for permissions."""
        return None

    def _note_listed(self, tools: Mapping[str, Tool], listed: Mapping[str, Tool]) -> None:
        """Take note of the tools that the code is shown."""


def _recorded_call(made: CallMade, known: OutcomeKnown | None, sequence: int) -> RecordedCall:
    return RecordedCall(
        label=made.label,
        name=made.name,
        sequence=sequence,
        outcome="running" if known is None else known.word,
        failure=None if known is None else known.failure,
        encoded_arguments=made.arguments,
        encoded_value=None if known is None else known.value,
    )
