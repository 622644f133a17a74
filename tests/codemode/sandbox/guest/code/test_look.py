"""The look at code: right programs keep their outcome, certain mistakes are reported in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.codemode.sandbox.guest.code.looked_at import HERE, run, run_all, sections
from tests.codemode.sandbox.guest.guest_driver import Forker, Outcome
from tests.support.mistakes import mistakes

RIGHT = {
    f"{path.stem}: {title}": (code.split("\n## next run\n"), path.stem == "sessions")
    for path in sorted((HERE / "right_programs").glob("*.txt"))
    for title, code in sections(path)
}
WRONG = mistakes(before_the_run=True)


@pytest.fixture(scope="module")
def blind_forker() -> Iterator[Forker]:
    """Yield the process from which guests without the look are forked."""
    forker = Forker(look=False)
    yield forker
    forker.close()


def report_of(outcome: Outcome) -> str:
    return f"{outcome.type} line {outcome.line}: {outcome.message}"


@pytest.mark.parametrize("name", RIGHT)
def test_right_program_keeps_its_outcome(forker: Forker, blind_forker: Forker, name: str) -> None:
    codes, session = RIGHT[name]
    seen = run_all(forker, codes, session=session)
    assert [one.completed for one in seen] == [True] * len(codes), report_of(seen[-1])
    blind = run_all(blind_forker, codes, session=session)
    # The look has hints of its own.
    assert [replace(one, hints=[]) for one in seen] == [replace(one, hints=[]) for one in blind]


def test_there_are_many_right_programs() -> None:
    assert len(RIGHT) >= 150


@pytest.mark.parametrize("name", WRONG)
def test_certain_mistake_is_reported_before_the_first_call(forker: Forker, name: str) -> None:
    code, expected = WRONG[name]
    outcome = run(forker, code)
    assert report_of(outcome) == expected
    assert outcome.events == [("taken",)]


def test_function_that_nothing_calls_is_a_hint_where_a_later_run_may_call_it(
    forker: Forker,
) -> None:
    code = "async def main():\n    return await rate('x')"
    first, second = run_all(forker, [code, "await main()"], session=True)
    assert (first.completed, first.hints) == (
        True,
        ["main() is defined but never called: end the code with await main()"],
    )
    assert (second.value, second.hints) == (1.5, [])


def test_traceback_of_a_refusal_shows_the_line_as_sent(forker: Forker) -> None:
    outcome = run(forker, "```python\nx = 1\nx + nothing\n```")
    assert outcome.traceback.startswith('  File "<code>", line 3\n    x + nothing\nNameError: ')


def test_names_of_inputs_and_of_earlier_runs_are_known(forker: Forker) -> None:
    first, second = run_all(forker, ["made = 1", "made + nothing"], session=True)
    assert first.completed
    assert report_of(second).startswith("NameError line 1: name 'nothing' is not defined\n")


@pytest.mark.parametrize(
    "code, type",
    [
        ("x = " + "+".join(["1"] * 60_000), "SyntaxError"),
        ("[" * 150 + "]" * 150, None),
        ("x = 1\n" + "if x: pass\n" + "elif x: pass\n" * 15_000, None),
        ("f = print\nx = f" + "(1)" * 2_000, None),
        ("\n".join(f"n{number}" for number in range(30_000)), "NameError"),
        ("report()\n" * 28_000, "InvalidArgumentsError"),
        ("rate('x')['a']\n" * 17_000, "TypeError"),
        ("rate('x') or " * 18_000 + "1", "NotAwaited"),
        ("x = lambda: " * 2_000 + "1", None),
        ("n" * 250_000, "NameError"),
        ("if report('x'):\n" + "    x = 1; y = x\n" * 13_000, ""),
    ],
    ids=lambda value: None,
)
def test_large_and_deep_code_is_looked_at_in_linear_time(
    forker: Forker, code: str, type: str | None
) -> None:
    outcome = run(forker, code, cpu_seconds=20)
    assert not outcome.exited
    assert type is None or outcome.type == type
