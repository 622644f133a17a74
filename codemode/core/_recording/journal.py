"""The journal of a recorded run: what the host has seen, in the order in which it saw it."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from codemode.core.hooks import ToolFailure, ToolOutcome
from codemode.core.result import ToolCallOutcome
from codemode.wire.constants import LOOKUPS

__all__ = [
    "LABEL",
    "MOST_EVENTS",
    "STEPS",
    "CallMade",
    "Event",
    "Head",
    "Journal",
    "JournalFullError",
    "OutcomeKnown",
    "Printed",
    "StepsTaken",
]

LABEL = re.compile(r"[A-Za-z0-9.:_-]{1,200}")
"""The form of a call's label."""

STEPS = re.compile(
    rb"(?:[\w.]*\|[a-z][ -*,-~]*\+[0-9]{1,18}(?:\*[0-9]{1,18})?(?:\^-?[0-9]{1,18})?\n)++"
)
"""The form of steps, as sandboxes read them; matched in linear time and little memory."""

MOST_EVENTS = 250_000
"""The number of events of a journal, so that its bytes stay within the limits of a value."""

# What an event takes beside its texts and bytes, at most, when it is encoded.
_EVENT_BYTES = 40
_HEAD_BYTES = 1024
# Kept free for each call, so that a call that the code gives up can always be noted.
_GIVEN_UP_BYTES = 400


class JournalFullError(Exception):
    """No room for a further event."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is chosen when a recording begins, and holds for all its passes.

    ``start`` is the beginning of the code's clock in microseconds since the
    epoch, ``seed`` that of its randomness. ``python`` is empty until a sandbox
    has begun. ``code`` is a digest, for who wonders what was recorded.
    """

    execution_id: str
    profile: str
    code: bytes
    start: int = field(default_factory=lambda: time.time_ns() // 1000)
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    python: str = ""


@dataclass(frozen=True, slots=True)
class CallMade:
    """A call has arrived: its arguments as they travel, and the steps before it."""

    label: str
    name: str
    arguments: bytes
    steps: bytes

    @property
    def lookup(self) -> bool:
        """Whether the code asked about tools, instead of calling one."""
        return self.name in LOOKUPS

    def size(self) -> int:
        texts = len(self.label) + len(self.name.encode()) + len(self.arguments) + len(self.steps)
        return _EVENT_BYTES + texts + _GIVEN_UP_BYTES


@dataclass(frozen=True, slots=True)
class OutcomeKnown:
    """A call has an outcome: what travels, and the word for it in records."""

    label: str
    word: ToolCallOutcome
    value: bytes | None
    failure: ToolFailure | None

    @property
    def outcome(self) -> ToolOutcome:
        """The outcome as the code gets it."""
        return ToolOutcome(value=self.value, failure=self.failure)

    def size(self) -> int:
        if self.failure is None:
            return _EVENT_BYTES + len(self.label) + len(self.value or b"")
        failure = self.failure
        texts = failure.type + failure.message
        return _EVENT_BYTES + len(self.label) + len(failure.kind) + len(texts.encode())


@dataclass(frozen=True, slots=True)
class StepsTaken:
    """The code has taken in something, between two calls."""

    data: bytes

    def size(self) -> int:
        return _EVENT_BYTES + len(self.data)


@dataclass(frozen=True, slots=True)
class Printed:
    """The code has printed something."""

    stream: str
    text: str

    def size(self) -> int:
        return _EVENT_BYTES + len(self.text.encode())


Event = CallMade | OutcomeKnown | StepsTaken | Printed


class Journal:
    """The events of a recorded run, bounded in number and in bytes. Safe from any thread.

    ``ended`` is the status with which the code has ended by itself, "" before that.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.head: Head | None = None
        self.ended = ""
        # Reentrant: the garbage collector may end a run in a thread that holds the lock.
        self.lock = threading.RLock()
        self._events: list[Event] = []
        self._size = _HEAD_BYTES
        self._calls: dict[str, CallMade] = {}
        self._outcomes: dict[str, OutcomeKnown] = {}

    @property
    def begun(self) -> Head | None:
        """The head, once a sandbox has taken the code; what no sandbox had is no record."""
        return self.head if self.head is not None and self.head.python else None

    def add(self, event: Event) -> None:
        """Add what is new; the run is open again by it. Raises JournalFullError."""
        with self.lock:
            size = self._size + event.size()
            if isinstance(event, OutcomeKnown) and event.word == "cancelled":
                size = self._size  # its call has kept room for it
            elif size > self.max_bytes or len(self._events) >= MOST_EVENTS:
                raise JournalFullError
            match event:
                case CallMade():
                    self._calls[event.label] = event
                case OutcomeKnown():
                    if event.label in self._outcomes:
                        return  # the code has given the call up
                    self._outcomes[event.label] = event
            self._size = size
            self._events.append(event)
            self.ended = ""

    def call(self, label: str) -> CallMade | None:
        """Return the call of this label, if there is one."""
        return self._calls.get(label)

    def outcome(self, label: str) -> OutcomeKnown | None:
        """Return the outcome of the call of this label, if there is one."""
        return self._outcomes.get(label)

    def events(self) -> list[Event]:
        """Return the events so far."""
        with self.lock:
            return list(self._events)

    def calls(self) -> list[tuple[CallMade, OutcomeKnown | None]]:
        """Return the calls in the order in which they arrived, with their outcomes."""
        with self.lock:
            return [(call, self._outcomes.get(label)) for label, call in self._calls.items()]

    def outcomes(self) -> list[tuple[CallMade, OutcomeKnown]]:
        """Return the outcomes in their order, with their calls."""
        with self.lock:
            return [(self._calls[label], outcome) for label, outcome in self._outcomes.items()]

    def open_calls(self) -> list[CallMade]:
        """Return the calls without an outcome, in the order in which they arrived."""
        with self.lock:
            return [call for label, call in self._calls.items() if label not in self._outcomes]

    def steps(self) -> bytes:
        """Return all steps so far."""
        return b"".join(
            event.steps if isinstance(event, CallMade) else event.data
            for event in self.events()
            if isinstance(event, CallMade | StepsTaken)
        )

    def printed(self, stream: str) -> str:
        """Return all that the code has printed on a stream so far."""
        return "".join(
            event.text
            for event in self.events()
            if isinstance(event, Printed) and event.stream == stream
        )

    def keep(self, events: Iterable[Event], ended: str = "") -> None:
        """Replace all events."""
        with self.lock:
            self._events, self._size = [], _HEAD_BYTES
            self._calls, self._outcomes = {}, {}
            for event in events:
                self.add(event)
            self.ended = ended

    def begin(self, head: Head) -> Head:
        """Begin a pass: return the head that holds."""
        with self.lock:
            if self.begun is None:
                self.head = head
            assert self.head is not None
            return self.head

    def set_python(self, version: str) -> None:
        """Note the Python of the first sandbox."""
        assert self.head is not None
        self.head = replace(self.head, python=version)
