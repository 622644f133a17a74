"""An interrupt of the caller ends the execution, and executed code cannot catch it."""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from codemode import Codemode, ExecutionResult, tool
from codemode.core._dispatch.interrupts import is_interrupt
from tests.support.observers import Watcher

Handler = Callable[[int, FrameType | None], Any]


class TimeLimitError(Exception):
    """An error that a task queue raises in a task that takes too long."""


class Limit:
    """A signal handler, both as a method and as a callable object."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def end(self, number: int, frame: FrameType | None) -> None:
        self._raise()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._raise()

    def _raise(self) -> None:
        raise self.error


@contextmanager
def handled(handler: Handler) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def interrupt(*args: Any) -> None:
    signal.raise_signal(signal.SIGUSR1)


# Code that catches everything that a tool raises.
STUBBORN = """
for _ in range(3):
    try:
        interrupt()
    except BaseException:
        pass
result = "went on"
"""


def by_a_thread(codemode: Codemode, code: str) -> ExecutionResult:
    return codemode.run(code)


def by_async_to_sync(codemode: Codemode, code: str) -> ExecutionResult:
    """Run sync code in this thread, where signals arrive, and the loop in another one."""
    return async_to_sync(codemode.run_async)(code)


HALVES = pytest.mark.parametrize("run", [by_a_thread, by_async_to_sync])


@HALVES
@pytest.mark.parametrize(
    "error", [TimeLimitError("soft"), SystemExit(1), KeyboardInterrupt()], ids=repr
)
def test_a_signal_ends_the_execution_through_a_sync_tool(
    codemode: Codemode, run: Any, error: BaseException
) -> None:
    calls: list[int] = []
    watcher = Watcher()

    def tell() -> None:
        calls.append(1)
        interrupt()

    codemode.registry.register_tool("interrupt", tell)
    codemode.registry.add_observer(watcher)
    with handled(Limit(error).end), pytest.raises(type(error)) as caught:
        run(codemode, STUBBORN)

    assert caught.value is error
    assert len(calls) == 1
    assert watcher.status() == "cancelled"
    result = watcher.finished[0][1]
    assert result is not None
    assert [call.outcome for call in result.tool_calls] == ["failed"]


def test_it_does_so_through_the_sync_code_of_an_async_tool(codemode: Codemode) -> None:
    async def by_the_thread_of_the_caller() -> None:
        await sync_to_async(interrupt)()

    codemode.registry.register_tool("interrupt", by_the_thread_of_the_caller)
    with handled(Limit(TimeLimitError()).end), pytest.raises(TimeLimitError):
        codemode.run(STUBBORN.replace("interrupt()", "await interrupt()"))


def test_it_does_so_through_an_async_tool_in_the_thread_of_the_loop(codemode: Codemode) -> None:
    async def at_once() -> None:
        interrupt()

    codemode.registry.register_tool("interrupt", at_once)
    with handled(Limit(TimeLimitError()).end), pytest.raises(TimeLimitError):
        asyncio.run(codemode.run_async(STUBBORN.replace("interrupt()", "await interrupt()")))


class Interrupted:
    """A hook, an observer and a permission checker; a signal arrives in one of its methods."""

    def __init__(self, where: str) -> None:
        self.where, _, again = where.partition(" ")
        self.passes = 1 if again else 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return functools.partial(self._call, name)

    def _call(self, name: str, *args: Any) -> bool:
        if name == self.where:
            self.passes -= 1
            if self.passes < 0:
                interrupt()
        return True


@HALVES
@pytest.mark.parametrize(
    "where",
    [
        "allows",
        "allows again",
        "before_call",
        "after_call",
        "execution_started",
        "execution_finished",
    ],
)
def test_it_does_so_through_whatever_looks_on(codemode: Codemode, run: Any, where: str) -> None:
    registry, (first, last) = codemode.registry, (Watcher(), Watcher())
    registry.register_tool("guarded", tool(permission="app.it")(lambda: None))
    for one in (first, Interrupted(where), last):
        registry.add_observer(one)
    registry.add_hook(Interrupted(where))
    registry.permission_checker = Interrupted(where)

    with handled(Limit(TimeLimitError())), pytest.raises(TimeLimitError):
        run(codemode, STUBBORN.replace("interrupt()", "guarded()"))

    # An observer that saw the begin sees the end, exactly once.
    for watcher in (first, last):
        assert len(watcher.started) == len(watcher.finished) <= 1
    assert bool(first.started) is (where != "allows")


def test_a_tool_that_limits_its_own_time_fails_as_any_other(codemode: Codemode) -> None:
    def limited() -> None:
        with handled(Limit(TimeLimitError("its own")).end):
            interrupt()

    codemode.registry.register_tool("limited", limited)
    result = codemode.run("limited()")
    assert result.error is not None
    assert "its own" in result.error.message


@pytest.mark.parametrize("kind", ["function", "method", "object", "partial"])
def test_handlers_of_every_kind_are_recognised(kind: str) -> None:
    limit = Limit(TimeLimitError())

    def function(number: int, frame: FrameType | None) -> None:
        raise limit.error

    handlers: dict[str, Handler] = {
        "function": function,
        "method": limit.end,
        "object": limit,
        "partial": functools.partial(Limit.end, limit),
    }
    with handled(handlers[kind]):
        with pytest.raises(TimeLimitError) as caught:
            interrupt()
        assert is_interrupt(caught.value)
    assert not is_interrupt(caught.value)


def test_an_error_that_no_handler_has_raised_is_not_an_interrupt() -> None:
    assert not is_interrupt(TimeLimitError())
    with handled(Limit(TimeLimitError())), pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    assert not is_interrupt(caught.value)
