"""What asyncio waits with, one within the other: as in a plain run, and again in each replay."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from codemode import Codemode, Recording, ToolError

FORMS = """
import asyncio

def gather(*parts):
    return asyncio.gather(*parts)

def gather_exceptions(*parts):
    return asyncio.gather(*parts, return_exceptions=True)

def shield(*parts):
    return asyncio.shield(asyncio.gather(*parts))

async def wait(*parts):
    done, _ = await asyncio.wait({asyncio.ensure_future(part) for part in parts})
    return [part.result() for part in done]

async def wait_first(*parts):
    left, results = [asyncio.ensure_future(part) for part in parts], []
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        results += [part.result() for part in done]
    return results

async def wait_for(*parts):
    return [await asyncio.wait_for(part, 60) for part in parts]

async def as_completed(*parts):
    return [await part for part in asyncio.as_completed(parts)]

async def task_group(*parts):
    async def result_of(part):
        return await part
    async with asyncio.TaskGroup() as group:
        tasks = {group.create_task(result_of(part)) for part in parts}
    return [task.result() for task in tasks]
"""
NAMES = [line.split("def ")[1].split("(")[0] for line in FORMS.splitlines() if "(*parts):" in line]


@pytest.fixture
def ran(codemode: Codemode) -> list[int]:
    """Register a tool that takes a while, and fails for negative numbers; note what it ran with."""
    noted: list[int] = []

    async def read(n: int) -> int:
        noted.append(n)
        await asyncio.sleep(random.random() * 0.003)
        if n < 0:
            raise ToolError(f"no {n}")
        return n

    codemode.registry.register_tool("read", read)
    return noted


@pytest.mark.parametrize("second", [2, -2], ids=["ends", "fails"])
@pytest.mark.parametrize("inner", NAMES)
@pytest.mark.parametrize("outer", NAMES)
def test_recorded_as_plain_and_replayed_as_recorded(
    codemode: Codemode, elsewhere: Codemode, ran: list[int], outer: str, inner: str, second: int
) -> None:
    parts = f"{inner}(read(1)), {inner}(read({second}), read(3)), read(4)"
    code = f"""{FORMS}
def shown(value):
    return [shown(part) for part in value] if isinstance(value, list) else str(value)
try:
    result = shown(await {outer}({parts}))
except* ToolError as group:
    result = [str(error) for error in group.exceptions]
"""
    plain = codemode.run(code)
    assert plain.ok, plain.error
    recording = Recording()
    first = codemode.run(code, recording=recording)
    assert first.ok, first.error
    assert _without_order(first.value) == _without_order(plain.value)
    resumed = elsewhere.run(code, recording=recording.cut(after=len(recording.calls) // 2))
    assert _without_order(resumed.value) == _without_order(plain.value)
    ran.clear()
    again = elsewhere.run(code, recording=Recording.from_bytes(recording.to_bytes()))
    assert (again.value, again.stdout, ran) == (first.value, first.stdout, [])


def _without_order(value: Any) -> Any:
    return sorted(map(_without_order, value), key=repr) if isinstance(value, list) else value


def test_a_coroutine_that_is_given_twice_is_awaited_once(
    codemode: Codemode, elsewhere: Codemode, ran: list[int]
) -> None:
    code = """
import asyncio
one = read(1)
[await part for part in asyncio.as_completed([one, read(2), one])]
"""
    recording = Recording()
    values = [
        codemode.run(code).value,
        codemode.run(code, recording=recording).value,
        elsewhere.run(code, recording=recording).value,
    ]
    assert [sorted(value) for value in values] == [[1, 2]] * 3
    assert sorted(ran) == [1, 1, 2, 2]
