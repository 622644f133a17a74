"""Promises of a cassette's text: nothing is lost, nothing is hidden, and no text does harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemode import Codemode, Recording, RecordingFormatError
from codemode.core._recording.journal import (
    CallMade,
    Head,
    Journal,
    OutcomeKnown,
    Printed,
    StepsTaken,
)
from codemode.core._recording.replay import digest_of
from codemode.core.hooks import ToolFailure
from codemode.testing.cassette_text import RecordedRun, runs_from, text_of
from codemode.values import encode

MOST = 1024 * 1024
CODE = "import asyncio\nprint(await asyncio.gather(slow(1), slow(2)))\ntry:\n    fail()\nexcept Exception as error:\n    print(error)"


def recorded(code: str, recording: Recording) -> RecordedRun:
    return RecordedRun(
        code=code,
        inputs="0f" * 16,
        hidden_tools=frozenset({"refund"}),
        journal=recording._journal,
    )


def made() -> RecordedRun:
    """Return a run with an event of each kind."""
    journal = Journal(MOST)
    journal.head = Head(
        execution_id="one",
        profile="default",
        code=digest_of(b"pay()"),
        start=1_700_000_000_000_001,
        seed=bytes(32),
        python="3.13",
    )
    failure = ToolFailure(kind="error", type="LookupError", message="none \u202e")
    for event in (
        CallMade("0:1", "pay", encode({"amount": 5}), b"|z+1\n"),
        CallMade("0:2", "pay", b"\xff", b""),
        Printed("stdout", "a\r\n"),
        OutcomeKnown("0:2", "failed", None, failure),
        StepsTaken(b"|z+2\n|z+3\n"),
        Printed("stdout", "b"),
        OutcomeKnown("0:1", "completed", encode((1, 2)), None),
    ):
        journal.add(event)
    journal.ended = "completed"
    return RecordedRun(code="pay()", hidden_tools=frozenset(), journal=journal)


def test_a_recorded_run_is_the_same_after_its_text(codemode: Codemode) -> None:
    async def slow(number: int) -> set[int]:
        return {number, 2**80}

    def fail() -> None:
        raise LookupError("no such order")

    codemode.registry.register_tool("slow", slow)
    codemode.registry.register_tool("fail", fail)
    recording = Recording()
    assert codemode.run(CODE, recording=recording).ok
    for one in (recorded(CODE, recording), made()):
        text = text_of([one, one])
        first, second = runs_from(text, MOST)
        assert text_of([first, second]) == text
        assert (first.code, first.hidden_tools) == (one.code, one.hidden_tools)
        assert first.journal.head == one.journal.head
        assert first.journal.events() == one.journal.events()
        assert first.journal.ended == one.journal.ended


def test_a_text_shows_each_character() -> None:
    text = text_of([made()])
    assert text.replace("\n", "").isprintable()
    assert "none \\u202e" in text


def test_a_call_is_a_line() -> None:
    assert (
        '        {"name": "pay", "arguments": {"amount": 5}, "value": {"$tuple": [1, 2]}, '
        '"label": "0:1"},\n' in text_of([made()])
    )


def edited(change: Callable[[Any], object]) -> str:
    content = json.loads(text_of([made()]))
    change(content)
    return json.dumps(content)


def run_of(content: Any) -> Any:
    return content["runs"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update({"codemode cassette": 1}), "of version 1; this version of codemode"),
        (lambda c: c.pop("runs"), "the file.runs is missing; expected list"),
        (lambda c: c.update(runs=[1]), r"runs\[0\] is 1; expected an object"),
        (lambda c: run_of(c).update(code=[1]), r"runs\[0\].code\[0\] is 1; expected a text"),
        (lambda c: run_of(c).update(code=["\ud800"]), "lone surrogate"),
        (lambda c: run_of(c).update(seed="ab"), "seed is .*; expected 32 bytes"),
        (lambda c: run_of(c).update(seed="x"), "seed is 'x'; expected hexadecimal digits"),
        (lambda c: run_of(c).update(start="now"), "start is 'now'; expected a date and time"),
        (lambda c: run_of(c).update(start="2025-01-01T00:00:00"), "with its offset"),
        (lambda c: run_of(c).update(python="3"), "python is '3'; expected a version"),
        (lambda c: run_of(c).update(ended=""), "ended is empty"),
        (lambda c: run_of(c).update(ended="so"), "ended is 'so'; expected one of"),
        (lambda c: run_of(c)["stdout"].append("c"), "stdout does not fit to its course"),
        (lambda c: run_of(c)["calls"].append({}), "calls does not fit to its course"),
        (lambda c: run_of(c)["calls"].reverse(), r"course\[0\] has the call 0:1, where the next"),
        (lambda c: run_of(c)["calls"][0].pop("value"), r"calls\[0\] has no 'value'"),
        (
            lambda c: run_of(c)["calls"][0].update(value={"$decimal": "x"}),
            "the value of 0:1: not a Decimal",
        ),
        (
            lambda c: run_of(c)["calls"][0].update(value={"$decimals": "1"}),
            r"calls\[0\].value: \$decimals is not known; expected one of",
        ),
        (lambda c: run_of(c)["calls"][1]["failure"].update(kind="x"), "expected one of"),
        (lambda c: run_of(c)["calls"][1].update(failure=1), "failure is 1; expected an object"),
        (lambda c: run_of(c)["course"].append("outcome 0:1"), "a call that has none"),
        (lambda c: run_of(c)["course"].append("sleep"), "'sleep', which is no line of a course"),
        (lambda c: run_of(c)["course"].append("steps ö"), "expected steps"),
    ],
)
def test_a_wrong_text_is_refused_with_the_place(change: Any, message: str) -> None:
    with pytest.raises(RecordingFormatError, match=message):
        runs_from(edited(change), MOST)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1, column 2"),
        ("[]", "the file is \\[\\]; expected an object"),
        ('{"a": 1, "a": 2}', "a key twice"),
        ("[" * 100_000, "not JSON that a cassette may have"),
        ('{"a": NaN}', "NaN is no JSON"),
        (f'{{"a": {"9" * 5000}}}', "not JSON that a cassette may have"),
    ],
    ids=range(6),
)
def test_what_is_no_cassette_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecordingFormatError, match=message):
        runs_from(text, MOST)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@given(st.data())
def test_no_text_raises_anything_else(data: st.DataObject) -> None:
    content = json.loads(text_of([made()]))
    parent: Any = content
    while True:
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(parent[key], dict | list) or data.draw(st.booleans()):
            parent[key] = data.draw(junk)
            break
        parent = parent[key]
    try:
        runs_from(json.dumps(content), MOST)
    except RecordingFormatError:
        pass
