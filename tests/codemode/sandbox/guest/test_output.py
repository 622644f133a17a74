"""Tests of the code's printed output and progress."""

from __future__ import annotations

from typing import Any

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Later, Outcome, tool

TOOLS = [tool("ping", "ping()"), tool("hold", "hold()", asynchronous=True)]


def run(forker: Forker, code: str) -> Outcome:
    with Guest(forker, TOOLS, lambda *_: None) as guest:
        return guest.run(code)


def test_output_keeps_its_order_with_calls_and_progress(forker: Forker) -> None:
    code = (
        "import sys\n"
        "print('a', end='')\nping()\nprint('b', end='', file=sys.stderr)\nprint('c', end='')\n"
        "progress(1, 2, 'half')\nprint('d', end='')"
    )
    assert run(forker, code).events[1:] == [
        ("stdout", "a"),
        ("call", "ping", {}),
        ("stderr", "b"),
        ("stdout", "c"),
        ("progress", 1, 2, "half"),
        ("stdout", "d"),
    ]


def test_first_lines_come_one_by_one(forker: Forker) -> None:
    outcome = run(forker, "for n in range(10): print(n)")
    assert outcome.of("stdout") == [(f"{n}\n",) for n in range(10)]


def test_many_lines_are_gathered(forker: Forker) -> None:
    outcome = run(forker, "for n in range(20_000): print(n)")
    assert outcome.stdout == "".join(f"{n}\n" for n in range(20_000))
    assert len(outcome.of("stdout")) < 1_000


def test_gathered_line_comes_within_a_moment(forker: Forker) -> None:
    def host(name: str, arguments: dict[str, Any]) -> Later:
        return Later(None, when=lambda: guest.outcome.stdout.endswith("99\n"))

    # A call flushes earlier output. The only call is therefore made before the prints.
    code = (
        "import asyncio\ntask = asyncio.create_task(hold())\nawait asyncio.sleep(0)\n"
        "for n in range(100): print(n)\nawait task"
    )
    with Guest(forker, TOOLS, host) as guest:
        outcome = guest.run(code)
    assert outcome.completed
    assert outcome.events[:3] == [("taken",), ("call", "hold", {}), ("stdout", "0\n")]


def test_large_output_comes_in_frames_of_valid_text(forker: Forker) -> None:
    outcome = run(forker, "print('é€😀' * 100_000)")
    assert outcome.stdout == "é€😀" * 100_000 + "\n"
    assert len(outcome.of("stdout")) > 10


def test_threads_print_whole_pieces(forker: Forker) -> None:
    code = (
        "import threading\n"
        "def speak(n):\n    for _ in range(200): print(f'{n}' * 20 + '\\n', end='')\n"
        "threads = [threading.Thread(target=speak, args=(n,)) for n in range(4)]\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()"
    )
    lines = run(forker, code).stdout.splitlines()
    assert len(lines) == 800
    assert set(lines) == {f"{n}" * 20 for n in range(4)}


@pytest.mark.parametrize(
    "code, stdout",
    [
        ("import sys; sys.stdout.write('x')", "x"),
        ("import sys; sys.stdout.writelines(['x', 'y'])", "xy"),
        (
            "import sys; sys.stdout.buffer.write('é'.encode()[:1]); sys.stdout.buffer.write('é'.encode()[1:])",
            "é",
        ),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "�"),
        ("print('\\ud800')", "?\n"),
        (
            "import sys; print(sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.isatty())",
            "1 2 False\n",
        ),
        ("import sys; sys.stdout.reconfigure(line_buffering=True); print(1, flush=True)", "1\n"),
        (
            "import sys; print(sys.stdout.encoding, sys.stdout.errors, sys.stdout.writable())",
            "utf-8 replace True\n",
        ),
        ("import sys; sys.stdout.close(); print('still')", "still\n"),
        ("import sys; print('x', file=sys.__stdout__)", "x\n"),
        (
            "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as f: print('no')\nprint(f.getvalue() == 'no\\n')",
            "True\n",
        ),
        ("import pprint; pprint.pprint({'a': 1})", "{'a': 1}\n"),
        ("class Loud:\n    def __del__(self): print('gone')\nLoud()\nx = 1", "gone\n"),
        (
            "import gc\nclass Loud:\n    def __del__(self): print('gone')\nx = Loud(); x.me = x; del x\ngc.collect()\ny = 1",
            "gone\n",
        ),
    ],
)
def test_stdout_is_a_text_stream(forker: Forker, code: str, stdout: str) -> None:
    outcome = run(forker, code)
    assert outcome.completed, outcome
    assert outcome.stdout == stdout


def test_finalizers_that_print_among_prints_do_no_harm(forker: Forker) -> None:
    code = (
        "import gc\ngc.set_threshold(5)\ngone = 0\n"
        "class Loud:\n    def __del__(self):\n        global gone\n"
        "        gone += 1\n        print('gone')\n"
        "for n in range(500):\n    x = Loud(); x.me = x\n    print(n)\n"
        # While another thread collects, collect() does nothing.
        "gc.set_threshold(700)\ndel x\nwhile gone < 500: gc.collect()\ny = 1"
    )
    lines = run(forker, code).stdout.splitlines()
    assert lines.count("gone") == 500
    assert [line for line in lines if line != "gone"] == [str(n) for n in range(500)]


def test_writing_anything_but_text_is_a_type_error(forker: Forker) -> None:
    assert run(forker, "import sys; sys.stdout.write(b'x')").type == "TypeError"
    assert run(forker, "import sys; sys.stdout.buffer.write('x')").type == "TypeError"


def test_logging_and_warnings_go_to_stderr_with_the_line(forker: Forker) -> None:
    code = "import logging, warnings\nlogging.warning('low')\nwarnings.warn('old way')\nx = 1"
    outcome = run(forker, code)
    assert "WARNING:root:low" in outcome.stderr
    assert "<code>:3: UserWarning: old way" in outcome.stderr


@pytest.mark.parametrize(
    "code", ["input()", "import sys; sys.stdin.read()", "import sys; list(sys.stdin)"]
)
def test_input_has_a_clear_error(forker: Forker, code: str) -> None:
    outcome = run(forker, code)
    assert outcome.type == "EOFError"
    assert "inputs" in outcome.message


def test_thread_that_fails_says_so_without_our_frames(forker: Forker) -> None:
    code = (
        "import threading\n"
        "def work():\n    raise ValueError('bad')\n"
        "t = threading.Thread(target=work, name='worker'); t.start(); t.join()"
    )
    outcome = run(forker, code)
    assert outcome.completed
    assert "Exception in thread worker" in outcome.stderr
    assert 'File "<code>", line 3, in work' in outcome.stderr
    assert "threading.py" not in outcome.stderr


def test_progress_is_limited_but_ends_are_always_sent(forker: Forker) -> None:
    code = "for n in range(1, 5001): progress(n, 5000, note=f'n={n}')"
    reported = run(forker, code).of("progress")
    assert reported[0] == (1, 5000, "n=1")
    assert reported[-1] == (5000, 5000, "n=5000")
    assert len(reported) < 500


def test_last_progress_of_a_run_is_sent(forker: Forker) -> None:
    outcome = run(forker, "for n in range(100): progress(n)")
    assert outcome.of("progress")[-1] == (99, None, "")


@pytest.mark.parametrize(
    "call, type",
    [
        ("progress('half')", "TypeError"),
        ("progress(True)", "TypeError"),
        ("progress(1, '2')", "TypeError"),
        ("progress(1, 2, 3)", "TypeError"),
        ("progress(float('nan'))", "ValueError"),
        ("progress(1, float('inf'))", "ValueError"),
    ],
)
def test_wrong_progress_is_refused_clearly(forker: Forker, call: str, type: str) -> None:
    outcome = run(forker, call)
    assert outcome.type == type
    assert "progress(" in outcome.message
    assert outcome.of("progress") == []


def test_progress_takes_decimals_fractions_and_long_notes(forker: Forker) -> None:
    code = "from decimal import Decimal\nprogress(Decimal('0.5'), 1, 'x' * 5000)"
    ((done, total, note),) = run(forker, code).of("progress")
    assert (done, total, len(note)) == (0.5, 1, 1000)
