"""The record of a run: what an executor sends is bounded, and lines are those of the code sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from codemode.protos import codemode_pb2 as pb
from codemode.values import encode
from tests.support.halves import Half
from tests.support.scripted_executor import DONE, STARTED, scripted


def ended_by(half: Half, message: Any, code: str = "1") -> Any:
    def script(_: Iterator[pb.ClientMessage]) -> Iterator[Any]:
        yield STARTED
        yield message

    with scripted(script) as (codemode, _):
        return half.run(codemode, code)


@pytest.mark.parametrize("kind", ["completed", "failed"])
def test_hints_are_few_and_short(half: Half, kind: str) -> None:
    hints = ["x" * 5_000] * 50
    completed = pb.Completed(run_id=1, value=encode(5), hints=hints)
    failed = pb.Failed(run_id=1, status="failed", type="E", hints=hints)
    message = (
        pb.ExecutorMessage(completed=completed)
        if kind == "completed"
        else pb.ExecutorMessage(failed=failed)
    )
    assert ended_by(half, message).hints == ("x" * 1_000,) * 20


def test_an_executor_without_hints_gives_none(half: Half) -> None:
    result = ended_by(half, DONE)
    assert (result.value, result.hints) == (5, ())


@pytest.mark.parametrize(
    "code, line, source_line",
    [
        ("a\n  b\nc", 2, "  b"),
        ("a\r\nb\rc\nd", 2, "b"),
        ("a\r\nb\rc\nd", 3, "c"),
        ("a\x0b\x0c\x1c\x85\u2028b\nc", 1, "a\x0b\x0c\x1c\x85\u2028b"),
        ("a\nb", 3, ""),
        ("a\n", 2, ""),
        ("a", 2**32 - 1, ""),
        ("a", 0, ""),
        ("x" * 1_000, 1, "x" * 500 + "..."),
    ],
)
def test_the_line_of_a_failure_is_that_of_the_code_sent(
    half: Half, code: str, line: int, source_line: str
) -> None:
    failed = pb.Failed(run_id=1, status="failed", type="E", message="m", line=line)
    error = ended_by(half, pb.ExecutorMessage(failed=failed), code).error
    assert (error.line, error.source_line) == (line or None, source_line)
