from __future__ import annotations

import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from codemode.core.dispatch import ToolCall, ToolOutcome
from codemode.tools import ToolCallRefused, tool
from tests.codemode.core.dispatch_host import (
    Hook,
    Host,
    add,
    failure_of,
    slow_add,
    spoil,
    value_of,
    variable,
)


async def test_hooks_see_each_call_in_order_and_the_tool_sees_their_context() -> None:
    for half in ("sync", "pool", "task"):
        log: list[Any] = []
        host = Host(add=add, spoil=spoil, slow_add=slow_add)
        host.registry.add_hook(Hook("one", log))
        host.registry.add_hook(Hook("two", log))

        result = getattr(host, half)("add", {"a": "1"})
        assert value_of(await result if half == "task" else result) == 3
        assert log == [
            ("before", "one", "add", {"a": "1"}, {"a": 1}),
            ("before", "two", "add", {"a": "1"}, {"a": 1}),
            ("after", "two", "value"),
            ("after", "one", "value"),
        ]
        result = getattr(host, half)("spoil")
        assert value_of(await result if half == "task" else result) == "by a hook"
        assert variable.get() == "unset"


async def test_hooks_of_the_async_half_run_on_the_thread_for_sync_code() -> None:
    threads: list[int] = []

    class Where:
        def before_call(self, call: ToolCall) -> None:
            threads.append(threading.get_ident())

        def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
            threads.append(threading.get_ident())

    host = Host(slow_add=slow_add, in_pool=tool(thread_sensitive=False)(lambda: None))
    host.registry.add_hook(Where())
    await host.task("slow_add", {"a": 1})
    await host.task("in_pool")

    assert threads == [await sync_to_async(threading.get_ident)()] * 4


async def test_a_hook_may_refuse_and_the_others_hear_of_it() -> None:
    for half in ("sync", "pool", "task"):
        log: list[Any] = []
        ran: list[int] = []
        host = Host(run=lambda: ran.append(1))  # noqa: B023 - used within the turn
        host.registry.add_hook(Hook("one", log))
        host.registry.add_hook(Hook("two", log, ToolCallRefused("wait", kind="limit")))
        host.registry.add_hook(Hook("three", log))

        result = getattr(host, half)("run")
        outcome = await result if half == "task" else result
        assert failure_of(outcome) == ("limit", "ToolCallRefused", "wait")
        assert [entry[:2] for entry in log] == [
            ("before", "one"),
            ("before", "two"),
            ("after", "one"),
        ]
        assert not ran
        assert host.outcomes == ["refused"]


def test_a_hook_that_breaks_before_the_call_refuses_it(caplog: pytest.LogCaptureFixture) -> None:
    host = Host(add=add)
    host.registry.add_hook(Hook("one", [], RuntimeError("secret detail")))

    kind, _, message = failure_of(host.sync("add", {"a": 1}))
    assert kind == "error"
    assert "secret" not in message
    assert "secret detail" in caplog.text
    assert host.outcomes == ["refused"]


def test_a_hook_that_breaks_after_the_call_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class BrokenErrorn(Hook):
        def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
            raise RuntimeError("broken hook")

    log: list[Any] = []
    host = Host(add=add)
    host.registry.add_hook(Hook("one", log))
    host.registry.add_hook(BrokenErrorn("two", []))

    assert value_of(host.sync("add", {"a": 1})) == 3
    assert log[-1] == ("after", "one", "value")
    assert "broken hook" in caplog.text


def test_hooks_see_failures_and_refused_arguments_never_reach_them() -> None:
    def fail() -> None:
        raise KeyError

    log: list[Any] = []
    host = Host(add=add, fail=fail)
    host.registry.add_hook(Hook("one", log))
    host.sync("add", {})
    assert not log
    host.sync("fail")
    assert log[-1] == ("after", "one", "error")
