"""Imports of tools, and tools as attributes of ``tools``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.codemode.sandbox.guest.code.looked_at import run
from tests.codemode.sandbox.guest.guest_driver import Forker


@pytest.mark.parametrize(
    "code, value",
    [
        ("import orders\norders.count('a')", 7),
        ("from orders import count\ncount('a')", 7),
        ("from orders import count as c, get\n(c('a'), (await get(1))['id'])", (7, 1)),
        ("from orders import *\ncount('a')", 7),
        ("import github.issue as i\ni.get(1)", {"n": 1}),
        ("from github.issue import get\nget(1)", {"n": 1}),
        ("import tools\ntools.report('x')", "text"),
        ("from tools import report, orders\n(report('x'), orders.count('a'))", ("text", 7)),
        ("from tools.orders import count\ncount('a')", 7),
        ("import json\njson.dumps([1])", "[1]"),
        ("tools.orders.count('a')", 7),
        ("tools.github.issue.get(1)", {"n": 1}),
        ("await tools.rate('x')", 1.5),
        ("[t.name for t in tools.search('report', limit=1)]", ["report"]),
        ("import importlib\nimportlib.import_module('orders').count('a')", 7),
    ],
)
def test_tools_are_found_however_they_are_addressed(forker: Forker, code: str, value: Any) -> None:
    outcome = run(forker, code)
    assert outcome.value == value, outcome.message


@pytest.mark.parametrize(
    "code, type",
    [
        ("import nothing_here", "ModuleNotFoundError"),
        ("from orders import nope", "ImportError"),
        ("getattr(tools, 'nope')", "AttributeError"),
        ("import orders.nope", "ModuleNotFoundError"),
    ],
)
def test_other_imports_fail_as_in_any_python(forker: Forker, code: str, type: str) -> None:
    assert run(forker, code).type == type
