"""The record of a run's tool calls, complete at any moment and bounded in memory."""

from __future__ import annotations

import threading
import time
from typing import Any

from codemode.core.result import ToolCallOutcome, ToolCallRecord
from codemode.values import decode
from codemode.values.shortening import cut

__all__ = ["CallEntry", "CallLog"]

_MAX_ERROR = 500
_MAX_NAME = 200

# Executed code chooses how much it passes, in up to ten thousand calls. The records
# of a run keep this many encoded bytes in all, and note what they leave out.
_MAX_ARGUMENT_BYTES = 1024 * 1024
_MUTABLE = (dict, list, set, tuple)  # a tuple may hold one


class CallEntry:
    """The record of one call, while it runs and afterwards; only the first end counts."""

    __slots__ = ("_arguments", "_end", "_lock", "_name", "call_id", "started")

    def __init__(self, call_id: int, name: str) -> None:
        self.call_id = call_id
        self._name = cut(name, _MAX_NAME)
        self._arguments: dict[str, Any] = {}
        self._lock = threading.RLock()  # reentrant like the dispatcher's
        self.started = time.monotonic()
        self._end: tuple[ToolCallOutcome, float, str | None] | None = None

    def show(self, arguments: dict[str, Any]) -> None:
        """Set the arguments that the record shows."""
        self._arguments = arguments

    def end(self, outcome: ToolCallOutcome, error: str | None = None) -> bool:
        """Record how the call ended; return False when that is on record already."""
        duration_ms = (time.monotonic() - self.started) * 1000
        if error is not None:
            error = cut(error, _MAX_ERROR)
        with self._lock:
            if self._end is not None:
                return False
            self._end = (outcome, duration_ms, error)
        return True

    def correct(self, outcome: ToolCallOutcome, error: str) -> None:
        """Record another end than the one on record, of which nobody has learnt."""
        with self._lock:
            self._end = None
        self.end(outcome, error)

    def record(self) -> ToolCallRecord:
        """Return the record as it stands now."""
        outcome, duration_ms, error = self._end or ("running", None, None)
        return ToolCallRecord(
            call_id=self.call_id,
            name=self._name,
            arguments=self._arguments,
            outcome=outcome,
            duration_ms=duration_ms,
            error=error,
        )


class CallLog:
    """The entries of a run, in the order in which the calls began."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant like the dispatcher's
        self._entries: dict[int, CallEntry] = {}
        self._argument_bytes = 0

    def add(self, entry: CallEntry) -> bool:
        """Add an entry; return False when its id has one already."""
        with self._lock:
            return self._entries.setdefault(entry.call_id, entry) is entry

    def keep_arguments(self, entry: CallEntry, arguments: dict[str, Any], data: bytes) -> None:
        """Let an entry show its arguments, if there is room for ``data``, their encoded form."""
        with self._lock:
            room = self._argument_bytes + len(data) <= _MAX_ARGUMENT_BYTES
            if room:
                self._argument_bytes += len(data)
        if not room:
            entry.show({"...": f"{len(data)} bytes of arguments left out of the record"})
        elif any(isinstance(value, _MUTABLE) for value in arguments.values()):
            # The tool gets these very objects and may change them.
            entry.show(decode(data, max_bytes=len(data)))
        else:
            entry.show(dict(arguments))

    def records(self) -> tuple[ToolCallRecord, ...]:
        """Return the records of all calls so far, including those still running."""
        with self._lock:
            entries = list(self._entries.values())
        return tuple(entry.record() for entry in entries)
