"""A host for tests of the dispatcher: a registry, and both ways to perform a call."""

from __future__ import annotations

import asyncio
import contextvars
import time
from typing import Any

from codemode.core import ComponentRegistry
from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core.hooks import ToolCall, ToolOutcome
from codemode.values import decode, encode

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Host:
    """A registry with a dispatcher on it, and both ways to perform a call to its end."""

    def __init__(self, **tools: object) -> None:
        self.registry = ComponentRegistry()
        for name, one in tools.items():
            self.registry.register_tool(name.replace("__", "."), one)
        self.calls = 0
        self._dispatcher: Dispatcher | None = None

    def dispatcher(self, **changes: Any) -> Dispatcher:
        settings: dict[str, Any] = {
            "registry": self.registry,
            "tools": self.registry.tools,
            "execution_id": "run-1",
            "max_calls": 1000,
            "max_value_bytes": 100_000,
            "deadline": time.monotonic() + 600,
            "captured": contextvars.copy_context(),
            "runtime_context": None,
        }
        self._dispatcher = Dispatcher(**{**settings, **changes})
        return self._dispatcher

    def begin(self, name: str, arguments: Any = None, **changes: Any) -> ToolCall:
        dispatcher = self._dispatcher or self.dispatcher(**changes)
        self.calls += 1
        return dispatcher.begin(self.calls, name, encode({} if arguments is None else arguments))

    def sync(self, name: str, arguments: Any = None, **changes: Any) -> ToolOutcome:
        call = self.begin(name, arguments, **changes)
        return self.current.call_sync(call)

    def pool(self, name: str, arguments: Any = None, **changes: Any) -> ToolOutcome:
        call = self.begin(name, arguments, **changes)
        return self.current.run_in_pool(call).result(60)

    def task(self, name: str, arguments: Any = None) -> asyncio.Task[ToolOutcome]:
        call = self.begin(name, arguments)
        return asyncio.create_task(self.current.call_in_async_half(call), context=call.context)

    @property
    def current(self) -> Dispatcher:
        assert self._dispatcher is not None
        return self._dispatcher

    @property
    def outcomes(self) -> list[str]:
        return [one.outcome for one in self.current.records()]


def value_of(outcome: ToolOutcome) -> Any:
    assert outcome.failure is None, outcome.failure
    assert outcome.value is not None
    return decode(outcome.value)


def failure_of(outcome: ToolOutcome) -> tuple[str, str, str]:
    assert outcome.failure is not None
    return (outcome.failure.kind, outcome.failure.type, outcome.failure.message)


def add(a: int, b: int = 2) -> int:
    return a + b


async def slow_add(a: int, b: int = 2) -> int:
    await asyncio.sleep(0)
    return a + b


def spoil() -> str:
    before = variable.get()
    variable.set("spoiled")
    return before


async def spoil_async() -> str:
    await asyncio.sleep(0)
    return spoil()


class Hook:
    """A hook that records what it sees, sets a context variable and, if asked to, refuses."""

    def __init__(self, name: str, log: list[Any], refuse: Exception | None = None) -> None:
        self.name, self.log, self.refuse = name, log, refuse

    def before_call(self, call: ToolCall) -> None:
        variable.set("by a hook")
        self.log.append(("before", self.name, call.name, call.arguments, call.validated))
        if self.refuse:
            raise self.refuse

    def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
        self.log.append(("after", self.name, outcome.failure.kind if outcome.failure else "value"))
