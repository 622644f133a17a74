"""What code of recorded runs finds as in plain ones, though asyncio has other parts there."""

from __future__ import annotations

import sys

import pytest

from codemode import Codemode, Recording

SAME = {
    "loops with a selector": """
import asyncio, selectors
loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
result = loop.run_until_complete(asyncio.sleep(0, "slept"))
loop.close()
""",
    "a pool's work that is cancelled": """
import asyncio, concurrent.futures
def work():
    raise concurrent.futures.CancelledError("why")
async def main():
    try:
        await asyncio.to_thread(work)
    except asyncio.CancelledError as error:
        return error.args
result = asyncio.run(main())
""",
    "timeouts of one deadline": """
import asyncio
async def main():
    deadline = asyncio.get_running_loop().time() + 0.01
    try:
        async with asyncio.timeout_at(deadline) as outer:
            async with asyncio.timeout_at(deadline) as inner:
                await asyncio.sleep(10)
    except TimeoutError:
        return outer.expired(), inner.expired()
result = asyncio.run(main())
""",
    "many timers at once": """
import asyncio
async def main():
    deadline, ended = asyncio.get_running_loop().time() + 0.01, []
    for number in range(250):
        asyncio.get_running_loop().call_at(deadline, ended.append, number)
    await asyncio.sleep(0.02)
    return sorted(ended)
result = asyncio.run(main())
""",
    "tracebacks of eager tasks": """
import asyncio, gc, weakref
async def fails():
    raise KeyError
async def main():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    try:
        async with asyncio.TaskGroup() as group:
            task = weakref.ref(group.create_task(fails()))
    except* KeyError:
        pass
    return task() is None
gc.disable()
result = asyncio.run(main())
""",
}

if sys.version_info < (3, 13):
    del SAME["tracebacks of eager tasks"]  # a group of 3.12.1 is cancelled by a task that fails so


@pytest.mark.parametrize("code", SAME.values(), ids=SAME)
def test_recorded_run_gives_what_a_plain_one_gives(
    codemode: Codemode, elsewhere: Codemode, code: str
) -> None:
    plain, recording = codemode.run(code), Recording()
    assert plain.value
    assert codemode.run(code, recording=recording).value == plain.value
    assert elsewhere.run(code, recording=recording).value == plain.value
