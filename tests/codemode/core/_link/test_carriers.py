"""Carriers pass to a course what its requests return or raise, and every interrupt."""

from __future__ import annotations

import asyncio
import contextlib
import dis
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from types import CodeType
from typing import Any

import pytest

from codemode import Codemode
from codemode.core._link import async_carrier, sync_carrier

# Not one of the ids that sys.monitoring reserves for debuggers, coverage, profilers and optimizers.
_TOOL = 3


class Blocks:
    """A run of which a carrier sees only the surrounding context managers."""

    def __init__(self) -> None:
        self.turn = contextlib.nullcontext()
        self.observation = contextlib.nullcontext()


class Course:
    """A course with two requests, an event after each, and a request at its end."""

    def __init__(self, half: str, *failures: BaseException) -> None:
        self.half = half
        self.failures = list(failures)
        self.log: list[Any] = []
        self.steps: Any = None

    def request(self, name: str) -> Callable[[], Any]:
        def make() -> str:
            self.log.append(name)
            if self.failures and name != "end":
                raise self.failures.pop(0)
            return f"answer of {name}"

        async def make_async() -> str:
            await asyncio.sleep(0)
            return make()

        return make if self.half == "sync" else make_async

    def __call__(self, run: Any) -> Any:
        self.steps = self._steps()
        return self.steps

    def _steps(self) -> Any:
        try:
            for name in ("first", "second"):
                try:
                    self.log.append((yield self.request(name)))
                except LookupError as error:
                    self.log.append(repr(error))
                yield f"event of {name}"
        except BaseException as error:
            self.log.append(repr(error))
            raise
        finally:
            yield self.request("end")

    def carry(self, take: int = 9) -> list[Any]:
        """Return the first ``take`` events, then close the course."""
        run: Any = Blocks()
        course: Any = self
        if self.half == "sync":
            with closing(sync_carrier.carry(lambda: run, course)) as events:
                return list(itertools.islice(events, take))

        async def begin() -> Any:
            return run

        async def main() -> list[Any]:
            taken: list[Any] = []
            async with aclosing(async_carrier.carry(begin, course)) as stream:
                async for event in stream:
                    taken.append(event)
                    if len(taken) == take:
                        break
            return taken

        return asyncio.run(main())


EachHalf = pytest.mark.parametrize("half", ["sync", "async"])


@EachHalf
def test_a_course_gets_the_answers_of_its_requests(half: str) -> None:
    course = Course(half)
    assert course.carry() == ["event of first", "event of second"]
    assert course.log == ["first", "answer of first", "second", "answer of second", "end"]


@EachHalf
def test_an_error_of_a_request_is_raised_in_the_course(half: str) -> None:
    course = Course(half, LookupError("1"), ValueError("2"))
    with pytest.raises(ValueError, match="2"):
        course.carry()
    assert course.log == ["first", "LookupError('1')", "second", "ValueError('2')", "end"]


@EachHalf
def test_a_course_that_is_left_makes_its_last_requests(half: str) -> None:
    course = Course(half)
    assert course.carry(take=1) == ["event of first"]
    assert course.log == ["first", "answer of first", "GeneratorExit()", "end"]


def test_an_interrupt_between_any_two_steps_of_the_sync_carrier_reaches_the_course() -> None:
    """A signal handler's exception may come before any instruction."""
    for instruction in itertools.count():
        course = Course("sync")
        with (
            interrupted(sync_carrier.carry.__code__, instruction) as hit,
            contextlib.suppress(KeyboardInterrupt),
        ):
            course.carry()
        if not hit:
            break
        if course.log:
            assert inspect.getgeneratorstate(course.steps) == inspect.GEN_CLOSED
        assert "GeneratorExit()" not in course.log
        # Only an interrupt of the last request itself prevents that request.
        if "KeyboardInterrupt()" in course.log:
            assert course.log[-1] == "end"
    assert instruction > 50


@contextlib.contextmanager
def interrupted(code: CodeType, instruction: int) -> Iterator[list[int]]:
    """Raise KeyboardInterrupt before the instruction of that number that some code runs."""
    left = itertools.count()
    hit: list[int] = []
    # They only mark a branch: the interpreter looks for signals at none of them.
    marks = {one.offset for one in dis.get_instructions(code) if one.opname == "NOT_TAKEN"}
    monitoring = sys.monitoring
    event = monitoring.events.INSTRUCTION

    def interrupt(_: CodeType, offset: int) -> None:
        if offset not in marks and next(left) == instruction:
            hit.append(offset)
            raise KeyboardInterrupt

    monitoring.use_tool_id(_TOOL, "interrupts")
    monitoring.register_callback(_TOOL, event, interrupt)
    monitoring.set_local_events(_TOOL, code, event)
    try:
        yield hit
    finally:
        monitoring.set_local_events(_TOOL, code, 0)
        monitoring.register_callback(_TOOL, event, None)
        monitoring.free_tool_id(_TOOL)


async def test_run_that_leaves_calls_ends_with_its_result_and_leaves_nothing(
    codemode: Codemode,
) -> None:
    """The client may be writing answers when the run ends, more than it keeps unread."""

    async def page(number: int) -> bytes:
        await asyncio.sleep(number % 5 / 1000)
        return bytes(49_000)

    codemode.registry.register_tool("page", page)
    code = """
import asyncio
pages = [asyncio.create_task(page(number)) for number in range(20)]
await asyncio.wait(pages, return_when=asyncio.FIRST_COMPLETED)
'done'
"""
    others = asyncio.all_tasks()
    for _ in range(5):
        results = await asyncio.gather(*(codemode.run_async(code) for _ in range(8)))
        assert {result.value for result in results} == {"done"}
        assert asyncio.all_tasks() == others
