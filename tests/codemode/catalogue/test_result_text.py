"""The text of an outcome: a value or output alone as it is, else sections within one budget."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from codemode.core.result import ExecutionFailure, ExecutionResult, ToolCallRecord

TWO_FRAMES = """\
Traceback (most recent call last):
  File "<code>", line 4, in <module>
    pay()
    ~~~^^
  File "<code>", line 2, in pay
    return refund(1)
ToolError: refund raised ValueError: too much
"""


def completed(value: Any = None, **fields: Any) -> ExecutionResult:
    return ExecutionResult(status="completed", execution_id="e", value=value, **fields)


def failed(
    status: Any = "failed",
    type: str = "ZeroDivisionError",
    message: str = "division by zero",
    *,
    line: int | None = None,
    source_line: str = "",
    traceback: str = "",
    **fields: Any,
) -> ExecutionResult:
    error = ExecutionFailure(
        type=type, message=message, line=line, source_line=source_line, traceback=traceback
    )
    return ExecutionResult(status=status, execution_id="e", error=error, **fields)


def call(outcome: Any, name: str = "orders.get", **fields: Any) -> ToolCallRecord:
    given: dict[str, Any] = {"call_id": 1, "arguments": {"order_id": 1}} | fields
    return ToolCallRecord(name=name, outcome=outcome, **given)


@pytest.mark.parametrize(
    "result, text",
    [
        (completed("as it is"), "as it is"),
        (completed({"a": [1, Decimal("1.10")]}), '{"a": [1, "1.10"]}'),
        (completed(), "null"),
        (completed(stdout="hi\n\n"), "hi\n\n"),
        (completed(stdout=" \n"), "null"),
        (completed("", stdout="\n"), ""),
        (completed(0, stdout="hi\n"), "Output:\nhi\n\nResult:\n0"),
        (completed(stderr="oops\n"), "Stderr:\noops"),
        (completed(hints=("a",)), "Hint: a"),
        (
            completed(["x"], stdout="out\n", stderr="err\n", hints=("a", "b")),
            'Output:\nout\n\nStderr:\nerr\n\nResult:\n["x"]\n\nHints:\n- a\n- b',
        ),
    ],
)
def test_completed_outcome(result: ExecutionResult, text: str) -> None:
    assert result.for_model() == text


@pytest.mark.parametrize(
    "result, text",
    [
        (failed(), "Failed: ZeroDivisionError: division by zero"),
        (
            failed(line=3, source_line="    total / 0"),
            "Failed: ZeroDivisionError: division by zero\nLine 3: total / 0",
        ),
        (failed(line=3), "Failed: ZeroDivisionError: division by zero\nLine 3"),
        (failed(type="KeyboardInterrupt", message=""), "Failed: KeyboardInterrupt"),
        (failed("timeout", "Timeout", "the code ran long"), "Timed out: the code ran long"),
        (failed("cancelled", "Cancelled", "by the caller"), "Cancelled: by the caller"),
        (failed("limit", "CpuLimit", "too much"), "Stopped by a limit: CpuLimit: too much"),
        (failed("crashed", "Killed", "from outside"), "Crashed: Killed: from outside"),
        (ExecutionResult(status="crashed", execution_id="e"), "Crashed"),
        (
            failed(hints=("a",), stdout="out\n", stderr="err\n"),
            "Failed: ZeroDivisionError: division by zero\n\nHint: a\n\nOutput:\nout\n\nStderr:\nerr",
        ),
        (
            failed(
                type="ToolError",
                message="refund raised ValueError: too much",
                line=2,
                source_line="    return refund(1)",
                traceback=TWO_FRAMES,
            ),
            (
                "Failed: ToolError: refund raised ValueError: too much\n"
                "Line 2: return refund(1)\n\n"
                'Traceback:\n  File "<code>", line 4, in <module>\n    pay()\n'
                '  File "<code>", line 2, in pay\n    return refund(1)'
            ),
        ),
    ],
)
def test_outcome_that_is_not_completed(result: ExecutionResult, text: str) -> None:
    assert result.for_model() == text


def test_one_frame_says_no_more_than_the_line_does() -> None:
    traceback = 'Traceback (most recent call last):\n  File "<code>", line 1, in <module>\nE: m'
    assert failed(type="E", message="m", line=1, traceback=traceback).for_model().count("\n") == 1


def test_a_message_of_several_lines_is_shown_once() -> None:
    message = "'totl'\nDid you mean 'total'?"
    last = "ToolError: refund raised ValueError: too much"
    traceback = TWO_FRAMES.replace(last, f"module.KeyError: {message}")
    text = failed(type="KeyError", message=message, traceback=traceback).for_model()
    assert text.count("Did you mean") == text.count("KeyError") == 1
    assert text.endswith("    return refund(1)")


def test_the_cause_of_a_failure_is_shown() -> None:
    traceback = (
        "KeyError: 'total'\n\nThe above exception was the direct cause of the following "
        'exception:\n\nTraceback (most recent call last):\n  File "<code>", line 1\nE: m'
    )
    assert "KeyError: 'total'" in failed(type="E", message="m", traceback=traceback).for_model()


@pytest.mark.parametrize(
    "status, ending",
    [
        ("failed", "it failed"),
        ("timeout", "it timed out"),
        ("limit", "it was stopped"),
        ("cancelled", "it was cancelled"),
        ("crashed", "it crashed"),
    ],
)
def test_calls_before_the_end_are_shown(status: Any, ending: str) -> None:
    calls = (
        call("completed"),
        call("refused", "customers.delete", error="not permitted", arguments={}),
        call("running", "refund", arguments={"amount": Decimal("1.5"), "why": "x" * 1000}),
    )
    *_, text = failed(status, tool_calls=calls).for_model().split("\n\n")
    why = f"'{'x' * 27}...{'x' * 28}'"
    assert text == (
        f"Called before {ending} (a completed call has happened: do not repeat it blindly; "
        "a running or cancelled one may have happened):\n"
        "orders.get(order_id=1) -> completed\n"
        "customers.delete() -> refused: not permitted\n"
        f"refund(amount=Decimal('1.5'), why={why}) -> running"
    )


def test_calls_of_code_that_completed_are_not_shown() -> None:
    assert completed(1, tool_calls=(call("completed"),)).for_model() == "1"


def test_calls_without_effects_have_no_warning() -> None:
    text = failed(tool_calls=(call("refused", error="no"),)).for_model()
    assert text.endswith("Called before it failed:\norders.get(order_id=1) -> refused: no")


def test_the_failure_of_the_last_call_is_not_repeated() -> None:
    calls = (call("failed", error="ValueError: too much"),)
    text = failed(message="refund raised ValueError: too much", tool_calls=calls).for_model()
    assert text.count("too much") == 1


def test_many_calls_are_counted() -> None:
    calls = [call("completed", arguments={"order_id": number}) for number in range(500)]
    calls[100] = call("failed", "refund", error="no")
    *_, text = failed(tool_calls=tuple(calls)).for_model().split("\n\n")
    lines = text.splitlines()[1:]
    assert lines[0] == "orders.get(order_id=0) -> completed"
    assert lines[8] == "… 480 more calls: 479 x orders.get -> completed, 1 x refund -> failed …"
    assert lines[9] == "orders.get(order_id=488) -> completed"
    assert lines[-1] == "orders.get(order_id=499) -> completed"


def test_arguments_of_any_number_and_length_are_cut() -> None:
    arguments = {f"{'n' * 500}{number}": "x" * 500 for number in range(50)}
    text = failed(tool_calls=(call("completed", arguments=arguments),)).for_model()
    assert len(text) < 600
    assert text.endswith("...) -> completed")


LARGE = [
    completed("x" * 1_000_000),
    completed(list(range(100_000))),
    completed(stdout="x" * 1_000_000),
    completed(
        {"rows": list(range(100_000))},
        stdout="o" * 1_000_000,
        stderr="e" * 1_000_000,
        hints=("h" * 1_000,) * 20,
    ),
    failed(
        type="T" * 1_000,
        message="m" * 64_000,
        line=9,
        source_line="s" * 500,
        traceback='  File "<code>", line 1\n' * 3_000,
        tool_calls=tuple(call("completed", arguments={"x": "y" * 1_000}) for _ in range(1_000)),
        stdout="o" * 1_000_000,
        stderr="e" * 1_000_000,
        hints=("h" * 1_000,) * 20,
    ),
    failed(type="T" * 1_000, message="m" * 64_000, line=9, source_line="s" * 500),
]


@pytest.mark.parametrize("max_chars", [100, 500, 2_000, 20_000])
@pytest.mark.parametrize(
    "result", LARGE, ids=["str", "list", "output", "all", "failure", "failure alone"]
)
def test_the_whole_text_has_one_budget(result: ExecutionResult, max_chars: int) -> None:
    assert 0.75 * max_chars < len(result.for_model(max_chars)) <= max_chars


def test_the_default_budget() -> None:
    assert len(LARGE[0].for_model()) == 20_000


def test_what_is_cut_has_its_ends_and_its_size() -> None:
    text = completed("start" + "x" * 1_000_000 + "end", stdout="small\n").for_model(1_000)
    assert text.startswith("Output:\nsmall\n\nResult:\nstartxxx")
    assert "\n… cut, 1,000,008 characters in all …\n" in text
    assert text.endswith("xxxend")


def test_the_failure_stays_whole_beside_much_output() -> None:
    text = failed(line=1, source_line="1/0", stdout="x" * 1_000_000).for_model(500)
    assert text.startswith(
        "Failed: ZeroDivisionError: division by zero\nLine 1: 1/0\n\nOutput:\nxxx"
    )


@pytest.mark.parametrize(
    "max_chars, error, message",
    [
        (0, ValueError, "max_chars is 0; expected an int of at least 100 characters"),
        (-1, ValueError, "max_chars is -1; "),
        (99, ValueError, "max_chars is 99; "),
        (True, TypeError, "max_chars is a bool; "),
        ("500", TypeError, "max_chars is a str; "),
        (500.0, TypeError, "max_chars is a float; "),
    ],
)
def test_wrong_budget_is_refused(max_chars: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        completed(1).for_model(max_chars)
