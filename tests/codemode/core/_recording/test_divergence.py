"""Code that leaves its record ends as ``diverged``, named, before anything new is done."""

from __future__ import annotations

import pytest

from codemode import Codemode, Recording
from tests.support.halves import Half

CODE = """
import asyncio
order = await read(17)
lines = await asyncio.gather(read(1), read(2))
print("lines", lines)
write(order + sum(lines))
result = await read(3)
"""
CALLED = ["read 17", "read 1", "read 2", "write 20", "read 3"]

OTHERS = {
    "other argument": (CODE.replace("read(17)", "read(18)"), 3, ["0.1:1", "read", "17", "18"]),
    "other argument of a task": (
        CODE.replace("read(2)", "read(5)"),
        None,
        ["0.1.2:1", "read", "2", "5"],
    ),
    "other tool": (CODE.replace("await read(3)", "write(3)"), 7, ["read", "write"]),
    "other order": (CODE.replace("read(1), read(2)", "read(2), read(1)"), None, ["read"]),
    "one call more": (CODE.replace("write(", "write(0)\nwrite("), 6, ["write"]),
    "one call fewer": (CODE.replace("write(order + sum(lines))\n", ""), None, []),
    "another task": (
        CODE.replace("lines = ", "await asyncio.create_task(read(9))\nlines = "),
        None,
        [],
    ),
    "the end": ("import asyncio\norder = await read(17)", None, []),
    "one call more at the end": (
        f"{CODE}write(1)",
        8,
        ["write(n=1), and the record has none left"],
    ),
    "an error": ("import asyncio\norder = await read(17)\n1 / 0", None, []),
    "an endless wait": (CODE.replace("write(", "await asyncio.Event().wait()\nwrite("), None, []),
    "other output": (CODE.replace('"lines"', '"lives"'), None, ["lives", "lines"]),
    "less output": (CODE.replace('print("lines", lines)\n', ""), None, []),
    "caught": (
        f"try:\n    await read(18)\nexcept BaseException:\n    write(1)\nfinally:\n    write(2)\n{CODE}",
        2,
        ["0.1:1", "read", "17", "18"],
    ),
    "in a thread": (
        CODE.replace("write(order", "await asyncio.to_thread(write, 1)\nwrite(order"),
        None,
        [],
    ),
}


@pytest.mark.parametrize("code, line, words", OTHERS.values(), ids=OTHERS)
def test_other_code_diverges_before_it_does_anything_new(
    codemode: Codemode,
    elsewhere: Codemode,
    code: str,
    line: int | None,
    words: list[str],
    half: Half,
) -> None:
    called: list[str] = []

    async def read(n: int) -> int:
        called.append(f"read {n}")
        return n

    def write(n: int) -> None:
        called.append(f"write {n}")

    codemode.registry.register_tool("read", read)
    codemode.registry.register_tool("write", write)
    recording = Recording()
    assert half.run(codemode, CODE, recording=recording).ok
    assert sorted(called) == sorted(CALLED)
    called.clear()

    kept = Recording.from_bytes(recording.to_bytes())
    result = half.run(elsewhere, code, recording=kept, execution_timeout=30)
    assert result.status == "diverged", result
    assert result.error is not None
    assert result.error.type == "Divergence"
    assert called == []
    assert [word for word in words if word not in result.error.message] == []
    if line is not None:
        assert result.error.line == line
    raised = ("the code ended with ZeroDivisionError on line 3: division by zero",)
    assert result.hints == (raised if code.endswith("1 / 0") else ())
    assert kept.calls == recording.calls

    # The record is as good as before.
    again = half.run(codemode, CODE, recording=kept)
    assert again.ok, again
    assert called == []
