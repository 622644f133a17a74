"""The text of an execution's outcome, for a language model to read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

from codemode.catalogue.bounded_json import bounded_json, cut_text, fair_shares, whole_json
from codemode.values.shortening import cut, shorten

__all__ = ["LEAST_CHARS", "Outcome", "render_outcome"]

LEAST_CHARS: Final = 100

_ENDINGS: Final = {
    "failed": ("Failed", "it failed"),
    "timeout": ("Timed out", "it timed out"),
    "cancelled": ("Cancelled", "it was cancelled"),
    "limit": ("Stopped by a limit", "it was stopped"),
    "crashed": ("Crashed", "it crashed"),
    "diverged": ("Diverged", "it diverged"),
}
_ADVICE: Final = {
    "diverged": "Do not run this code again: a person must look at what has happened.",
}
# The type adds nothing to these: the beginning of the line says it already.
_PLAIN_TYPES: Final = frozenset({"Timeout", "Cancelled", "Crashed", "Divergence"})

_FIRST_CALLS: Final = 8
_LAST_CALLS: Final = 12
_COUNTED_NAMES: Final = 10
_MOST_ARGUMENTS: Final = 8
_CALL_CHARACTERS: Final = 240
_ERROR_CHARACTERS: Final = 200
_MARKS: Final = re.compile(r" *[~^]+")
_CHAINED: Final = "\n\n"  # between the traceback of a cause and that of its effect
_TRACEBACK_HEAD: Final = "Traceback (most recent call last):\n"


class Failure(Protocol):
    """The part of an ExecutionFailure that a model reads."""

    @property
    def type(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def line(self) -> int | None: ...
    @property
    def source_line(self) -> str: ...
    @property
    def traceback(self) -> str: ...


class Call(Protocol):
    """The part of a ToolCallRecord that a model reads."""

    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> Mapping[str, Any]: ...
    @property
    def outcome(self) -> str: ...
    @property
    def error(self) -> str | None: ...


class Given(Protocol):
    """The part of an Artifact that a model reads."""

    @property
    def summary(self) -> str: ...


class Outcome(Protocol):
    """The part of an ExecutionResult that a model reads."""

    @property
    def status(self) -> str: ...
    @property
    def value(self) -> Any: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...
    @property
    def hints(self) -> Sequence[str]: ...
    @property
    def artifacts(self) -> Sequence[Given]: ...
    @property
    def error(self) -> Failure | None: ...
    @property
    def tool_calls(self) -> Sequence[Call]: ...


@dataclass(frozen=True, slots=True)
class _Section:
    """A part of the text: ``render`` takes the most characters, of which it needs ``need``."""

    heading: str
    need: int
    render: Callable[[int], str]


def render_outcome(outcome: Outcome, max_chars: int) -> str:
    """Return the text of an outcome, of at most ``max_chars`` characters.

    A value alone, and output alone, are the text as they are. Otherwise the
    text has sections with headings, which share the characters fairly. What is
    cut keeps its head and its tail, and has a note with its size.

    Raises TypeError or ValueError for a wrong ``max_chars``.
    """
    _check(max_chars)
    if outcome.status == "completed":
        sections = _of_completed(outcome, max_chars)
    else:
        sections = _of_failed(outcome)
    fixed = sum(len(one.heading) for one in sections) + 2 * (len(sections) - 1)
    shares = fair_shares([one.need for one in sections], max_chars - fixed)
    text = "\n\n".join(
        one.heading + one.render(share) for one, share in zip(sections, shares, strict=True)
    )
    return cut_text(text, max_chars)


def _check(max_chars: object) -> None:
    expected = f"expected an int of at least {LEAST_CHARS}"
    if not isinstance(max_chars, int) or isinstance(max_chars, bool):
        raise TypeError(f"max_chars is a {type(max_chars).__name__}; {expected} characters")
    if max_chars < LEAST_CHARS:
        raise ValueError(f"max_chars is {max_chars}; {expected} characters")


def _of_completed(outcome: Outcome, max_chars: int) -> list[_Section]:
    has_value = outcome.value is not None
    rest = [*_printed("Stderr:\n", outcome.stderr), *_artifacts(outcome), *_hints(outcome)]
    if not rest and not outcome.stdout.strip():
        return [_value("", outcome.value, max_chars)]
    if not rest and not has_value:
        return [_text("", outcome.stdout)]
    result = [_value("Result:\n", outcome.value, max_chars)] if has_value else []
    return [
        *_printed("Output:\n", outcome.stdout),
        *_printed("Stderr:\n", outcome.stderr),
        *result,
        *_artifacts(outcome),
        *_hints(outcome),
    ]


def _of_failed(outcome: Outcome) -> list[_Section]:
    verb, it_ended = _ENDINGS.get(outcome.status, ("Failed", "it failed"))
    advice = [_text("", _ADVICE[outcome.status])] if outcome.status in _ADVICE else []
    return [
        *_failure(verb, outcome.error),
        *advice,
        *_hints(outcome),
        *_calls(f"Called before {it_ended}", outcome),
        *_printed("Output:\n", outcome.stdout),
        *_printed("Stderr:\n", outcome.stderr),
        *_artifacts(outcome),
    ]


def _text(heading: str, text: str) -> _Section:
    return _Section(heading, len(text), lambda most: cut_text(text, most))


def _printed(heading: str, text: str) -> list[_Section]:
    return [_text(heading, text.rstrip("\n"))] if text.strip() else []


def _value(heading: str, value: Any, max_chars: int) -> _Section:
    if isinstance(value, str):
        return _text(heading, str.__str__(value))
    whole = whole_json(value, max_chars)
    if whole is None:
        return _Section(heading, max_chars + 1, lambda most: bounded_json(value, most))
    text = whole
    return _Section(
        heading, len(text), lambda most: text if len(text) <= most else bounded_json(value, most)
    )


def _artifacts(outcome: Outcome) -> list[_Section]:
    return _listed("Artifact", [one.summary for one in outcome.artifacts])


def _hints(outcome: Outcome) -> list[_Section]:
    return _listed("Hint", outcome.hints)


def _listed(heading: str, lines: Sequence[str]) -> list[_Section]:
    if not lines:
        return []
    if len(lines) == 1:
        return [_text(f"{heading}: ", lines[0])]
    return [_text(f"{heading}s:\n", "\n".join(f"- {line}" for line in lines))]


def _failure(verb: str, failure: Failure | None) -> list[_Section]:
    if failure is None:
        return [_text("", verb)]
    kind = "" if failure.type in _PLAIN_TYPES else f"{cut(failure.type, _ERROR_CHARACTERS)}: "
    before = f"{verb}: {kind}".removesuffix(": " if not failure.message else "")
    after = ""
    if failure.line is not None:
        source = failure.source_line.strip()
        after = f"\nLine {failure.line}" + (f": {cut(source, _ERROR_CHARACTERS)}" if source else "")
    message = failure.message
    fixed = len(before) + len(after)
    sections = [
        _Section(
            "", fixed + len(message), lambda most: before + cut_text(message, most - fixed) + after
        )
    ]
    if traceback := _frames(failure):
        sections.append(_text("Traceback:\n", traceback))
    return sections


def _frames(failure: Failure) -> str:
    """Return the traceback, without what the other lines say, or "" if it adds nothing."""
    text = failure.traceback.strip("\n")
    if text.count('  File "') <= 1 and _CHAINED not in text:
        return ""
    text = text.replace(_TRACEBACK_HEAD, "")
    report = f"{failure.type}: {failure.message}"
    if text.endswith(report):
        # The line on which it begins may have the module of the type before it.
        text = text.removesuffix(report).rpartition("\n")[0]
    return "\n".join(line for line in text.split("\n") if not _MARKS.fullmatch(line))


def _calls(heading: str, outcome: Outcome) -> list[_Section]:
    calls = outcome.tool_calls
    if not calls:
        return []
    known = outcome.error.message if outcome.error is not None else ""
    lines = [_call(call, known) for call in calls[:_FIRST_CALLS]]
    middle = calls[_FIRST_CALLS : max(_FIRST_CALLS, len(calls) - _LAST_CALLS)]
    if middle:
        lines.append(_counts(middle))
    lines += [_call(call, known) for call in calls[_FIRST_CALLS + len(middle) :]]
    outcomes = {call.outcome for call in calls}
    notes = []
    if "completed" in outcomes:
        notes.append("a completed call has happened: do not repeat it blindly")
    if outcomes & {"running", "cancelled"}:
        notes.append("a running or cancelled one may have happened")
    note = f" ({'; '.join(notes)})" if notes else ""
    return [_text(f"{heading}{note}:\n", "\n".join(lines))]


def _call(call: Call, known: str) -> str:
    arguments = [
        f"{cut(str(name), _MOST_ARGUMENTS * 5)}={shorten(value)}"
        for name, value in islice(call.arguments.items(), _MOST_ARGUMENTS)
    ]
    arguments += ["..."] * (len(call.arguments) > _MOST_ARGUMENTS)
    shown = cut(", ".join(arguments), _CALL_CHARACTERS)
    # The failure itself is at the top already.
    error = "" if call.error is None or call.error in known else call.error
    reason = f": {cut(' '.join(error.split()), _ERROR_CHARACTERS)}" if error else ""
    return f"{call.name}({shown}) -> {call.outcome}{reason}"


def _counts(calls: Sequence[Call]) -> str:
    counted = Counter((call.name, call.outcome) for call in calls)
    parts = [
        f"{count:,} x {name} -> {outcome}"
        for (name, outcome), count in counted.most_common(_COUNTED_NAMES)
    ]
    parts += ["..."] * (len(counted) > _COUNTED_NAMES)
    return f"… {len(calls):,} more calls: {', '.join(parts)} …"
