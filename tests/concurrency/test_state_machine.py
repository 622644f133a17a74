"""Contexts, tools, executions and close, in any order and from several places, match a model."""

from __future__ import annotations

import asyncio
import itertools
import json
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from codemode import (
    ClientClosedError,
    ClientConfig,
    Codemode,
    ExecutionError,
    RuntimeContext,
    ToolRegistrationError,
    get_current_context,
)
from codemode.core import ComponentRegistry
from tests.support.processes import ExecutorProcess, wait_until

WAIT = 60
NAMES = ("alpha", "beta", "gamma")
PLACES = 5
Variables = dict[str, int]


class Outcome:
    """The value or the error of a step, once it is settled."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self._value: Any = None
        self._error: Exception | None = None

    def settle(self, step: Callable[[], Any]) -> None:
        try:
            self._value = step()
        except Exception as error:  # noqa: BLE001 - raised by the thread that waits
            self._error = error
        self._settled.set()

    async def settle_async(self, step: Callable[[], Awaitable[Any]]) -> None:
        try:
            self._value = await step()
        except Exception as error:  # noqa: BLE001 - raised by the thread that waits
            self._error = error
        self._settled.set()

    def wait(self) -> Any:
        assert self._settled.wait(WAIT), "a step hangs"
        if self._error is not None:
            raise self._error
        return self._value


class ThreadPlace:
    """A thread that performs one step after another, by the sync half."""

    def __init__(self) -> None:
        self._steps: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (step := self._steps.get()) is not None:
            step()

    def _begin(self, step: Callable[[], Any]) -> Outcome:
        outcome = Outcome()
        self._steps.put(lambda: outcome.settle(step))
        return outcome

    def do(self, step: Callable[[], Any]) -> Any:
        return self._begin(step).wait()

    def execute(self, codemode: Codemode, code: str) -> Outcome:
        return self._begin(lambda: codemode.execute(code))

    def close(self, codemode: Codemode) -> None:
        self._begin(codemode.close).wait()

    def end(self) -> None:
        self._steps.put(None)
        self._thread.join(WAIT)


class TaskPlace:
    """A task on a shared loop that performs one step after another, by the async half."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._steps: asyncio.Queue[Callable[[], Awaitable[None]] | None] = asyncio.Queue()
        self._task = asyncio.run_coroutine_threadsafe(self._work(), loop)

    async def _work(self) -> None:
        while (step := await self._steps.get()) is not None:
            await step()

    def _begin(self, step: Callable[[], Awaitable[Any]]) -> Outcome:
        outcome = Outcome()
        self._loop.call_soon_threadsafe(self._steps.put_nowait, lambda: outcome.settle_async(step))
        return outcome

    def do(self, step: Callable[[], Any]) -> Any:
        async def perform() -> Any:
            return step()

        return self._begin(perform).wait()

    def execute(self, codemode: Codemode, code: str) -> Outcome:
        return self._begin(lambda: codemode.execute_async(code))

    def close(self, codemode: Codemode) -> None:
        self._begin(codemode.close_async).wait()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._steps.put_nowait, None)
        self._task.result(WAIT)


@dataclass(slots=True)
class Model:
    """The expected state of a place: its context, its open blocks and its execution."""

    context: Variables | None = None
    blocks: list[tuple[AbstractContextManager[Any], Variables | None]] = field(default_factory=list)
    running: Running | None = None


@dataclass(slots=True)
class Running:
    """An execution that waits in its tool ``hold``, and what it must see afterwards."""

    key: int
    outcome: Outcome
    context: Variables | None
    tools: dict[str, int]
    closed: bool = False


class Loops:
    """Event loops in threads of their own."""

    def __init__(self, count: int) -> None:
        self.loops = [asyncio.new_event_loop() for _ in range(count)]
        self._threads = [
            threading.Thread(target=loop.run_forever, daemon=True) for loop in self.loops
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        for loop, thread in zip(self.loops, self._threads, strict=True):
            loop.call_soon_threadsafe(loop.stop)
            thread.join(WAIT)
            loop.close()


def numbered(number: int) -> Callable[[], list[Any]]:
    """Return a tool that returns its own number and the context in which it runs."""

    def look() -> list[Any]:
        context = get_current_context()
        return [number, None if context is None else dict(context)]

    return look


CODE = """
await hold({key})
[tools[name].run() if name in tools else None for name in {names}]
"""

place = st.integers(0, PLACES - 1)
variables = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9), max_size=3)
names = st.sampled_from(NAMES)


class Machine(RuleBasedStateMachine):
    """A state machine of steps in several places, each with a model beside it."""

    executor: ExecutorProcess

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)
        self._entered: set[int] = set()
        self._released: set[int] = set()
        self.registry = ComponentRegistry()
        self.registry.register_tool("hold", self._hold)
        self.tools: dict[str, int] = {}
        self.closed = False
        self.codemode = self._facade()
        self._loops = Loops(2)
        one, other = self._loops.loops
        self.places: list[ThreadPlace | TaskPlace] = [
            ThreadPlace(), ThreadPlace(), TaskPlace(one), TaskPlace(one), TaskPlace(other),
        ]  # fmt: skip
        self.models = [Model() for _ in self.places]

    def _facade(self) -> Codemode:
        limits = {"execution_timeout": 600}  # an execution is held for many steps
        config = ClientConfig(executor_url=self.executor.url, limits=limits)
        return Codemode.from_client_config(config, registry=self.registry)

    async def _hold(self, key: int) -> None:
        self._entered.add(key)
        while key not in self._released:
            await asyncio.sleep(0.002)

    def _free(self, number: int) -> tuple[ThreadPlace | TaskPlace, Model]:
        """Return a place that is free for a step, once any execution in it has ended."""
        if self.models[number].running is not None:
            self._finish(number)
        return self.places[number], self.models[number]

    # the context

    @rule(number=place, variables=variables)
    def set_context(self, number: int, variables: Variables) -> None:
        where, model = self._free(number)
        where.do(lambda: self.registry.set_context(RuntimeContext(variables)))
        model.context = variables

    @rule(number=place, variables=variables)
    def with_context(self, number: int, variables: Variables) -> None:
        where, model = self._free(number)
        assert where.do(lambda: self.codemode.with_context(**variables)) is self.codemode
        model.context = variables

    @rule(number=place)
    def clear_context(self, number: int) -> None:
        where, model = self._free(number)
        where.do(self.registry.clear_context)
        model.context = None

    @rule(number=place, variables=variables)
    def enter_block(self, number: int, variables: Variables) -> None:
        where, model = self._free(number)
        block = self.registry.context(**variables)
        where.do(block.__enter__)
        model.blocks.append((block, model.context))
        model.context = {**(model.context or {}), **variables}

    @rule(number=place)
    def leave_block(self, number: int) -> None:
        where, model = self._free(number)
        if model.blocks:
            block, former = model.blocks.pop()
            where.do(lambda: block.__exit__(None, None, None))
            model.context = former

    # tools

    @rule(number=place, name=names, overwrite=st.booleans())
    def register(self, number: int, name: str, overwrite: bool) -> None:
        where, _ = self._free(number)
        version = next(self._numbers)
        step = lambda: self.registry.register_tool(name, numbered(version), overwrite=overwrite)  # noqa: E731
        if name in self.tools and not overwrite:
            with pytest.raises(ToolRegistrationError, match="already registered"):
                where.do(step)
        else:
            where.do(step)
            self.tools[name] = version

    @rule(number=place, name=names)
    def unregister(self, number: int, name: str) -> None:
        where, _ = self._free(number)
        if name in self.tools:
            where.do(lambda: self.registry.unregister_tool(name))
            del self.tools[name]
        else:
            with pytest.raises(ToolRegistrationError, match="not registered"):
                where.do(lambda: self.registry.unregister_tool(name))

    # executions

    @rule(number=place)
    def execute(self, number: int) -> None:
        where, model = self._free(number)
        key = next(self._numbers)
        outcome = where.execute(self.codemode, CODE.format(key=key, names=NAMES))
        if self.closed:
            with pytest.raises(ClientClosedError, match="Client has been closed"):
                outcome.wait()
            return
        assert wait_until(lambda: key in self._entered, WAIT), "the code did not come to its tool"
        model.running = Running(key, outcome, model.context, dict(self.tools))

    @precondition(lambda self: not self.closed)
    @rule()
    def execute_everywhere(self) -> None:
        for number in range(PLACES):
            self.execute(number)

    @rule(number=place)
    def finish(self, number: int) -> None:
        if self.models[number].running is not None:
            self._finish(number)

    def _finish(self, number: int) -> None:
        running, self.models[number].running = self.models[number].running, None
        assert running is not None
        self._released.add(running.key)
        if running.closed:
            with pytest.raises(ExecutionError) as caught:
                running.outcome.wait()
            assert caught.value.result.status == "cancelled"
            return
        seen = json.loads(running.outcome.wait())
        assert seen == [
            [running.tools[name], running.context] if name in running.tools else None
            for name in NAMES
        ]

    # the client

    @rule(number=place, again=st.booleans())
    def close(self, number: int, again: bool) -> None:
        where, _ = self._free(number)
        where.close(self.codemode)
        if again:
            where.close(self.codemode)
        self.closed = True
        for model in self.models:
            if model.running is not None:
                model.running.closed = True

    @precondition(lambda self: self.closed)
    @rule()
    def make_another(self) -> None:
        self.codemode = self._facade()
        self.closed = False

    @invariant()
    def each_place_has_its_own_context(self) -> None:
        for where, model in zip(self.places, self.models, strict=True):
            if model.running is None:
                seen = where.do(self.registry.get_context)
                assert (None if seen is None else dict(seen)) == model.context
        assert get_current_context() is None

    @invariant()
    def the_registry_has_the_models_tools(self) -> None:
        assert self.registry.tools.keys() == {"hold", *self.tools}

    def teardown(self) -> None:
        for number, model in enumerate(self.models):
            if model.running is not None:
                self._finish(number)
            while model.blocks:
                self.leave_block(number)
        self.codemode.close()
        for where in self.places:
            where.end()
        self._loops.end()


@pytest.fixture(scope="module")
def machine() -> Iterator[type[Machine]]:
    with ExecutorProcess("--pool-size", "6") as executor:
        yield type("MachineOfExecutor", (Machine,), {"executor": executor})


BOUNDS = settings(
    deadline=None,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    # Without shrinking: steps that wait would make it take hours. Add Phase.shrink to investigate a
    # failure.
    phases=(Phase.generate,),
    database=None,
)


@pytest.mark.parametrize(
    "examples", [12, pytest.param(100, marks=[pytest.mark.deep, pytest.mark.timeout(600)])]
)
def test_any_order_of_steps_keeps_to_the_model(machine: type[Machine], examples: int) -> None:
    run_state_machine_as_test(machine, settings=settings(BOUNDS, max_examples=examples))
