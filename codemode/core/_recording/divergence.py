"""The messages for a replay that has left its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from codemode.core._recording.journal import LABEL, CallMade, Journal
from codemode.core.recorder import EndRun
from codemode.errors import ValueDecodingError
from codemode.protos import codemode_pb2 as pb
from codemode.values import decode
from codemode.values.shortening import cut, shorten
from codemode.wire.constants import MAX_HINT_CHARACTERS

__all__ = [
    "Departure",
    "arguments_of",
    "call_divergence",
    "departure_of",
    "divergence_message",
    "new_call_divergence",
    "output_divergence",
]

_MOST_ARGUMENTS = 8
_CALL_CHARACTERS = 240
_NAME_CHARACTERS = 80
_OUTPUT_CHARACTERS = 40  # on each side of the first difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """The place where a replay has left its record.

    ``expected`` is the recorded call that was to come, ``name`` and
    ``arguments`` those of the call that came instead; ``line`` is that of the code.
    ``hint`` is the sandbox's, such as the error that ended the code.
    """

    message: str
    expected: CallMade | None = None
    name: str = ""
    arguments: bytes = b""
    line: int | None = None
    hint: str = ""


def departure_of(journal: Journal, message: pb.Failed) -> Departure:
    """Return the place that a sandbox reports, of which each text may be hostile."""
    divergence = message.divergence
    return Departure(
        message=divergence_message(journal, divergence),
        expected=journal.call(_label(divergence.expected)),
        name=divergence.name,
        arguments=divergence.arguments,
        line=message.line or None,
        hint=cut(message.hints[0], MAX_HINT_CHARACTERS) if message.hints else "",
    )


def arguments_of(data: bytes) -> dict[str, Any] | None:
    """Return the arguments of a call by name, or None where they are not usable."""
    try:
        arguments = decode(data, max_bytes=len(data))
    except ValueDecodingError:
        return None
    if isinstance(arguments, dict) and all(isinstance(name, str) for name in arguments):
        return arguments
    return None


def call_divergence(recorded: CallMade, name: str, arguments: bytes) -> EndRun:
    """Return the end of a run whose call of a recorded label is another one."""
    expected, got = _call(recorded.name, recorded.arguments), _call(name, arguments)
    return _end(f"the call {recorded.label} was {expected}, and now is {got}")


def new_call_divergence(label: str, name: str, arguments: bytes) -> EndRun:
    """Return the end of a run that makes a call when a complete record has none left."""
    return _end(f"a new call came, {label}: {_call(name, arguments)}, and the record has none left")


def output_divergence(stream: str, expected: str, got: str) -> EndRun:
    """Return the end of a run whose output is not the recorded one."""
    place = next(
        (at for at, (one, other) in enumerate(zip(expected, got, strict=False)) if one != other),
        min(len(expected), len(got)),
    )
    return _end(f"its {stream} was {_around(expected, place)}, and now is {_around(got, place)}")


def divergence_message(journal: Journal, divergence: pb.Divergence) -> str:
    """Return the message for what a sandbox reports, of which each text may be hostile."""
    label = _label(divergence.label)
    recorded = journal.call(label)
    got = _call(divergence.name, divergence.arguments)
    match divergence.reason:
        case "call" if recorded is not None:
            return call_divergence(recorded, divergence.name, divergence.arguments).message
        case "new_call" if not divergence.expected:
            return new_call_divergence(label, divergence.name, divergence.arguments).message
        case "new_call":
            what = f"a new call came, {label}: {got}"
        case "missing" if not divergence.expected:
            return _end("it does not sleep, wait or end where the record does").message
        case "missing":
            what = "it has no further call"
        case "beyond":
            return _end("it goes on where the record has ended").message
        case _:
            what = f"the call {label} is {got}"
    return _end(f"{what}, {_still_expected(journal, divergence.expected)}").message


def _still_expected(journal: Journal, label: str) -> str:
    expected = journal.call(label)
    if expected is None:
        return "while recorded calls were still to come"
    call = _call(expected.name, expected.arguments)
    return f"while the recorded call {expected.label} was still to come: {call}"


def _end(what: str) -> EndRun:
    return EndRun("diverged", "Divergence", f"the code left its record: {what}")


def _call(name: str, data: bytes) -> str:
    arguments: Mapping[str, Any] | None = arguments_of(data) if data else None
    shown = "..."
    if arguments is not None:
        parts = [
            f"{cut(key, _NAME_CHARACTERS)}={shorten(value)}"
            for key, value in islice(arguments.items(), _MOST_ARGUMENTS)
        ]
        parts += ["..."] * (len(arguments) > _MOST_ARGUMENTS)
        shown = cut(", ".join(parts), _CALL_CHARACTERS)
    return f"{cut(name, _NAME_CHARACTERS)}({shown})"


def _label(text: str) -> str:
    return text if LABEL.fullmatch(text) else "without a label"


def _around(text: str, place: int) -> str:
    start = max(0, place - _OUTPUT_CHARACTERS)
    part = text[start : place + _OUTPUT_CHARACTERS]
    before, after = "..." if start else "", "..." if place + _OUTPUT_CHARACTERS < len(text) else ""
    return f"{before}{part!r}{after}"
