"""Tests that the executed code meets no frame and no path of the sandbox's own code."""

from __future__ import annotations

import pytest

from codemode import Codemode, Recording
from tests.support.paths import ROOT

FAILING = """
import asyncio, faulthandler, inspect, io, logging, sys, tempfile, threading, traceback, warnings
from concurrent.futures import ThreadPoolExecutor
def fail(): return 1 / 0
class Odd:
    def __del__(self): refund()
def caught(function):
    try: function()
    except BaseException as error: return error
def show(error): traceback.print_exception(error)
"""

SHOWN = {
    "print_exc": "try: refund()\nexcept ToolError: traceback.print_exc()",
    "wrong arguments": "try: refund(1, 2, 3)\nexcept ToolError: print(traceback.format_exc())",
    "async tool": "try: await rate()\nexcept ToolError as e: show(e)",
    "in a thread": "try: await asyncio.to_thread(fail)\nexcept ArithmeticError as e: show(e)",
    "in a pool": "with ThreadPoolExecutor(1) as pool: show(caught(pool.submit(fail).result))",
    "logging.exception": "try: refund()\nexcept ToolError: logging.exception('no refund')",
    "logging of the stack": "logging.warning('here', stack_info=True)",
    "excepthook": "error = caught(refund)\nsys.excepthook(type(error), error, error.__traceback__)",
    "unraisable": "Odd()\nprint()",
    "thread": "t = threading.Thread(target=refund)\nt.start()\nt.join()",
    "print_stack": "traceback.print_stack()",
    "walk_stack": "print(traceback.StackSummary.extract(traceback.walk_stack(None)))",
    "inspect.stack": "print([one.filename for one in inspect.stack()])",
    "inspect.trace": "print(inspect.getinnerframes(caught(refund).__traceback__))",
    "warnings": "for level in range(1, 20): warnings.warn('old', stacklevel=level)",
}

# These read frames by hand, or in C.
NAMED = {
    "Task.print_stack": "async def f(): asyncio.current_task().print_stack()\nawait f()",
    "faulthandler": (
        "with tempfile.TemporaryFile() as f:\n"
        "    faulthandler.dump_traceback(f)\n    f.seek(0)\n    print(f.read().decode())"
    ),
    "f_back": "f = sys._getframe()\nwhile f: print(f.f_code.co_filename); f = f.f_back",
    "repr of a task": "t = asyncio.ensure_future(rate())\nawait asyncio.sleep(0)\nprint(t)",
}


def refund() -> None:
    raise LookupError("no such order")


async def rate() -> None:
    raise LookupError("no such currency")


@pytest.fixture
def shop(codemode: Codemode) -> Codemode:
    codemode.registry.register_tool("refund", refund)
    codemode.registry.register_tool("rate", rate)
    return codemode


@pytest.mark.parametrize("way", [*SHOWN, *NAMED])
@pytest.mark.parametrize("recorded", [False, True], ids=["plain", "recorded"])
def test_code_that_prints_its_stack_meets_no_frame_of_ours(
    shop: Codemode, way: str, recorded: bool
) -> None:
    code = FAILING + (SHOWN | NAMED)[way]
    result = shop.run(code, recording=Recording() if recorded else None)
    assert result.status == "completed", result.error
    printed = result.stdout + result.stderr
    assert printed
    assert str(ROOT) not in printed
    if way in SHOWN:
        assert "runtime" not in printed


def test_a_thread_without_a_thread_object_belongs_to_the_first_run(shop: Codemode) -> None:
    code = """import _thread, queue
ends = queue.Queue()
def work():
    print('working')
    try: refund()
    except ToolError as error: ends.put(str(error))
    1 / 0
_thread.start_new_thread(work, ())
ends.get(timeout=20)"""
    result = shop.run(code)
    assert (result.value, result.stdout) == (
        "refund raised LookupError: no such order",
        "working\n",
    )
