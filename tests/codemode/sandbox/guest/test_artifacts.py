"""Files that the code gives by ``artifact(path)``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Outcome

ENTER = "import os\nos.environ['TMPDIR'] = folder\nos.chdir(folder)\n"

Run = Callable[..., Outcome]


@pytest.fixture
def run(forker: Forker, tmp_path: Path) -> Run:
    """Return a function that runs code in a folder of its own, with limits."""

    def run(code: str, **limits: Any) -> Outcome:
        with Guest(forker, [], lambda *_: None, **limits) as guest:
            return guest.run(ENTER + code, {"folder": str(tmp_path)})

    return run


@pytest.fixture
def session(forker: Forker, tmp_path: Path) -> Iterator[Guest]:
    with Guest(forker, [], lambda *_: None, session=True) as guest:
        assert guest.run(ENTER, {"folder": str(tmp_path)}).completed
        yield guest


def test_files_are_sent_in_order_among_the_output(run: Run) -> None:
    outcome = run(
        "from pathlib import Path\n"
        "Path('data').mkdir()\n"
        "Path('data/rows.csv').write_text('a,b')\n"
        "Path('blob').write_bytes(bytes(200_000))\n"
        "print('one', end='')\n"
        "artifact('data/rows.csv')\n"
        "print('two', end='')\n"
        "artifact(Path('blob').absolute())\n"
        "artifact(path='data/../blob')\n"
        "5"
    )
    assert outcome.events == [
        ("taken",),
        ("stdout", "one"),
        ("artifact", "rows.csv", b"a,b"),
        ("stdout", "two"),
        ("artifact", "blob", bytes(200_000)),
        ("artifact", "blob", bytes(200_000)),
    ]
    assert outcome.value == 5


def test_files_survive_the_failure_of_their_run(run: Run) -> None:
    outcome = run("open('a', 'w').write('text')\nartifact('a')\n1 / 0")
    assert outcome.type == "ZeroDivisionError"
    assert outcome.of("artifact") == [("a", b"text")]


@pytest.mark.parametrize(
    "code, type, message",
    [
        ("artifact('sales.png')", "FileNotFoundError", "no file 'sales.png'; its folder has no"),
        (
            "for n in range(7): open(f'{n}.csv', 'w')\nopen('.hidden', 'w')\nartifact('sales.csv')",
            "FileNotFoundError",
            "its folder has '0.csv', '1.csv', '2.csv', '3.csv', '4.csv' and 2 more",
        ),
        ("artifact('out/a')", "FileNotFoundError", "no file 'out/a'; its folder is not there"),
        ("os.mkdir('out')\nartifact('out')", "IsADirectoryError", "'out' is a folder; give each"),
        ("artifact('.')", "IsADirectoryError", "'.' is a folder"),
        ("artifact('/etc/passwd')", "ValueError", "'/etc/passwd' is outside of the work folder"),
        ("artifact('../a')", "ValueError", "'../a' is outside of the work folder"),
        ("artifact(folder + '-2/a')", "ValueError", "is outside of the work folder"),
        ("os.symlink('/etc/passwd', 'a')\nartifact('a')", "ValueError", "'a' is outside"),
        ("os.symlink('a', 'a')\nartifact('a')", "OSError", "symbolic links"),
        ("os.mkfifo('pipe')\nartifact('pipe')", "ValueError", "'pipe' is not a regular file"),
        ("artifact('a\\0b')", "ValueError", "null"),
        ("artifact('x' * 10_000)", "OSError", "too long"),
        ("f = open('a', 'w')\nf.write('text')\nartifact('a')", "ValueError", "close the file"),
        ("artifact(b'bytes')", "TypeError", "not bytes: write a file first"),
        ("artifact(7)", "TypeError", "takes the path of a file, not int"),
    ],
)
def test_what_cannot_be_given_is_refused_in_words(
    run: Run, code: str, type: str, message: str
) -> None:
    outcome = run(code)
    assert outcome.type == type
    assert message in outcome.message
    assert outcome.line == ENTER.count("\n") + code.count("\n") + 1
    assert outcome.of("artifact") == []


def test_a_link_inside_the_folder_is_followed(run: Run) -> None:
    outcome = run("open('a', 'w').write('text')\nos.symlink('a', 'b')\nartifact('b')")
    assert outcome.of("artifact") == [("b", b"text")]


def test_refusals_are_ordinary_exceptions(run: Run) -> None:
    outcome = run("try:\n    artifact('a')\nexcept FileNotFoundError:\n    result = 'no'")
    assert outcome.value == "no"


def test_files_are_limited_in_number(run: Run) -> None:
    code = "open('a', 'w').write('text')\nfor n in range(5): artifact('a')"
    outcome = run(code, artifacts=3)
    assert outcome.type == "ArtifactLimit"
    assert "as many files as it may (max_artifacts is 3)" in outcome.message
    assert len(outcome.of("artifact")) == 3
    assert run(code, artifacts=5).completed


def test_files_are_limited_in_bytes_together(run: Run) -> None:
    code = "open('a', 'w').write('x' * 600)\nartifact('a')\nartifact('a')"
    outcome = run(code, artifact_bytes=1_199)
    assert outcome.type == "ArtifactLimit"
    assert "'a' has 600 bytes; all files of a run may have 1,199" in outcome.message
    assert "and 600 are given" in outcome.message
    assert len(outcome.of("artifact")) == 1
    assert run(code, artifact_bytes=1_200).completed


def test_limits_can_be_caught_and_a_smaller_file_sent(run: Run) -> None:
    outcome = run(
        "open('a', 'w').write('x' * 600)\nopen('b', 'w').write('x')\n"
        "try:\n    artifact('a')\nexcept ValueError:\n    artifact('b')",
        artifact_bytes=500,
    )
    assert outcome.completed
    assert outcome.of("artifact") == [("b", b"x")]


def test_a_caller_that_takes_no_files_is_named(run: Run) -> None:
    outcome = run("artifact('a')", artifacts=0, artifact_bytes=0)
    assert outcome.type == "RuntimeError"
    assert "takes no files; return the data" in outcome.message


def test_each_run_of_a_session_has_the_whole_limits(session: Guest) -> None:
    give = "for n in range(10): artifact('a')"
    assert session.run("open('a', 'w').write('text')\n" + give).completed
    assert session.run(give).completed
    assert len(session.outcome.of("artifact")) == 10
    assert session.run(f"{give}\nartifact('a')").type == "ArtifactLimit"


def test_threads_of_an_earlier_run_give_nothing_to_the_next(session: Guest) -> None:
    session.run(
        "import threading\nopen('a', 'w').write('text')\nstart, done = threading.Event(), threading.Event()\n"
        "def later():\n    start.wait()\n    artifact('a')\n    done.set()\n"
        "threading.Thread(target=later, daemon=True).start()"
    )
    outcome = session.run("start.set()\ndone.wait(50)")
    assert outcome.value is True
    assert outcome.of("artifact") == []


def test_threads_may_give_files_at_once(run: Run) -> None:
    outcome = run(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "for n in range(10): open(str(n), 'w').write(str(n) * 50_000)\n"
        "with ThreadPoolExecutor() as pool: list(pool.map(artifact, map(str, range(10))))",
        artifact_bytes=500_000,
    )
    assert outcome.completed, outcome.message
    assert sorted(outcome.of("artifact")) == [(str(n), str(n).encode() * 50_000) for n in range(10)]
