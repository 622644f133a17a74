"""Tests of the reports of code that fails."""

from __future__ import annotations

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Outcome


def run(forker: Forker, code: str) -> Outcome:
    with Guest(forker, [], lambda *_: None) as guest:
        outcome = guest.run(code)
        assert guest.wait() == 0
        return outcome


@pytest.mark.parametrize(
    "code, type, message, line",
    [
        ("x = 1\n\n1 / 0", "ZeroDivisionError", "division by zero", 3),
        ("def f():\n    return {}['k']\n\nf()", "KeyError", "'k'", 2),
        ("import json\njson.loads('{')", "JSONDecodeError", "Expecting property name", 2),
        ("raise ValueError", "ValueError", "", 1),
        ("class Odd(Exception): pass\nraise Odd('very')", "Odd", "very", 2),
        ("assert 1 == 2, 'no'", "AssertionError", "no", 1),
        ("\n  x = 1", "IndentationError", "unexpected indent", 2),
        ("x = (1,\n", "SyntaxError", "'(' was never closed", 1),
        ("a b", "SyntaxError", "invalid syntax", 1),
        ("x = 1\nx = '\0'", "SyntaxError", "null bytes", None),
        ("import nothing_like_it", "ModuleNotFoundError", "nothing_like_it", 1),
        ("def f(): return f()\nf()", "RecursionError", "maximum recursion depth", 1),
        ("raise KeyboardInterrupt('stop')", "KeyboardInterrupt", "stop", 1),
        ("raise GeneratorExit", "GeneratorExit", "", 1),
        ("raise BaseException('base')", "BaseException", "base", 1),
        ("import sys\nsys.exit()", "SystemExit", "sys.exit()", 2),
        ("exit(3)", "SystemExit", "sys.exit(3)", 1),
        ("quit('bye')", "SystemExit", "sys.exit('bye')", 1),
        ("import asyncio\nawait asyncio.sleep(0)\nraise SystemExit(1)", "SystemExit", "(1)", 3),
        ("import asyncio\nawait asyncio.sleep(0)\n1 / 0", "ZeroDivisionError", "division", 3),
        ("import asyncio\nasync def f():\n    1 / 0\nasyncio.run(f())", "ZeroDivisionError", "", 3),
        (
            "import asyncio\nawait asyncio.sleep(0)\n(lambda: asyncio.run(asyncio.sleep(0)))()",
            "RuntimeError",
            "running event loop",
            3,
        ),
    ],
)
def test_failure_has_type_message_and_line(
    forker: Forker, code: str, type: str, message: str, line: int | None
) -> None:
    outcome = run(forker, code)
    assert (outcome.type, outcome.line) == (type, line), outcome
    assert message in outcome.message


def test_traceback_shows_the_codes_own_lines_only(forker: Forker) -> None:
    code = (
        "import functools, json\n"
        "def inner(x):\n"
        "    return json.loads(x)\n"
        "def outer():\n"
        "    return functools.reduce(lambda a, b: inner(b), ['', '{'])\n"
        "outer()"
    )
    traceback = run(forker, code).traceback
    assert traceback.startswith('Traceback (most recent call last):\n  File "<code>", line 6')
    assert "return json.loads(x)" in traceback
    assert traceback.count("File ") == 4
    assert traceback.count('File "<code>"') == 4
    assert traceback.rstrip().splitlines()[-1].startswith("json.decoder.JSONDecodeError: ")


def test_failed_import_shows_no_path_of_this_machine(forker: Forker) -> None:
    outcome = run(forker, "try:\n    from json import nope\nexcept ImportError as e:\n    raise e")
    assert outcome.message == "cannot import name 'nope' from 'json'"
    assert outcome.traceback.count("/") == 0


def test_traceback_has_causes_contexts_notes_and_groups(forker: Forker) -> None:
    code = (
        "def fail():\n"
        "    try:\n"
        "        1 / 0\n"
        "    except ZeroDivisionError as e:\n"
        "        raise ValueError('no rate') from e\n"
        "try:\n"
        "    try:\n"
        "        fail()\n"
        "    except ValueError as e:\n"
        "        e.add_note('while converting')\n"
        "        raise ExceptionGroup('several', [e, KeyError('x')])\n"
        "except ExceptionGroup:\n"
        "    [].pop()\n"
    )
    traceback = run(forker, code).traceback
    for part in (
        "ZeroDivisionError: division by zero",
        "direct cause",
        "ValueError: no rate",
        "while converting",
        "several (2 sub-exceptions)",
        "KeyError: 'x'",
        "During handling",
        "IndexError: pop from empty list",
    ):
        assert part in traceback
    assert "codemode" not in traceback


def test_syntax_error_has_a_caret(forker: Forker) -> None:
    outcome = run(forker, "x = 1\ny = = 2")
    assert "y = = 2" in outcome.traceback
    assert "^" in outcome.traceback
    assert 'File "<code>", line 2' in outcome.traceback
    assert "codemode" not in outcome.traceback


@pytest.mark.parametrize(
    "code",
    [
        "(" * 5000,
        "[" * 5000 + "]" * 5000,
        "x = " + "-" * 20_000 + "1",
        "x = " + "not " * 20_000 + "1",
        "x" + ".x" * 50_000,
        "if 1:\n" + "".join(" " * n + "if 1:\n" for n in range(1, 150)) + " " * 150 + "pass",
    ],
)
def test_code_nested_too_deeply_is_a_syntax_error(forker: Forker, code: str) -> None:
    outcome = run(forker, code)
    assert outcome.type in {"SyntaxError", "IndentationError"}
    assert "nested" in outcome.message or "too many" in outcome.message


def test_very_deep_recursion_is_reported_briefly(forker: Forker) -> None:
    code = (
        "import sys, threading\nsys.setrecursionlimit(20_000)\n"
        "def f(n):\n    if n == 0: raise ValueError('deep')\n    g(n - 1)\n"
        "def g(n): f(n)\n"
        "f(9_000)"
    )
    outcome = run(forker, code)
    assert outcome.type == "ValueError"
    assert outcome.line == 4
    assert len(outcome.traceback) < 17_000


def test_huge_message_is_cut(forker: Forker) -> None:
    outcome = run(forker, "raise ValueError('x' * 10_000_000)")
    assert len(outcome.message) < 17_000
    assert "characters left out" in outcome.message
    assert len(outcome.traceback) < 17_000


@pytest.mark.parametrize(
    "body",
    [
        "def __str__(self): raise ValueError('in str')",
        "__str__ = None",
        "def __str__(self): return 5",
        "__class__ = property(lambda self: 1 / 0)",
        "__class__ = SyntaxError",
        "__class__ = BaseExceptionGroup",
        "def __getattribute__(self, name): raise SystemExit",
        "def __setattr__(self, name, value): raise ValueError",
    ],
)
def test_exception_that_cannot_be_shown_is_still_reported(forker: Forker, body: str) -> None:
    outcome = run(forker, f"class Odd(Exception):\n    {body}\nraise Odd")
    assert outcome.type == "Odd"
    assert "cannot be shown" in outcome.message
    assert outcome.line == 3


@pytest.mark.parametrize(
    ("code", "type"),
    [
        (
            "class M(type):\n    __name__ = 5\nclass Odd(Exception, metaclass=M): pass\nraise Odd",
            "Odd",
        ),
        ("odd = SyntaxError('x')\nodd.msg = 5\n\nraise odd", "SyntaxError"),
        (
            (
                "class Odd(Exception):\n    class S(str): __len__ = encode = None\n"
                "    def __str__(self): return self.S('cannot be shown')\nraise Odd"
            ),
            "Odd",
        ),
    ],
)
def test_failure_is_reported_whatever_its_parts_are(forker: Forker, code: str, type: str) -> None:
    outcome = run(forker, code)
    assert (outcome.type, outcome.line) == (type, 4)
    assert "cannot be shown" in outcome.message


def test_thread_that_ends_in_an_odd_exception_shows_the_codes_own_lines_only(
    forker: Forker,
) -> None:
    code = """import threading
class Odd(Exception):
    __class__ = property(lambda self: 1 / 0)
def f(): raise Odd
thread = threading.Thread(target=f, name="one")
thread.start()
thread.join()"""
    outcome = run(forker, code)
    expected = "Exception in thread one:\nOdd: <Odd that cannot be shown: ZeroDivisionError>\n"
    assert outcome.stderr == expected


def test_lines_end_where_they_end_for_python(forker: Forker) -> None:
    code = "row = {'id': 'a\u2028b\x85\x0cc'}\r\ndef f():\r    return row['di']\nf()"
    outcome = run(forker, code)
    assert outcome.line == 3
    assert "its keys are 'id'" in outcome.message
    assert "line 3, in f\n    return row['di']\n" in outcome.traceback


def test_result_is_encoded_without_its_own_methods(forker: Forker) -> None:
    code = "class Odd(dict):\n    def items(self): 1 / 0\n    __iter__ = keys = items\nOdd(a=1)"
    assert run(forker, code).value == {"a": 1}


def test_alarm_left_behind_does_not_reach_the_report(forker: Forker) -> None:
    code = (
        "import signal\n"
        "def ring(*_): raise RuntimeError('rang')\n"
        "signal.signal(signal.SIGALRM, ring)\n"
        "x = [str(n) for n in range(300_000)]\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.03)\n"
        "x"
    )
    outcome = run(forker, code)
    assert outcome.completed, outcome.message
    assert len(outcome.value) == 300_000


def test_tracer_and_recursion_limit_left_behind_do_no_harm(forker: Forker) -> None:
    code = (
        "import sys\n"
        "def trace(*_): raise SystemError('traced')\n"
        "sys.settrace(trace); sys.setprofile(None)\n"
        "sys.setrecursionlimit(40)\n"
        "[1, [2, [3]]]"
    )
    assert run(forker, code).value == [1, [2, [3]]]


def test_exit_of_the_process_says_nothing(forker: Forker) -> None:
    with Guest(forker, [], lambda *_: None) as guest:
        outcome = guest.run("print('before')\nimport os\nos._exit(5)")
        assert outcome.exited
        assert outcome.stdout == "before\n"
        assert guest.wait() == 5
