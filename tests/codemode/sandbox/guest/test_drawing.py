"""Iterators as results."""

from __future__ import annotations

from typing import Any

import pytest

from tests.codemode.sandbox.guest.code.looked_at import run
from tests.codemode.sandbox.guest.guest_driver import Forker


@pytest.mark.parametrize(
    "code, value",
    [
        ("(n * n for n in range(3))", [0, 1, 4]),
        ("result = map(str, [1])", ["1"]),
        ("filter(None, [0, 1])", [1]),
        ("zip('ab', [1, 2])", [("a", 1), ("b", 2)]),
        ("enumerate('a')", [(0, "a")]),
        ("reversed([1, 2])", [2, 1]),
        ("range(3)", [0, 1, 2]),
        ("iter({1: 2})", [1]),
        ("{'a': 1}.items()", [("a", 1)]),
        ("{'a': 1}.keys()", ["a"]),
        ("{'a': 1}.values()", [1]),
        ("import itertools\nitertools.chain([1], [2])", [1, 2]),
        ("import itertools\nitertools.groupby('')", []),
        ("(n for n in ())", []),
        ("(n for n in range(5000))", list(range(5000))),
        ("def calls():\n    yield orders.count('a')\n    yield report('b')\ncalls()", [7, "text"]),
        ("async def g():\n    yield await rate('x')\ng()", [1.5]),
        ("async def g():\n    yield 1\nawait rate('x')\ng()", [1]),
        ("import asyncio\nawait rate('x')\ndef g():\n    yield asyncio.current_task().get_name()\nreturn g()", ["Task-1"]),
    ],
)  # fmt: skip
def test_iterator_as_the_result_becomes_a_list(forker: Forker, code: str, value: Any) -> None:
    outcome = run(forker, code)
    assert outcome.value == value, outcome.message


@pytest.mark.parametrize(
    "code",
    [
        "import itertools\nitertools.count()",
        "import itertools\nitertools.repeat({})",
        "def g():\n    while True: yield 'x' * 100_000\ng()",
        "async def g():\n    while True: yield 1\ng()",
        "range(10**12)",
    ],
)
def test_endless_iterator_ends_at_the_limit_of_the_result(forker: Forker, code: str) -> None:
    outcome = run(forker, code, value_bytes=1_000_000)
    assert outcome.type == "ResultLimit"
    assert "larger than 1000000 bytes" in outcome.message


@pytest.mark.parametrize(
    "code, type, line",
    [
        ("def g():\n    yield 1\n    1 / 0\ng()", "ZeroDivisionError", 3),
        ("(object() for _ in range(3))", "ResultNotSerialisable", None),
        ("[(n for n in range(3))]", "ResultNotSerialisable", None),
        ("(rate(c) for c in 'ab')", "ResultNotAwaited", None),
        ("class Own:\n    def __iter__(self): return iter([1])\nOwn()", "ResultNotSerialisable", None),
    ],
)  # fmt: skip
def test_failure_while_the_result_is_drawn_is_the_runs(
    forker: Forker, code: str, type: str, line: int | None
) -> None:
    outcome = run(forker, code)
    assert (outcome.type, outcome.line) == (type, line)
