from __future__ import annotations

import threading
from typing import Annotated, Any

import pytest
from asgiref.sync import sync_to_async
from pydantic import AfterValidator

from codemode.core.hooks import ToolCall, ToolOutcome
from codemode.errors import ConfigurationError
from codemode.tools import ToolCallRefused, tool
from tests.codemode.core._dispatch.dispatch_host import (
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


async def test_a_hook_may_refuse_and_the_earlier_hooks_see_the_refusal() -> None:
    for half in ("sync", "pool", "task"):
        log: list[Any] = []
        ran: list[int] = []
        host = Host(run=lambda: ran.append(1))  # noqa: B023 - used within the iteration
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


async def refuse_later(*_: Any) -> None:
    raise ToolCallRefused("not now")


class LateHook:
    """A hook that looks synchronous, and is asynchronous when called."""

    def before_call(self, call: ToolCall) -> Any:
        return refuse_later()

    def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None: ...


@pytest.mark.parametrize("half", ["sync", "pool", "task"])
async def test_a_hook_that_would_have_to_be_awaited_refuses_the_call(half: str) -> None:
    ran: list[int] = []
    host = Host(act=lambda: ran.append(1))
    host.registry.add_hook(LateHook())
    result = getattr(host, half)("act")

    kind, type_name, message = failure_of(await result if half == "task" else result)
    assert (kind, type_name) == ("error", "ToolCallRefused")
    assert "a check before the call failed" in message
    assert ran == []


@pytest.mark.parametrize("half", ["sync", "pool", "task"])
async def test_a_permission_check_that_would_have_to_be_awaited_permits_nothing(half: str) -> None:
    class Late:
        def allows(self, tool: Any, context: Any) -> Any:
            return refuse_later()

    ran: list[int] = []
    host = Host(act=tool(permission="x")(lambda: ran.append(1)))
    host.registry.permission_checker = Late()
    result = getattr(host, half)("act")

    assert failure_of(await result if half == "task" else result)[0] == "permission_denied"
    assert host.registry.visible(host.registry.tools, None) == {}
    assert ran == []


def test_asynchronous_hooks_and_observers_are_refused_at_once() -> None:
    class AsyncHook:
        async def before_call(self, call: ToolCall) -> None: ...

        def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None: ...

    class AsyncObserver:
        def execution_started(self, execution: object) -> None: ...

        async def execution_finished(self, *told: object) -> None: ...

    registry = Host().registry
    with pytest.raises(ConfigurationError, match="before_call.. of .* is asynchronous"):
        registry.add_hook(AsyncHook())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="execution_finished.. of .* is asynchronous"):
        registry.add_observer(AsyncObserver())  # type: ignore[arg-type]
    assert (registry.hooks, registry.observers) == ((), ())


@pytest.mark.parametrize("size, on_loop", [(10, True), (100_000, False)])
async def test_many_arguments_are_checked_outside_the_loop(size: int, on_loop: bool) -> None:
    threads: list[int] = []

    def look(text: str) -> str:
        threads.append(threading.get_ident())
        return text

    async def keep(text: str) -> int:
        return len(text)

    keep.__annotations__["text"] = Annotated[str, AfterValidator(look)]

    host = Host(keep=keep)
    host.dispatcher(max_value_bytes=1_000_000)
    assert value_of(await host.task("keep", {"text": "x" * size})) == size
    assert [one == threading.get_ident() for one in threads] == [on_loop]
