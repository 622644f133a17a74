"""What code of recorded runs finds as in plain ones, though asyncio has other parts there."""

from __future__ import annotations

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


@pytest.mark.parametrize("code", SAME.values(), ids=SAME)
def test_recorded_run_gives_what_a_plain_one_gives(codemode: Codemode, code: str) -> None:
    plain = codemode.run(code)
    assert plain.value
    assert codemode.run(code, recording=Recording()).value == plain.value
