from __future__ import annotations

import random
import time
from typing import Any

import cbor2
import pytest

from codemode import Recording, RecordingFormatError
from codemode.core._recording.journal import (
    MOST_EVENTS,
    CallMade,
    Head,
    Journal,
    OutcomeKnown,
    Printed,
    StepsTaken,
)
from codemode.core._recording.journal_bytes import journal_from, to_bytes
from codemode.core.hooks import ToolFailure
from codemode.values import encode

LINE = b"codemode recording 2\n"


def journal() -> Journal:
    made = Journal(10**6)
    made.begin(Head(execution_id="e 1", profile="default", code=bytes(16), python="3.13"))
    made.add(CallMade("m:1", "add", encode({"amount": 1}), b"|em:1+5\n"))
    made.add(OutcomeKnown("m:1", "completed", encode("ä"), None))
    made.add(CallMade("m:2", "add", b"\xff", b""))
    failure = ToolFailure(kind="invalid_arguments", type="InvalidArguments", message="ü")
    made.add(OutcomeKnown("m:2", "refused", None, failure))
    made.add(CallMade("m:3", "add", encode({}), b""))
    made.add(StepsTaken(b"|em:2+6\n"))
    made.add(Printed("stdout", "€"))
    made.ended = "completed"
    return made


def content() -> dict[str, Any]:
    loaded: dict[str, Any] = cbor2.loads(to_bytes(journal())[len(LINE) :])
    return loaded


def test_bytes_keep_everything() -> None:
    made = journal()
    read = journal_from(to_bytes(made), 10**6)
    assert read.events() == made.events()
    assert read.head == made.head
    assert read.ended == "completed"
    recording = Recording.from_bytes(to_bytes(made))
    assert recording.to_bytes() == to_bytes(made)
    assert [one.outcome for one in recording.calls] == ["completed", "refused", "running"]
    assert recording.calls[1].arguments == {}
    assert Recording.from_bytes(Recording().to_bytes()).to_bytes() == LINE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ended": "paused"}, "ended is 'paused'"),
        ({"execution_id": "a\n"}, "execution_id is"),
        ({"execution_id": 1}, "execution_id is 1"),
        ({"seed": bytes(31)}, "seed is .*expected 32 bytes"),
        ({"start": -1}, "start is -1"),
        ({"start": True}, "start is True"),
        ({"start": 2**62}, "start is"),
        ({"python": "3"}, "python is '3'"),
        ({"profile": ""}, "profile is ''"),
        ({"more": 1}, "expected a map of code, ended"),
        ({"events": {}}, "events is {}; expected an array"),
        ({"events": [7]}, r"events\[0\] is 7; expected an event"),
        ({"events": [[]]}, r"events\[0\] is \[\]"),
        ({"events": [[9]]}, "of the kind 9; expected 1 to 5"),
        ({"events": [[True, "m:1", "add", b"", b""]]}, "of the kind True"),
        ({"events": [[1, "m:1", "add", b""]]}, "an event of kind 1 has str, str, bytes, bytes"),
        ({"events": [[1, "m 1", "add", b"", b""]]}, "the label is 'm 1'"),
        ({"events": [[1, "m:1", "add", b"", b""]] * 2}, r"events\[1\] .*expected each label once"),
        ({"events": [[1, "m:1", "add", b"", b"a"]]}, "expected steps"),
        ({"events": [[4, b"|z+1\nz\n"]]}, "expected steps"),
        ({"events": [[2, "m:1", b"\x01"]]}, "expected the label of a call before it"),
        (
            {"events": [[1, "m:1", "add", b"", b""], [2, "m:1", b"\xff"]]},
            r"events\[1\]: the value of m:1",
        ),
        (
            {"events": [[1, "m:1", "add", b"", b""], *[[2, "m:1", b"\x01"]] * 2]},
            "one outcome for each call",
        ),
        (
            {"events": [[1, "m:1", "a", b"", b""], [3, "m:1", "completed", "error", "E", ""]]},
            "'completed'; expected one of",
        ),
        (
            {"events": [[1, "m:1", "a", b"", b""], [3, "m:1", "failed", "own", "E", ""]]},
            "'own'; expected one of",
        ),
        ({"events": [[5, "stdin", "x"]]}, "'stdin'; expected one of"),
    ],
)
def test_each_field_is_checked_and_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordingFormatError, match=message):
        Recording.from_bytes(LINE + cbor2.dumps({**content(), **change}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, r"data is None; expected the bytes of Recording.to_bytes\(\)"),
        ("codemode recording 2", "data is 'codemode recording 2'; expected the bytes"),
        (b"", "do not begin with its first line"),
        (b"codemode recording 1\n", "a recording of version 1; this version of codemode reads"),
        (LINE + b"\x01", "expected a map of"),
        (LINE + b"\xff", "not a recording"),
        (LINE + cbor2.dumps([]) + b"x", "not a recording"),
    ],
)
def test_bytes_that_are_no_recording_are_refused(data: Any, message: str) -> None:
    with pytest.raises(RecordingFormatError, match=message):
        Recording.from_bytes(data)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_bytes_are_read_as_a_database_gives_them(kind: type[memoryview]) -> None:
    good = to_bytes(journal())
    assert Recording.from_bytes(kind(good)).to_bytes() == good


@pytest.mark.parametrize("number", [0, "64 MB", True])
def test_max_bytes_is_a_number(number: Any) -> None:
    with pytest.raises(ValueError, match=f"max_bytes is {number!r}; expected a number of bytes"):
        Recording(max_bytes=number)


def test_changed_bytes_raise_nothing_else() -> None:
    good, numbers = to_bytes(journal()), random.Random(7)
    for _ in range(3_000):
        bad = bytearray(good)
        for _ in range(numbers.randint(1, 4)):
            bad[numbers.randrange(len(bad))] = numbers.randrange(256)
        try:
            recording = Recording.from_bytes(bytes(bad))
        except RecordingFormatError:
            continue
        _ = [(one.arguments, one.value) for one in recording.calls]


def test_more_than_max_bytes_and_more_than_its_events_are_refused() -> None:
    with pytest.raises(RecordingFormatError, match="limit of 100"):
        Recording.from_bytes(to_bytes(journal()), max_bytes=100)
    many = {**content(), "events": [[4, b"|z+1\n"]] * (MOST_EVENTS + 1)}
    with pytest.raises(RecordingFormatError, match="larger than max_bytes"):
        Recording.from_bytes(LINE + cbor2.dumps(many))


def test_reading_takes_time_in_proportion_to_the_bytes() -> None:
    """Whatever they say: of the same size, no bytes take ten times as long as honest ones."""

    def seconds(data: bytes) -> float:
        began = time.process_time()
        try:
            Recording.from_bytes(data)
        except RecordingFormatError:
            pass
        return time.process_time() - began

    def of(events: list[Any]) -> bytes:
        return LINE + cbor2.dumps({**content(), "events": events})

    honest = []
    for number in range(20_000):
        honest += [
            [1, f"m:{number}", "add", encode({"n": 1}), b"|z+1\n"],
            [2, f"m:{number}", b"\x01"],
        ]
    size = len(of(honest))
    steps = of([[4, b"|z+1\n"]] * (size // 8))
    nested = LINE + b"\x81" * size
    deep = of([[1, "m", "a", b"", b""], [2, "m", b"\x81" * size]])
    flood = of([[1, "m", "a", b"", b""], [2, "m", cbor2.dumps(dict.fromkeys(range(size // 4), 0))]])
    limit = 10 * seconds(of(honest)) + 0.03
    assert [
        round(one, 3) for one in map(seconds, (steps, nested, deep, flood)) if one > limit
    ] == []
