"""Figures of matplotlib that are open when a run ends, with a package that stands for it.

The package has the functions that are used of matplotlib, whose import takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Outcome

PYPLOT = """
_figures = {}

class Figure:
    def __init__(self, number):
        self.number, self.drawn = number, ""
    def savefig(self, file, format=None):
        if self.drawn == "fail":
            raise ValueError("cannot draw this")
        data = b"\\x89PNG\\r\\n\\x1a\\n" + self.drawn.encode()
        if isinstance(file, str):
            with open(file, "wb") as opened:
                opened.write(data)
        else:
            assert format == "png"
            file.write(data)

class Line2D:
    pass

Figure.__module__ = Line2D.__module__ = "matplotlib.lines"

def figure(number=None):
    number = number or max(_figures, default=0) + 1
    return _figures.setdefault(number, Figure(number))

def plot(drawn):
    number = max(_figures, default=1)
    figure(number).drawn = drawn
    return [Line2D()]

def savefig(path):
    figure(max(_figures)).savefig(path)

def get_fignums():
    return sorted(_figures)

def close(which=None):
    if which == "all":
        _figures.clear()
    elif _figures:
        del _figures[max(_figures)]
"""
ENTER = (
    "import os, sys\nos.environ['TMPDIR'] = folder\nos.chdir(folder)\nsys.path.insert(0, folder)\n"
    "from matplotlib import pyplot as plt\n"
)
PNG = b"\x89PNG\r\n\x1a\n"

Run = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib/__init__.py").touch()
    (tmp_path / "matplotlib/pyplot.py").write_text(PYPLOT, "utf-8")
    return tmp_path


@pytest.fixture
def run(forker: Forker, folder: Path) -> Run:
    def run(code: str, **limits: Any) -> Outcome:
        with Guest(forker, [], lambda *_: None, **limits) as guest:
            return guest.run(ENTER + code, {"folder": str(folder)})

    return run


@pytest.fixture
def session(forker: Forker, folder: Path) -> Iterator[Guest]:
    with Guest(forker, [], lambda *_: None, session=True) as guest:
        assert guest.run(ENTER, {"folder": str(folder)}).completed
        yield guest


def test_open_figures_are_sent_after_the_output(run: Run) -> None:
    outcome = run("plt.plot('one')\nplt.figure()\nplt.plot('two')\nprint('drawn')\nresult = 5")
    assert outcome.events[1:] == [
        ("stdout", "drawn\n"),
        ("artifact", "figure-1.png", PNG + b"one"),
        ("artifact", "figure-2.png", PNG + b"two"),
    ]
    assert outcome.value == 5
    assert outcome.hints == []


def test_closed_figures_are_not_sent(run: Run) -> None:
    assert run("plt.plot('one')\nplt.close()").of("artifact") == []


def test_a_figure_that_was_given_is_not_sent_again(run: Run) -> None:
    outcome = run("plt.plot('one')\nplt.savefig('sales.png')\nartifact('sales.png')")
    assert outcome.of("artifact") == [("sales.png", PNG + b"one")]
    assert outcome.hints == []


def test_figures_beside_the_pictures_given_are_named(run: Run) -> None:
    outcome = run(
        "plt.plot('one')\nplt.savefig('sales.PNG')\nartifact('sales.PNG')\nplt.figure()\nplt.plot('two')"
    )
    assert outcome.of("artifact") == [("sales.PNG", PNG + b"one")]
    (hint,) = outcome.hints
    assert hint.startswith("2 open figures were not sent, as artifact() gave 1 picture: ")


def test_a_file_that_is_not_a_picture_leaves_the_figures_open(run: Run) -> None:
    outcome = run("open('a.csv', 'w').write('1')\nartifact('a.csv')\nplt.plot('one')")
    assert [name for name, _ in outcome.of("artifact")] == ["a.csv", "figure-1.png"]


def test_what_drawing_returns_is_not_a_failed_result(run: Run) -> None:
    for code in ("plt.plot('one')", "plt.plot('one')[0]", "plt.plot('one'); plt.figure(1)"):
        outcome = run(code)
        assert outcome.completed, outcome.message
        assert outcome.value is None
        assert len(outcome.of("artifact")) == 1
    assert run("plt.plot('one')\nobject()").type == "ResultNotSerialisable"


def test_figure_that_cannot_be_drawn_costs_neither_value_nor_others(run: Run) -> None:
    outcome = run("plt.plot('fail')\nplt.figure()\nplt.plot('two')\n7")
    assert outcome.value == 7
    assert outcome.of("artifact") == [("figure-2.png", PNG + b"two")]
    assert outcome.hints == ["figure 1 was not sent: ValueError: cannot draw this"]


def test_figures_beyond_the_limits_are_named(run: Run) -> None:
    outcome = run("for n in range(3):\n    plt.figure()\n    plt.plot('x')\n7", artifacts=2)
    assert outcome.value == 7
    assert len(outcome.of("artifact")) == 2
    (hint,) = outcome.hints
    assert "figure 3 was not sent: ArtifactLimit: " in hint
    outcome = run("plt.plot('x' * 100)\n7", artifact_bytes=100)
    assert (outcome.value, outcome.of("artifact")) == (7, [])
    assert "'figure-1.png' has 108 bytes" in outcome.hints[0]


def test_a_caller_that_takes_no_files_gets_no_figures(run: Run) -> None:
    outcome = run("plt.plot('x')\n7", artifacts=0)
    assert (outcome.value, outcome.of("artifact"), outcome.hints) == (7, [], [])


def test_code_that_breaks_pyplot_gets_its_value(run: Run) -> None:
    outcome = run("plt.get_fignums = None\n7")
    assert outcome.value == 7
    assert outcome.hints == [
        "open figures were not sent: TypeError: 'NoneType' object is not callable"
    ]


def test_each_run_of_a_session_sends_its_own_figures(session: Guest) -> None:
    assert session.run("plt.plot('one')\n1").of("artifact") == [("figure-1.png", PNG + b"one")]
    assert session.run("plt.plot('two')\n2").of("artifact") == [("figure-1.png", PNG + b"two")]
    assert session.run("3").of("artifact") == []
    assert session.run("plt.plot('three')\n1 / 0").of("artifact") == []
    assert session.run("4").of("artifact") == []
