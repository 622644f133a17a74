"""A journal as bytes, which are read as hostile.

The bytes are a line with the version, and a CBOR map by the rules of
``codemode.values``: the head's fields, ``ended``, and ``events``, each an array
that begins with its kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

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
from codemode.core.hooks import ToolFailure
from codemode.core.result import ToolCallOutcome
from codemode.errors import RecordingFormatError, ValueDecodingError
from codemode.tools.errors import FailureKind
from codemode.values import decode, encode
from codemode.values.shortening import shorten

__all__ = [
    "EXECUTION_ID",
    "PYTHON_VERSION",
    "journal_from",
    "journal_of",
    "to_bytes",
]

EXECUTION_ID = re.compile(r"[ -~]{1,200}")
"""The form of an execution's id: printable ASCII."""

PYTHON_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
"""The form of a Python version, such as 3.13."""

_FIRST_LINE = b"codemode recording 2\n"
_ANY_VERSION = re.compile(rb"codemode recording ([0-9]{1,9})\n")
_CALL, _VALUE, _FAILURE, _STEPS, _OUTPUT = range(1, 6)
_WORDS = frozenset(get_args(ToolCallOutcome)) - {"running"}
_KINDS = frozenset(get_args(FailureKind))
_ENDS = frozenset({"", "completed", "failed"})
_STREAMS = frozenset({"stdout", "stderr"})
_LAST_MOMENT = 253_402_300_800_000_000  # the year 10,000 in microseconds
_KEYS = frozenset({"execution_id", "profile", "code", "start", "seed", "python", "ended", "events"})


def to_bytes(journal: Journal) -> bytes:
    """Return a journal as bytes; one that no sandbox had is empty."""
    head = journal.begun
    if head is None:
        return _FIRST_LINE
    content = {
        "execution_id": head.execution_id,
        "profile": head.profile,
        "code": head.code,
        "start": head.start,
        "seed": head.seed,
        "python": head.python,
        "ended": journal.ended,
        "events": [_array(event) for event in journal.events()],
    }
    return _FIRST_LINE + encode(content, max_bytes=journal.max_bytes, path="recording")


def journal_from(data: bytes, max_bytes: int) -> Journal:
    """Return the journal that untrusted bytes hold. Raises RecordingFormatError."""
    if not data.startswith(_FIRST_LINE):
        other = _ANY_VERSION.match(data)
        raise RecordingFormatError(
            f"a recording of version {int(other[1])}; this version of codemode reads version 2"
            if other
            else "these bytes are not a recording: they do not begin with its first line"
        )
    if data == _FIRST_LINE:
        return Journal(max_bytes)
    try:
        content = decode(memoryview(data)[len(_FIRST_LINE) :].tobytes(), max_bytes=max_bytes)
    except ValueDecodingError as error:
        raise RecordingFormatError(f"not a recording: {error}") from error
    return journal_of(content, max_bytes)


def journal_of(content: Any, max_bytes: int) -> Journal:
    """Return the journal with this content, which may be anything. Raises RecordingFormatError."""
    journal = Journal(max_bytes)
    if type(content) is not dict or content.keys() != _KEYS:
        raise RecordingFormatError(
            f"not a recording: expected a map of {', '.join(sorted(_KEYS))}, got {shorten(content)}"
        )
    journal.head = _head(content)
    events = content["events"]
    _check(type(events) is list, "events", "an array", events)
    for place, one in enumerate(events):
        event = _event(journal, one, f"events[{place}]")
        try:
            journal.add(event)
        except JournalFullError:
            raise RecordingFormatError(
                f"the recording is larger than max_bytes ({max_bytes:,}) allows"
            ) from None
    ended = content["ended"]
    _check(type(ended) is str and ended in _ENDS, "ended", f"one of {sorted(_ENDS)}", ended)
    journal.ended = ended
    return journal


def _array(event: Event) -> list[Any]:
    match event:
        case CallMade():
            return [_CALL, event.label, event.name, event.arguments, event.steps]
        case OutcomeKnown(failure=None):
            return [_VALUE, event.label, event.value]
        case OutcomeKnown(failure=ToolFailure() as failure):
            return [
                _FAILURE, event.label, event.word, failure.kind, failure.type, failure.message
            ]  # fmt: skip
        case StepsTaken():
            return [_STEPS, event.data]
        case Printed():
            return [_OUTPUT, event.stream, event.text]
    raise AssertionError(event)


def _head(content: dict[str, Any]) -> Head:
    execution_id, python, start = content["execution_id"], content["python"], content["start"]
    _check_text(EXECUTION_ID, "execution_id", "1 to 200 printable ASCII characters", execution_id)
    _check_text(EXECUTION_ID, "profile", "the name of a profile", content["profile"])
    _check_text(PYTHON_VERSION, "python", "a version such as 3.13", python)
    moment = type(start) is int and 0 <= start < _LAST_MOMENT
    _check(moment, "start", "microseconds since 1970", start)
    for name, size in (("seed", 32), ("code", 16)):
        value = content[name]
        _check(type(value) is bytes and len(value) == size, name, f"{size} bytes", value)
    return Head(
        execution_id=execution_id,
        profile=content["profile"],
        code=content["code"],
        start=start,
        seed=content["seed"],
        python=python,
    )


def _event(journal: Journal, array: Any, where: str) -> Event:
    _check(type(array) is list and len(array) > 0, where, "an event as an array", array)
    kind, *fields = array
    reader = _READERS.get(kind) if type(kind) is int else None
    if reader is None:
        raise RecordingFormatError(f"{where} is of the kind {shorten(kind)}; expected 1 to 5")
    types, read = reader
    if [type(field) for field in fields] != types:
        names = ", ".join(one.__name__ for one in types)
        raise RecordingFormatError(
            f"{where} is {shorten(array)}; an event of kind {kind} has {names}"
        )
    return read(journal, where, *fields)


def _call(
    journal: Journal, where: str, label: str, name: str, arguments: bytes, steps: bytes
) -> Event:
    _check_text(LABEL, f"{where}: the label", "up to 200 of A-Z, a-z, 0-9 and .:_-", label)
    _check(journal.call(label) is None, where, "each label once", label)
    if steps:
        _check_steps(where, steps)
    return CallMade(label, name, arguments, steps)


def _value(journal: Journal, where: str, label: str, value: bytes) -> Event:
    _check_open(journal, where, label)
    try:
        decode(value, max_bytes=len(value))
    except ValueDecodingError as error:
        raise RecordingFormatError(f"{where}: the value of {label}: {error}") from error
    return OutcomeKnown(label, "completed", value, None)


def _failure(
    journal: Journal, where: str, label: str, word: Any, kind: Any, type_name: str, message: str
) -> Event:
    _check_open(journal, where, label)
    _check(word in _WORDS - {"completed"}, where, f"one of {sorted(_WORDS)}", word)
    _check(kind in _KINDS, where, f"one of {sorted(_KINDS)}", kind)
    failure = ToolFailure(kind=kind, type=type_name, message=message)
    return OutcomeKnown(label, word, None, failure)


def _steps(journal: Journal, where: str, data: bytes) -> Event:
    _check_steps(where, data)
    return StepsTaken(data)


def _output(journal: Journal, where: str, stream: str, text: str) -> Event:
    _check(stream in _STREAMS, where, f"one of {sorted(_STREAMS)}", stream)
    return Printed(stream, text)


_READERS: dict[int, tuple[list[type], Callable[..., Event]]] = {
    _CALL: ([str, str, bytes, bytes], _call),
    _VALUE: ([str, bytes], _value),
    _FAILURE: ([str, str, str, str, str], _failure),
    _STEPS: ([bytes], _steps),
    _OUTPUT: ([str, str], _output),
}


def _check_open(journal: Journal, where: str, label: str) -> None:
    known = journal.call(label) is not None
    _check(known, where, "the label of a call before it", label)
    _check(journal.outcome(label) is None, where, "one outcome for each call", label)


def _check_steps(where: str, data: bytes) -> None:
    _check(STEPS.fullmatch(data) is not None, where, "steps as recorded runs write them", data)


def _check_text(form: re.Pattern[str], where: str, expected: str, value: Any) -> None:
    _check(type(value) is str and form.fullmatch(value) is not None, where, expected, value)


def _check(right: bool, where: str, expected: str, value: Any) -> None:
    if not right:
        raise RecordingFormatError(f"{where} is {shorten(value)}; expected {expected}")
