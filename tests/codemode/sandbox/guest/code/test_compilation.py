"""Fences around code, and returns outside functions."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from codemode.sandbox.guest.code import compilation
from codemode.sandbox.guest.code.fences import strip_fences
from codemode.sandbox.guest.code.look import Known
from tests.codemode.sandbox.guest.code.looked_at import run, run_all
from tests.codemode.sandbox.guest.guest_driver import Forker


@pytest.mark.parametrize(
    "sent, code",
    [
        ("```python\n1\n```", "\n1\n"),
        ("```\n1\n```\n", "\n1\n"),
        ("\n \n  ~~~py title=x\n1\n~~~~  \n\n", "\n \n  \n1\n"),
        ("````python\nx = '''\n```\n'''\n````", "\nx = '''\n```\n'''\n"),
        ("```py\r\n1\r\n```", "\r\n1\r\n"),
        ("```python\n1", "\n1"),
        ("```python\n1\n``", "\n1\n``"),
        ("```1 + 1```", "```1 + 1```"),
        ("x = 1\n```\n", "x = 1\n```\n"),
        ("```", ""),
        ("\ufeffx = 1", "x = 1"),
        ("\ufeff```python\n1\n```", "\n1\n"),
        ("1 + 1", "1 + 1"),
        ("", ""),
    ],
)
def test_fences_are_stripped_from_the_whole_code(sent: str, code: str) -> None:
    assert strip_fences(sent) == code


def test_error_in_fenced_code_has_its_line_as_sent(forker: Forker) -> None:
    outcome = run(forker, "\n```python\n# comment\n1 / 0\n```")
    assert (outcome.type, outcome.line) == ("ZeroDivisionError", 4)


@pytest.mark.parametrize(
    "code, value",
    [
        ("result = 1\nreturn 2", 2),
        ("result = 1\nreturn", 1),
        ("return\n5", None),
        ("return None", None),
        ("5\nif 0: return 1", None),
        ("if 0: return 1\n6", 6),
        ("for n in range(5):\n    if n == 3: return n", 3),
        ("while True:\n    try:\n        return 'try'\n    except BaseException:\n        pass", "try"),
        ("try:\n    return 1\nexcept:\n    return 2", 1),
        ("try:\n    return 1\nfinally:\n    result = 3", 1),
        ("match 3:\n    case n: return n", 3),
        ("with open('/dev/null') as f:\n    return f.name", "/dev/null"),
        ("try:\n    return await rate('x')\nexcept BaseException:\n    return 2", 1.5),
        ("import asyncio\nasync with asyncio.timeout(9):\n    return [await rate(c) for c in 'ab']", [1.5, 1.5]),
        ("async def f():\n    yield 4\nasync for n in f():\n    return n", 4),
        ("x = 1\nexec('y = x + 1')\nreturn (y, locals()['y'], eval('x'), 'x' in vars())", (2, 2, 1, True)),
        ("from math import *\nreturn floor(pi)", 3),
        ("from __future__ import annotations\nx: int = 3\ny: Unknown\nreturn x", 3),
        ("x = 5\ndel x\nreturn 'x' in globals()", False),
        ("class A:\n    x = 1\n    y = [x for x in (2,)]\nreturn (A.__qualname__, A.x, A.y)", ("A", 1, [2])),
        ("def f(): return later\nlater = 2\nreturn (f(), f.__qualname__, (lambda: 1).__qualname__)", (2, "f", "<lambda>")),
        ("return [(y := n) for n in range(3)] + [y]", [0, 1, 2, 2]),
        ("fs = [lambda: n for n in range(3)]\nreturn [f() for f in fs]", [2, 2, 2]),
        ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    text = str(e)\nreturn (text, 'e' in globals())", ("division by zero", False)),
        ("def count():\n    n = 0\n    def step():\n        nonlocal n\n        n += 1\n        return n\n    return step\nreturn count()()", 1),
        ("global q\nq = 3\nreturn q", 3),
        ("return (n * 2 for n in range(3))", [0, 2, 4]),
    ],
)  # fmt: skip
def test_return_outside_functions_ends_the_run_with_its_value(
    forker: Forker, code: str, value: Any
) -> None:
    outcome = run(forker, code)
    assert (outcome.type, outcome.message) == ("", "")
    assert (outcome.value, outcome.stderr) == (value, "")


def test_names_stay_global_beside_a_return(forker: Forker) -> None:
    code = "import math as m\nx = 1\ndef f(): return x\nclass A: pass\nif x: return x"
    _, later = run_all(forker, [code, "(x, f(), A.__name__, m.floor(2.5))"], session=True)
    assert later.value == (1, 1, "A", 2)


def test_failure_beside_a_return_has_its_line(forker: Forker) -> None:
    outcome = run(forker, "x = 0\nif x: return 1\ndef f():\n    1 / x\nf()")
    assert (outcome.type, outcome.line) == ("ZeroDivisionError", 4)
    assert "line 5, in <module>" in outcome.traceback


@pytest.mark.parametrize(
    "code", ["return 1\nyield 2", "class A:\n    return 1", "def f(): await x\nreturn 1", "break\nreturn 1"]
)  # fmt: skip
def test_other_code_that_stands_outside_functions_stays_an_error(forker: Forker, code: str) -> None:
    assert run(forker, code).type == "SyntaxError"


def test_a_fault_of_the_look_costs_no_program_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise LookupError("a node of a later Python")

    monkeypatch.setattr(compilation, "look", fail)
    known = Known({}, set(), vars(builtins), {}, session=False, explain=str)
    names: dict[str, Any] = {}
    exec(compilation.compile_code("x = 2\nx + unknown if 0 else x", "<code>", known), names)
    assert names[compilation.VALUE] == 2
