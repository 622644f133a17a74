"""The text for code that has left its cassette: a diff of its calls."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from codemode.core._recording.divergence import Departure, arguments_of
from codemode.core.recording import RecordedCall
from codemode.values.shortening import cut

__all__ = ["diff_of"]

_LINE = 96
_MOST_VALUE = 2_000


def diff_of(calls: Sequence[RecordedCall], departure: Departure) -> str:
    """Return the recorded calls and those of the code now, up to where it left the record.

    Empty where the two do not differ, as for another output.
    """
    expected, name = departure.expected, departure.name
    place, missing = len(calls), False
    for number, call in enumerate(calls):
        if expected is not None and call.label == expected.label:
            place, missing = number, True
    recorded = list(calls[: place + 1])
    if missing and not name:
        recorded = list(calls)  # the code has ended without the rest
    before = [line for call in recorded for line in _lines(call.name, call.encoded_arguments)]
    now = [line for call in calls[:place] for line in _lines(call.name, call.encoded_arguments)]
    if name:
        now += _lines(name, departure.arguments)
    return "\n".join(difflib.unified_diff(before, now, "recorded", "now", lineterm=""))


def _lines(name: str, data: bytes) -> list[str]:
    """Return a call as code; a long one has a line for each argument."""
    arguments = arguments_of(data)
    if arguments is None:
        return [f"{cut(name, _LINE)}(...)"]
    parts = [f"{key}={cut(repr(value), _MOST_VALUE)}" for key, value in arguments.items()]
    line = f"{cut(name, _LINE)}({', '.join(parts)})"
    if len(line) <= _LINE:
        return [line]
    return [f"{cut(name, _LINE)}(", *(f"    {part}," for part in parts), ")"]
