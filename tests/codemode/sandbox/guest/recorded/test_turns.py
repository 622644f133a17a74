from __future__ import annotations

import random

import pytest

from codemode.sandbox.guest.recorded.lines import Line, enter_line
from codemode.sandbox.guest.recorded.steps import MAIN, read_steps
from codemode.sandbox.guest.recorded.turns import Files, Printing, Turn
from codemode.wire.frames import Frame

OUT, ERR = Frame.STDOUT, Frame.STDERR
Texts = list[tuple[Frame, str]]


class Run:
    """One pass of a run whose lines print, with the steps and the output of those before."""

    def __init__(self, before: Run | None = None, *, lost: int = 0, complete: bool = False) -> None:
        self.steps: list[str] = list(before.steps) if before else []
        self.output: Texts = list(before.output) if before else []
        del self.output[len(self.output) - lost :]
        turns = [
            Turn(line, int(step.argument)) for line, step in read_steps("".join(self.steps))[1]
        ]
        total = sum(len(text) for _, text in self.output)
        self.printing = Printing(turns, total, self.steps.append, complete=complete)
        self.shown: Texts = []

    def print(self, label: str, text: str, stream: Frame = OUT) -> None:
        line = Line(label, now=0, wall=0, live=True, upcoming=None)
        former = enter_line(line)
        try:
            self._show(list(self.printing.arrange((stream, text))))
        finally:
            enter_line(former)

    def end(self) -> None:
        self._show(list(self.printing.rest()))

    def _show(self, parts: Texts) -> None:
        self.shown += parts
        if self.printing.is_used_up:
            shown = "".join(text for _, text in self.shown)
            assert shown.startswith("".join(text for _, text in self.output))
            self.output = self.shown


def test_one_line_needs_no_steps() -> None:
    run = Run()
    for text in "abc":
        run.print(MAIN, text)
    assert (run.shown, run.steps) == ([(OUT, "a"), (OUT, "b"), (OUT, "c")], [])


def test_lines_put_out_in_the_recorded_order_and_then_as_they_come() -> None:
    first = Run()
    first.print(MAIN, "m")
    first.print("0.T2", "b", ERR)
    first.print("0.T1", "a")
    first.print("0.T1", "A")
    first.print(MAIN, "n")
    assert "".join(first.steps) == "0.T2|w1+0\n0.T1|w2+0\n|w4+0\n"

    again = Run(first)
    again.print("0.T1", "a")
    again.print("0.T1", "A")
    again.print("0.T1", "more of a")
    again.print(MAIN, "m")
    assert again.shown == [(OUT, "m")]
    again.print("0.T2", "b", ERR)
    assert again.shown[1:] == [(ERR, "b"), (OUT, "a"), (OUT, "A")]
    assert not again.printing.is_used_up
    again.print(MAIN, "n")
    assert again.printing.is_used_up
    assert again.shown[4:] == [(OUT, "n"), (OUT, "more of a")]
    assert again.steps == [*first.steps, "0.T1|w5+0\n"]


def test_what_never_gets_its_turn_is_put_out_at_the_end() -> None:
    first = Run()
    first.print("0.T1", "a")
    first.print(MAIN, "m")
    again = Run(first)
    again.print(MAIN, "m")
    again.print(MAIN, "n")
    assert again.shown == []
    rest = list(again.printing.rest())
    assert rest == [(OUT, "m"), (OUT, "n")]
    assert list(again.printing.rest()) == []


@pytest.mark.parametrize("label", [MAIN, "0.T1", "0.T2"])
def test_a_turn_of_which_nothing_is_on_record_is_noted_anew(label: str) -> None:
    """The step is recorded before the text; a run may have died between the two."""
    first = Run()
    first.print(MAIN, "m")
    first.print("0.T1", "lost")
    second = Run(first, lost=1)
    second.print(MAIN, "m")
    second.print(label, "n")
    assert "".join(second.steps).endswith(f"{label.replace(MAIN, '', label == MAIN)}|w1+0\n")
    third = Run(second)
    third.print(label, "n") if label != MAIN else None
    third.print(MAIN, "mn" if label == MAIN else "m")
    assert "".join(text for _, text in third.shown) == "mn"
    assert third.printing.is_used_up


def test_beyond_a_complete_record_only_the_main_line_puts_something_out() -> None:
    first = Run()
    first.print(MAIN, "m")
    first.print("0.T1", "a")
    again = Run(first, complete=True)
    again.print("0.T1", "a")
    again.print("0.T1", "further")
    again.print(MAIN, "m")
    again.print("0.T1", "and further")
    again.print(MAIN, "more")
    assert again.shown == [(OUT, "m"), (OUT, "a"), (OUT, "more")]


def test_any_turns_over_any_cuts_come_again() -> None:
    numbers = random.Random(5)
    for _ in range(300):
        texts = {
            label: [f"{label}{n}" for n in range(numbers.randint(0, 5))]
            for label in (MAIN, "0.T1", "0.T2", "0.T3")
        }
        run = Run()
        for _ in range(4):
            left = [label for label in texts for _ in texts[label]]
            numbers.shuffle(left)
            to_come = {label: iter(texts[label]) for label in texts}
            for label in left:
                run.print(label, next(to_come[label]))
            assert run.printing.is_used_up
            before, run = run, Run(run, lost=numbers.randint(0, len(left)))
            again = Run(before)
            numbers.shuffle(left)
            to_come = {label: iter(texts[label]) for label in texts}
            for label in left:
                again.print(label, next(to_come[label]))
            assert (again.shown, again.steps) == (before.shown, before.steps)


def test_each_file_is_a_step() -> None:
    steps: list[str] = []
    files = Files([], 0, steps.append, complete=False)
    for name in ("a.txt", "b.txt"):
        line = enter_line(Line("0.T1", now=0, wall=0, live=True, upcoming=None))
        assert list(files.arrange((name, b"1"))) == [(name, b"1")]
        enter_line(line)
    assert steps == ["0.T1|a0+0\n", "0.T1|a1+0\n"]
    again = Files([Turn("0.T2", 0), Turn("0.T1", 1)], 2, steps.append, complete=False)
    enter_line(Line("0.T1", now=0, wall=0, live=True, upcoming=None))
    assert list(again.arrange(("one", b""))) == []
    enter_line(Line("0.T2", now=0, wall=0, live=True, upcoming=None))
    assert list(again.arrange(("two", b""))) == [("two", b""), ("one", b"")]
    enter_line(None)
