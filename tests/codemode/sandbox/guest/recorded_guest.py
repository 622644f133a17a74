"""A host of recorded guests: it keeps a journal, and replays prefixes of it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

from codemode.values import decode, encode
from codemode.wire.frames import Frame, pack, pack_texts, unpack_texts
from tests.codemode.sandbox.guest.guest_driver import (
    MAX_BYTES,
    Forker,
    Guest,
    Handler,
    Later,
    Outcome,
    RefusedError,
)

START = 1_700_000_000_000_000


@dataclass
class Journal:
    """What the host of a recorded run has seen, in order."""

    events: list[tuple[Any, ...]] = field(default_factory=list)
    seed: bytes = b"s" * 32
    complete: bool = False

    def cut(self, outcomes: int) -> Journal:
        """Return the journal up to the outcome of this number."""
        kept: list[tuple[Any, ...]] = []
        left = outcomes
        for event in self.events:
            if left == 0:
                break
            kept.append(event)
            left -= event[0] == "outcome"
        return Journal(kept, self.seed)

    def drop_steps_about(self, label: str) -> None:
        """Forget that the code has taken in the answer of a call."""
        for place, event in enumerate(self.events):
            lines = event[-1].splitlines(True) if event[0] in ("call", "steps") else []
            kept = "".join(line for line in lines if f"|e{label}+" not in line)
            if lines:
                self.events[place] = (*event[:-1], kept)

    @property
    def outcomes(self) -> int:
        return sum(event[0] == "outcome" for event in self.events)

    def replay(self) -> bytes:
        called = {event[1]: event for event in self.events if event[0] == "call"}
        calls = []
        steps = ""
        for event in self.events:
            if event[0] == "outcome":
                _, label, kind, body = event
                _, _, name, arguments, _ = called[label]
                digest = hashlib.blake2b(arguments, digest_size=16).digest()
                calls.append([label, name, digest, kind, body])
            elif event[0] == "call":
                steps += event[4]
            elif event[0] == "steps":
                steps += event[1]
        content = {
            "start": START,
            "seed": self.seed,
            "steps": steps.encode(),
            "calls": calls,
            "complete": self.complete,
            "output": sum(len(event[1]) for event in self.events if event[0] == "output"),
        }
        return encode(content, max_bytes=MAX_BYTES)


@dataclass
class RecordedOutcome(Outcome):
    """As an outcome, with where the run has left its record."""

    divergence: tuple[str, ...] | None = None


class RecordedGuest(Guest):
    """A guest whose one run is recorded; ``executed`` are the calls that really came."""

    journal: Journal
    executed: list[tuple[str, str]]
    most_unanswered: int
    _labels: dict[int, str]
    _unanswered: set[int]

    def run_recorded(self, code: str, journal: Journal, *, timeout: float = 60) -> RecordedOutcome:
        self.journal = Journal(list(journal.events), journal.seed)
        self.executed = []
        self.most_unanswered = 0
        self._labels = {}
        self._unanswered = set()
        self._sock.sendall(pack(Frame.REPLAY, 1, 0, journal.replay()))
        outcome = RecordedOutcome()
        run = next(self._runs)
        self._sock.sendall(pack(Frame.RUN, run, 0, pack_texts(code)))
        deadline = time.monotonic() + timeout
        while True:
            frame = self._next(deadline)
            if frame is None:
                outcome.exited = True
                return outcome
            kind, its_run, number, body = frame
            assert its_run == run
            if self._note_recorded(outcome, kind, number, body):
                return outcome

    def _note_recorded(
        self, outcome: RecordedOutcome, kind: Frame, number: int, body: bytes
    ) -> bool:
        events = self.journal.events
        if kind is Frame.RECORDED_CALL:
            (name, label, steps), rest = unpack_texts(body, 3)
            arguments = bytes(rest)
            events.append(("call", label, name, arguments, steps))
            self.executed.append((label, name))
            self._labels[number] = label
            self._unanswered.add(number)
            self.most_unanswered = max(self.most_unanswered, len(self._unanswered))
            self._answer(number, name, decode(arguments, max_bytes=MAX_BYTES))
            return False
        if kind is Frame.STEPS:
            events.append(("steps", body.decode()))
            return False
        if kind is Frame.DIVERGED:
            texts, _ = unpack_texts(body, 5)
            outcome.divergence = tuple(texts)
            return True
        assert kind is not Frame.CALL
        if kind is Frame.STDOUT:
            events.append(("output", body.decode()))
        over = self._note(outcome, kind, number, body)
        self.journal.complete = over
        return over

    def _send(self, frame: bytes) -> None:
        number = int.from_bytes(frame[9:13])
        self._unanswered.discard(number)
        self.journal.events.append(("outcome", self._labels[number], frame[4], frame[13:]))
        super()._send(frame)


__all__ = ["Forker", "Handler", "Journal", "Later", "RecordedGuest", "RefusedError"]
