"""Syntax and modules of newer Pythons work in the sandbox, or are refused in words."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from codemode import Codemode, Recording

since_14 = pytest.mark.skipif(sys.version_info < (3, 14), reason="new in Python 3.14")
since_15 = pytest.mark.skipif(sys.version_info < (3, 15), reason="new in Python 3.15")

IN_14: dict[str, tuple[str, Any]] = {
    "t-strings": ('x = 2\n[one if isinstance(one, str) else one.value for one in t"{x + 1} of {x}"]', [3, " of ", 2]),
    "await in a t-string": ('import asyncio\nt"{await asyncio.sleep(0, 5)}".values', (5,)),
    "except without parentheses": ("try:\n    1 / 0\nexcept ValueError, ZeroDivisionError:\n    x = 5\nx", 5),
    "annotations of what comes later": ("class A:\n    b: B\nclass B: ...\nA.__annotations__['b'] is B", True),
    "a dataclass that names itself": (
        "from dataclasses import dataclass\n@dataclass\nclass Node:\n    next: Node | None = None\nNode(Node())",
        {"next": {"next": None}},
    ),
    "annotationlib": (
        (
            "import annotationlib\ndef f(x: Missing) -> int: ...\n"
            "annotationlib.get_annotations(f, format=annotationlib.Format.STRING)"
        ),
        {"x": "Missing", "return": "int"},
    ),
    "Zstandard": ("from compression import zstd\nzstd.decompress(zstd.compress(b'a' * 999)) == b'a' * 999", True),
    "interpreters": ("from concurrent import interpreters\ninterpreters.create().call(lambda: 3)", 3),
    "a pool of interpreters": (
        (
            "import math\nfrom concurrent.futures import InterpreterPoolExecutor\n"
            "with InterpreterPoolExecutor(2) as pool: roots = [*pool.map(math.sqrt, [1, 4])]\nroots"
        ),
        [1.0, 2.0],
    ),
    "uuid7": ("import uuid\nuuid.uuid7().version", 7),
    "map with strict": ("[*map(max, [1], [2], strict=True)]", [2]),
    "a call graph": ("import asyncio\nasync def f(): return asyncio.format_call_graph() is not None\nawait f()", True),
}  # fmt: skip
IN_15: dict[str, tuple[str, Any]] = {
    "lazy imports": (
        "lazy import json\nlazy from decimal import Decimal\n[json.dumps([1]), Decimal('1.5') * 2 == 3]",
        ["[1]", True],
    ),
    "a lazy import that is not used": ("lazy import nothing_of_that_name\n1", 1),
    "frozendict": ("d = frozendict(a=1)\n[d['a'], {d: 2}[frozendict(a=1)], dict(d)]", [1, 2, {"a": 1}]),
    "UTF-8 by default": ("open('/tmp/u', 'w').write('é')\nopen('/tmp/u', 'rb').read().decode()", "é"),
    "unpacking in comprehensions": ("[[*x for x in ([1], [2])], {**x for x in ({'a': 1},)}]", [[1, 2], {"a": 1}]),
    "sentinels": ("repr(sentinel('MISSING'))", "MISSING"),
    "take_bytes": ("bytearray(b'abc').take_bytes(2)", b"ab"),
}  # fmt: skip
REFUSED_IN_14 = {"t'{1}'": "result: a Template object cannot travel"}
REFUSED_IN_15 = {
    "frozendict(a=1)": "result: a frozendict object cannot travel; use dict(...)",
    "echo(frozendict(a=1))": "a frozendict object cannot travel; use dict(...)",
    "lazy import nothing_of_that_name\nnothing_of_that_name.x": "is not installed",
}
FRESH = {
    "uuid6": "import uuid\n[uuid.uuid6() for _ in range(3)]",
    "uuid7": "import uuid\n[uuid.uuid7() for _ in range(3)]",
    "uuid8": "import uuid\nuuid.uuid8()",
}
INTERPRETERS = {
    "its own": "from concurrent import interpreters\ninterpreters.create()",
    "a pool": "from concurrent.futures import InterpreterPoolExecutor\nInterpreterPoolExecutor(1)",
}


@since_14
@pytest.mark.parametrize("name", IN_14)
async def test_what_is_new_in_3_14_works(codemode: Codemode, name: str) -> None:
    code, value = IN_14[name]
    result = await codemode.run_async(code)
    assert (result.error, result.value, result.stderr) == (None, value, "")


@since_15
@pytest.mark.parametrize("name", IN_15)
async def test_what_is_new_in_3_15_works(codemode: Codemode, name: str) -> None:
    code, value = IN_15[name]
    result = await codemode.run_async(code)
    assert (result.error, result.value, result.stderr) == (None, value, "")


@since_14
async def test_a_return_in_finally_warns(codemode: Codemode) -> None:
    code = "def f():\n    try:\n        return 1\n    finally:\n        return 2\nf()"
    result = await codemode.run_async(code)
    assert result.value == 2
    assert "<code>:5: SyntaxWarning: 'return' in a 'finally' block" in result.stderr


@since_14
@pytest.mark.parametrize("code", REFUSED_IN_14)
async def test_what_3_14_cannot_do_here_is_refused_in_words(codemode: Codemode, code: str) -> None:
    result = await codemode.run_async(code)
    assert result.error is not None
    assert REFUSED_IN_14[code] in result.error.message


@since_15
@pytest.mark.parametrize("code", REFUSED_IN_15)
async def test_what_3_15_cannot_do_here_is_refused_in_words(codemode: Codemode, code: str) -> None:
    codemode.registry.register_tool("echo", echo)
    result = await codemode.run_async(code)
    assert result.error is not None
    assert REFUSED_IN_15[code] in result.error.message


def echo(value: dict[str, int]) -> dict[str, int]:
    """Return the value."""
    return value


@since_14
@pytest.mark.parametrize("name", FRESH)
async def test_new_kinds_of_uuids_are_the_same_in_a_replay(codemode: Codemode, name: str) -> None:
    recording = Recording()
    first = await codemode.run_async(FRESH[name], recording=recording)
    again = await codemode.run_async(FRESH[name], recording=recording)
    assert first.error is None
    assert first.value == again.value


@since_14
@pytest.mark.parametrize("name", INTERPRETERS)
async def test_a_recorded_run_refuses_interpreters(codemode: Codemode, name: str) -> None:
    result = await codemode.run_async(INTERPRETERS[name], recording=Recording())
    assert result.error is not None
    assert "a recorded run has a single interpreter" in result.error.message


async def test_a_recorded_run_refuses_interpreters_of_every_python(codemode: Codemode) -> None:
    name = "_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters"
    result = await codemode.run_async(f"import {name}\n{name}.create()", recording=Recording())
    assert result.error is not None
    assert "a recorded run has a single interpreter" in result.error.message
