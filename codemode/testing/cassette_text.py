"""The text of a cassette: recorded runs as JSON, for reviewers first and for the replay second.

JSON, because the standard library reads and writes it without loss, and editors
and reviews show it well. What fits on a line is on one line, so that a call that
changes is a line that changes. What differs each time (the clock, the steps)
comes last in each run. The text is read as hostile.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from codemode.core._recording.journal import CallMade, Journal, OutcomeKnown, Printed, StepsTaken
from codemode.core._recording.journal_bytes import journal_of
from codemode.core._recording.replay import digest_of
from codemode.errors import RecordingFormatError
from codemode.testing.value_text import from_json, to_json
from codemode.values.shortening import shorten

__all__ = ["RecordedRun", "runs_from", "text_of"]

_VERSION = 2
_WIDTH = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_CALL = (-1, None)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A run of a cassette: its code, the tools that the code was not shown, and its record.

    ``inputs`` is a digest of the run's inputs, "" where it has none, and None
    where the file does not say.
    """

    code: str
    inputs: str | None = None
    hidden_tools: frozenset[str]
    journal: Journal


def text_of(runs: Iterable[RecordedRun]) -> str:
    """Return the text of a cassette; the same runs give the same text."""
    content = {"codemode cassette": _VERSION, "runs": [_run_as_json(run) for run in runs]}
    return _layout(content, 0, 0) + "\n"


def runs_from(text: str, max_bytes: int) -> list[RecordedRun]:
    """Return the runs of a cassette. Raises RecordingFormatError, which names the place."""
    try:
        content = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise RecordingFormatError(
            f"line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise RecordingFormatError(f"not JSON that a cassette may have: {error}") from None
    version = _get("the file", content, "codemode cassette", int)
    if version != _VERSION:
        raise RecordingFormatError(
            f"a cassette of version {version}; this version of codemode reads version {_VERSION}"
        )
    runs = _get("the file", content, "runs", list)
    try:
        return [_run_from(run, f"runs[{place}]", max_bytes) for place, run in enumerate(runs)]
    except UnicodeEncodeError as error:
        raise RecordingFormatError(
            f"a text has the lone surrogate {error.object[error.start]!r}, which is no character"
        ) from None


def _run_as_json(run: RecordedRun) -> dict[str, Any]:
    journal, head = run.journal, run.journal.begun
    assert head is not None
    return {
        "code": run.code.split("\n"),
        "calls": [_call_as_json(made, known) for made, known in journal.calls()],
        "stdout": journal.printed("stdout").splitlines(keepends=True),
        "stderr": journal.printed("stderr").splitlines(keepends=True),
        "ended": journal.ended,
        "hidden_tools": sorted(run.hidden_tools),
        **({} if run.inputs is None else {"inputs": run.inputs}),
        "profile": head.profile,
        "python": head.python,
        "seed": head.seed.hex(),
        "execution_id": head.execution_id,
        "start": (_EPOCH + head.start * _MICROSECOND).isoformat(),
        "course": [_course_as_text(event) for event in journal.events()],
    }


def _call_as_json(made: CallMade, known: OutcomeKnown | None) -> dict[str, Any]:
    call = {"name": made.name, "arguments": to_json(made.arguments)}
    if known is not None and known.failure is not None:
        failure = known.failure
        call["failure"] = {
            "outcome": known.word,
            "kind": failure.kind,
            "type": failure.type,
            "message": failure.message,
        }
    elif known is not None:
        call["value"] = to_json(known.value or b"")
    return {**call, "label": made.label}


def _course_as_text(event: object) -> str:
    match event:
        case CallMade(label=label, steps=steps):
            return f"call {label} {steps.decode()}" if steps else f"call {label}"
        case OutcomeKnown(label=label):
            return f"outcome {label}"
        case StepsTaken(data=data):
            return f"steps {data.decode()}"
        case Printed(stream=stream, text=text):
            return f"{stream} {len(text)}"
    raise AssertionError(event)


def _run_from(run: Any, where: str, max_bytes: int) -> RecordedRun:
    code = "\n".join(_texts(where, run, "code"))
    seed = _get(where, run, "seed", str)
    if not re.fullmatch(r"(?:[0-9a-f]{2})*", seed):
        raise RecordingFormatError(f"{where}.seed is {shorten(seed)}; expected hexadecimal digits")
    content = {
        "execution_id": _get(where, run, "execution_id", str),
        "profile": _get(where, run, "profile", str),
        "code": digest_of(code.encode()),
        "start": _start(where, run),
        "seed": bytes.fromhex(seed),
        "python": _get(where, run, "python", str),
        "ended": _get(where, run, "ended", str),
        "events": list(_events(where, run)),
    }
    try:
        journal = journal_of(content, max_bytes)
    except RecordingFormatError as error:
        text = str(error).replace("events[", "course[", 1)  # an event for each of its lines
        raise RecordingFormatError(f"{where}: {text}") from None
    if not journal.ended:
        raise RecordingFormatError(f"{where}.ended is empty; expected a run that has ended")
    return RecordedRun(
        code=code,
        inputs=_get(where, run, "inputs", str) if "inputs" in run else None,
        hidden_tools=frozenset(_texts(where, run, "hidden_tools")),
        journal=journal,
    )


def _start(where: str, run: Any) -> int:
    text = _get(where, run, "start", str)
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except (ValueError, TypeError):
        raise RecordingFormatError(
            f"{where}.start is {shorten(text)}; expected a date and time with its offset"
        ) from None


def _events(where: str, run: Any) -> Iterator[list[Any]]:
    """Yield the events of a journal, as arrays, in the order of the course."""
    calls: Iterator[tuple[int, Any]] = enumerate(_get(where, run, "calls", list))
    outcomes: dict[str, list[Any]] = {}
    output = {name: "".join(_texts(where, run, name)) for name in ("stdout", "stderr")}
    shown = dict.fromkeys(output, 0)
    for place, line in enumerate(_texts(where, run, "course")):
        here = f"{where}.course[{place}]"
        kind, _, what = line.partition(" ")
        if kind == "call":
            what, _, steps = what.partition(" ")
            number, call = next(calls, _NO_CALL)
            label = None if call is None else _get(f"{where}.calls[{number}]", call, "label", str)
            if label != what:
                raise RecordingFormatError(
                    f"{here} has the call {what}, where the next of the calls is {label}"
                )
            name, arguments, outcomes[what] = _call(f"{where}.calls[{number}]", call)
            yield [1, what, name, arguments, steps.encode()]
        elif kind == "outcome":
            if what not in outcomes:
                raise RecordingFormatError(f"{here} has the outcome of a call that has none")
            yield outcomes.pop(what)
        elif kind == "steps":
            yield [4, what.encode()]
        elif kind not in output:
            raise RecordingFormatError(f"{here} is {shorten(line)}, which is no line of a course")
        else:
            end = shown[kind] + (int(what) if re.fullmatch("[0-9]{1,9}", what) else 0)
            yield [5, kind, output[kind][shown[kind] : end]]
            shown[kind] = end
    left = [name for name, text in output.items() if len(text) != shown[name]]
    further = next(calls, None) is not None
    if left or outcomes or further:
        what = left[0] if left else "calls"
        raise RecordingFormatError(f"{where}.{what} does not fit to its course")


def _call(where: str, call: Any) -> tuple[str, bytes, list[Any]]:
    name, label = _get(where, call, "name", str), _get(where, call, "label", str)
    arguments = _bytes(where, call, "arguments")
    if "failure" not in call:
        return name, arguments, [2, label, _bytes(where, call, "value")]
    there = f"{where}.failure"
    fields = ("outcome", "kind", "type", "message")
    failure = [_get(there, call["failure"], field, str) for field in fields]
    return name, arguments, [3, label, *failure]


def _bytes(where: str, call: Any, name: str) -> bytes:
    if name not in call:
        raise RecordingFormatError(f"{where} has no {name!r}")
    try:
        return from_json(call[name])
    except (ValueError, TypeError, OverflowError) as error:
        raise RecordingFormatError(f"{where}.{name}: {error}") from None


def _texts(where: str, parent: Any, name: str) -> list[str]:
    texts: list[Any] = _get(where, parent, name, list)
    for place, one in enumerate(texts):
        if type(one) is not str:
            raise RecordingFormatError(
                f"{where}.{name}[{place}] is {shorten(one)}; expected a text"
            )
    return texts


def _get(where: str, parent: Any, name: str, kind: type) -> Any:
    if type(parent) is not dict:
        raise RecordingFormatError(f"{where} is {shorten(parent)}; expected an object")
    value = parent.get(name)
    if type(value) is not kind:
        found = shorten(value) if name in parent else "missing"
        raise RecordingFormatError(f"{where}.{name} is {found}; expected {kind.__name__}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f'{name} is no JSON; write {{"$float": "nan"}}, "inf" or "-inf"')


def _layout(item: Any, indent: int, taken: int) -> str:
    """Return JSON in which what fits is on one line; ``taken`` characters of it are used."""
    if type(item) is dict:
        keys = [f"{_atom(key)}: " for key in item]
        brackets, values = "{}", list(item.values())
    elif type(item) is list:
        keys, brackets, values = [""] * len(item), "[]", item
    else:
        return _atom(item)
    parts = [
        key + _layout(one, indent + 2, indent + 2 + len(key))
        for key, one in zip(keys, values, strict=True)
    ]
    size = taken + sum(map(len, parts)) + 2 * len(parts)
    if size < _WIDTH and not any("\n" in part for part in parts):
        return f"{brackets[0]}{', '.join(parts)}{brackets[1]}"
    inner = ",\n".join(" " * (indent + 2) + part for part in parts)
    return f"{brackets[0]}\n{inner}\n{' ' * indent}{brackets[1]}"


def _atom(item: Any) -> str:
    text = json.dumps(item, ensure_ascii=False)
    if text.isprintable():
        return text
    # A reviewer must see what is there: no character may hide or turn the text around.
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)
