from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.local import Local
from asgiref.sync import ThreadSensitiveContext, sync_to_async

from codemode.core import ComponentRegistry
from codemode.core.context import RuntimeContext, get_current_context, get_current_execution
from codemode.core.dispatch import Dispatcher, ToolCall, ToolOutcome
from codemode.core.threads import MAX_POOL_THREADS, tool_pool
from codemode.tools import Tool, ToolCallRefused, ToolError, tool
from codemode.values import decode, encode

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Host:
    """A registry with a dispatcher on it, and the two ways to bring a call to its end."""

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
            "deadline": time.monotonic() + 30,
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
        return self.current.run_in_pool(call).result(10)

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


# What a tool sees.


def test_a_sync_tool_runs_in_the_calling_thread_with_checked_arguments() -> None:
    host = Host(add=add, where=threading.get_ident)

    assert value_of(host.sync("add", {"a": "1"})) == 3
    assert value_of(host.sync("where")) == threading.get_ident()
    record = host.current.records()[0]
    assert (record.call_id, record.name, record.arguments) == (1, "add", {"a": "1"})
    assert record.outcome == "completed"
    assert record.duration_ms is not None
    assert record.error is None


async def test_in_the_async_half_sync_tools_share_one_thread_and_async_ones_the_loops() -> None:
    async def here() -> int:
        return threading.get_ident()

    host = Host(where=threading.get_ident, here=here, add=add)
    threads = [value_of(await host.task("where")) for _ in range(3)]

    assert len(set(threads)) == 1
    assert threads[0] == await sync_to_async(threading.get_ident)()
    assert value_of(await host.task("here")) == threading.get_ident()
    assert value_of(await host.task("add", {"a": 1})) == 3


async def test_async_tools_of_a_gather_run_at_once() -> None:
    async def nap() -> None:
        await asyncio.sleep(0.2)

    host = Host(nap=nap)
    began = time.monotonic()
    await asyncio.gather(*(host.task("nap") for _ in range(10)))

    assert time.monotonic() - began < 1


async def test_tools_that_are_not_thread_sensitive_run_at_once_in_the_pool() -> None:
    barrier = threading.Barrier(4)

    @tool(thread_sensitive=False)
    def meet() -> int:
        barrier.wait(10)
        return threading.get_ident()

    host = Host(meet=meet)
    threads = {value_of(one) for one in await asyncio.gather(*(host.task("meet") for _ in "four"))}
    assert len(threads) == 4

    futures = [host.current.run_in_pool(host.begin("meet")) for _ in "four"]
    assert len({value_of(one.result(10)) for one in futures}) == 4
    assert threading.get_ident() not in threads


def spoil() -> str:
    before = variable.get()
    variable.set("spoiled")
    return before


async def spoil_async() -> str:
    await asyncio.sleep(0)
    return spoil()


def test_what_a_sync_tool_sets_nobody_else_sees() -> None:
    token = variable.set("mine")
    try:
        host = Host(spoil=spoil)
        for run in (host.sync, host.sync, host.pool, host.pool):
            assert value_of(run("spoil")) == "mine"
        assert variable.get() == "mine"
    finally:
        variable.reset(token)


async def test_what_a_tool_of_the_async_half_sets_nobody_else_sees() -> None:
    variable.set("mine")
    host = Host(
        spoil=spoil, spoil_async=spoil_async, in_pool=tool(thread_sensitive=False)(lambda: spoil())
    )
    names = ["spoil", "spoil_async", "in_pool"] * 2
    seen = await asyncio.gather(*(host.task(name) for name in names))

    assert [value_of(one) for one in seen] == ["mine"] * 6
    assert variable.get() == "mine"


async def test_tools_see_the_context_of_the_runs_start() -> None:
    variable.set("at the start")
    host = Host(spoil=spoil, spoil_async=spoil_async)
    host.dispatcher()
    variable.set("later")

    assert value_of(await host.task("spoil")) == "at the start"
    assert value_of(await host.task("spoil_async")) == "at the start"


def test_tools_know_their_context_and_execution() -> None:
    def look() -> list[Any]:
        execution, context = get_current_execution(), get_current_context()
        assert execution is not None
        assert context is not None
        assert 0 < execution.deadline <= 30
        return [execution.execution_id, execution.tool, execution.call_id, context["tenant"]]

    class Look:
        def run_with_context(self, context: RuntimeContext, key: str) -> Any:
            return context.get(key)

    host = Host(look=look, get=Look)
    host.dispatcher(runtime_context=RuntimeContext({"tenant": "acme"}))

    assert value_of(host.sync("look")) == ["run-1", "look", 1, "acme"]
    assert value_of(host.pool("look")) == ["run-1", "look", 2, "acme"]
    assert value_of(host.sync("get", {"key": "tenant"})) == "acme"
    assert get_current_execution() is None
    assert get_current_context() is None


def test_run_with_context_gets_an_empty_context_where_there_is_none() -> None:
    class Look:
        def run_with_context(self, context: RuntimeContext) -> bool:
            return context == RuntimeContext() and get_current_context() is None

    assert value_of(Host(look=Look).sync("look")) is True


local = Local()


def test_locals_of_asgiref_reach_pool_threads_and_other_loops() -> None:
    def language() -> str:
        return str(getattr(local, "language", None))

    async def language_async() -> list[str]:
        return [language(), await sync_to_async(language)(), str(threading.get_ident())]

    local.language = "nb"
    try:
        host = Host(language=language, language_async=language_async)
        assert value_of(host.pool("language")) == "nb"

        async def main() -> ToolOutcome:
            call = host.begin("language_async")

            async def wrapped() -> ToolOutcome:
                async with ThreadSensitiveContext():
                    return await host.current.call_in_async_half(call)

            return await asyncio.create_task(wrapped(), context=call.context)

        outcomes: list[ToolOutcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(asyncio.run(main())))
        thread.start()
        thread.join(10)
        assert value_of(outcomes[0]) == ["nb", "nb", str(thread.ident)]
    finally:
        del local.language


# Refusals.


def test_an_unknown_tool_gets_near_names_with_their_signatures() -> None:
    host = Host(orders__get=add, mail=lambda: None)

    assert failure_of(host.sync("orders.gte")) == (
        "unknown_tool",
        "UnknownTool",
        "there is no tool 'orders.gte'; did you mean orders.get(a: int, b: int = 2) -> int?",
    )
    assert failure_of(host.sync("zzz"))[2] == (
        "there is no tool 'zzz'; the tools are: mail, orders.get"
    )
    assert host.outcomes == ["refused", "refused"]


def test_a_tool_beyond_the_allow_list_looks_unknown_and_is_never_suggested() -> None:
    host = Host(refund=add, mail=lambda: None)
    host.dispatcher(tools=host.registry.select(["mail"]))

    kind, _, message = failure_of(host.sync("refund"))
    assert kind == "unknown_tool"
    assert "refund(" not in message
    assert "refund" not in failure_of(host.sync("refunds"))[2].replace("'refunds'", "")


def test_an_unlisted_tool_is_not_suggested_either() -> None:
    host = Host(refund=add, mail=lambda: None)
    host.dispatcher(listed=["mail"])

    assert failure_of(host.sync("refun"))[2] == "there is no tool 'refun'; the tools are: mail"
    assert value_of(host.sync("refund", {"a": 1})) == 3


def test_a_flood_of_unknown_names_is_answered_without_a_search() -> None:
    host = Host(**{f"tool_number_{number}": add for number in range(200)})
    host.dispatcher(max_calls=10_000)
    began = time.monotonic()
    for _ in range(2_000):
        kind, _, message = failure_of(host.sync("tool_number" * 5_000))

    assert time.monotonic() - began < 5
    assert kind == "unknown_tool"
    assert len(message) < 200
    assert len(host.current.records()[-1].name) < 250


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the arguments are not usable"),
        (b"\xff\xff\xff", "the arguments are not usable"),
        (encode([1]), "expected a map of names"),
        (encode({1: 2}), "expected a map of names"),
        (encode({"a": "x" * 200_000}), "the arguments are not usable"),
    ],
    ids=["empty", "noise", "list", "number", "large"],
)
def test_hostile_arguments_are_refused_and_never_raise(data: bytes, text: str) -> None:
    host = Host(add=add)
    dispatcher = host.dispatcher()
    call = dispatcher.begin(1, "add", data)

    assert call.failure is not None
    kind, _, message = failure_of(dispatcher.call_sync(call))
    assert kind == "invalid_arguments"
    assert text in message


def test_wrong_arguments_get_the_signature() -> None:
    host = Host(add=add)

    assert failure_of(host.sync("add", {"b": "x"})) == (
        "invalid_arguments",
        "InvalidArguments",
        "argument 'b' must be a whole number (int), got 'x' (str); argument 'a' is missing. "
        "The signature is add(a: int, b: int = 2) -> int",
    )
    assert host.outcomes == ["refused"]


def test_calls_beyond_the_budget_are_refused_and_recorded_once() -> None:
    host = Host(add=add)
    host.dispatcher(max_calls=2)
    outcomes = [host.sync("add", {"a": 1}) for _ in range(50)]

    assert [one.failure is None for one in outcomes] == [True] * 2 + [False] * 48
    assert failure_of(outcomes[-1]) == (
        "limit",
        "ToolCallLimit",
        "the run may make at most 2 tool calls",
    )
    assert host.outcomes == ["completed", "completed", "refused"]


def test_a_call_id_is_used_once() -> None:
    host = Host(add=add)
    dispatcher = host.dispatcher()
    dispatcher.call_sync(dispatcher.begin(1, "add", encode({"a": 1})))
    again = dispatcher.begin(1, "add", encode({"a": 1}))

    assert failure_of(dispatcher.call_sync(again))[1] == "ProtocolError"
    assert host.outcomes == ["completed"]


def test_no_tool_starts_after_the_deadline() -> None:
    ran: list[int] = []
    host = Host(append=lambda: ran.append(1))
    dispatcher = host.dispatcher(deadline=time.monotonic() - 1)

    assert failure_of(host.sync("append"))[:2] == ("limit", "ExecutionTimeout")
    assert not ran
    dispatcher.deadline = time.monotonic() + 10
    assert value_of(host.sync("append")) is None
    assert ran


@tool(permission="shop.refund")
def refund() -> str:
    return "paid"


@tool(permission="shop.refund")
async def refund_async() -> str:
    return "paid"


@tool(permission="shop.refund", thread_sensitive=False)
def refund_in_pool() -> str:
    return "paid"


class Checker:
    def __init__(self, decide: Callable[[RuntimeContext], bool]) -> None:
        self.decide = decide
        self.threads: set[int] = set()

    def allows(self, tool: Tool, context: RuntimeContext) -> bool:
        assert tool.permission == "shop.refund"
        self.threads.add(threading.get_ident())
        return self.decide(context)


def refund_host(checker: Checker | None, user: str) -> Host:
    host = Host(refund=refund, refund_async=refund_async, refund_in_pool=refund_in_pool)
    host.registry.permission_checker = checker
    host.dispatcher(runtime_context=RuntimeContext({"user": user}))
    return host


async def in_both_halves(host: Host) -> list[ToolOutcome]:
    outcomes = [host.sync("refund"), host.pool("refund_in_pool")]
    for name in ("refund", "refund_async", "refund_in_pool"):
        outcomes.append(await host.task(name))
    return outcomes


async def test_without_a_checker_tools_with_permission_are_refused() -> None:
    for outcome in await in_both_halves(refund_host(None, "ann")):
        kind, type_name, message = failure_of(outcome)
        assert (kind, type_name) == ("permission_denied", "ToolPermissionDenied")
        assert message.endswith("is not permitted: no permission checker is installed")


async def test_the_checker_decides_by_the_context_on_a_thread_for_sync_code() -> None:
    checker = Checker(lambda context: context["user"] == "ann")
    assert [value_of(one) for one in await in_both_halves(refund_host(checker, "ann"))] == [
        "paid"
    ] * 5
    sync_thread = await sync_to_async(threading.get_ident)()
    assert checker.threads == {threading.get_ident(), sync_thread}

    host = refund_host(checker, "bob")
    for outcome in await in_both_halves(host):
        assert failure_of(outcome)[2].endswith("is not permitted for this caller")
    assert host.outcomes == ["refused"] * 5


async def test_a_checker_that_breaks_refuses_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def decide(context: RuntimeContext) -> bool:
        raise RuntimeError("secret detail")

    for outcome in await in_both_halves(refund_host(Checker(decide), "ann")):
        kind, _, message = failure_of(outcome)
        assert kind == "permission_denied"
        assert "secret" not in message
    assert "secret detail" in caplog.text


def test_a_checker_may_refuse_in_its_own_words() -> None:
    def decide(context: RuntimeContext) -> bool:
        raise ToolCallRefused("ask your manager")

    host = refund_host(Checker(decide), "ann")
    assert failure_of(host.sync("refund"))[2] == "ask your manager"


# Failures of tools.


class Broke(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "expected", "logged"),
    [
        (ToolError("out of stock"), ("error", "ToolError", "out of stock"), False),
        (KeyError("x"), ("error", "KeyError", "'x'"), True),
        (SystemExit(3), ("error", "SystemExit", "3"), True),
        (asyncio.CancelledError(), ("error", "CancelledError", ""), True),
        (ValueError("\ud800"), ("error", "ValueError", "\\ud800"), True),
        (Broke(), ("error", "Broke", ""), True),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_an_error_of_a_tool_travels_as_type_and_text(
    error: BaseException,
    expected: tuple[str, str, str],
    logged: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise error

    async def fail_async() -> None:
        raise error

    host = Host(fail=fail, fail_async=fail_async)
    assert failure_of(host.sync("fail")) == expected
    assert failure_of(await host.task("fail_async")) == expected
    assert failure_of(await host.task("fail")) == expected
    assert failure_of(host.pool("fail")) == expected
    assert host.outcomes == ["failed"] * 4
    assert [one.name for one in caplog.records if one.exc_info] == (
        ["codemode.tools"] * 4 if logged else []
    )


def test_long_messages_are_cut() -> None:
    def fail() -> None:
        raise ValueError("x" * 100_000)

    host = Host(fail=fail)
    assert len(failure_of(host.sync("fail"))[2]) < 5_000
    assert len(host.current.records()[0].error or "") < 600


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_is_no_ordinary_failure_gets_out_and_is_on_record(error: BaseException) -> None:
    def fail() -> None:
        raise error

    host = Host(fail=fail)
    with pytest.raises(type(error)):
        host.sync("fail")
    assert host.outcomes == ["failed"]


async def test_a_value_that_cannot_travel_is_told_with_its_path() -> None:
    def bad() -> Any:
        return {"items": [1, object()]}

    async def bad_async() -> Any:
        return bad()

    host = Host(bad=bad, bad_async=bad_async)
    for outcome in (host.sync("bad"), host.pool("bad"), await host.task("bad_async")):
        kind, type_name, message = failure_of(outcome)
        assert (kind, type_name) == ("error", "ValueEncodingError")
        assert "()['items'][1]" in message


def test_a_value_over_the_limit_is_refused() -> None:
    host = Host(large=lambda: "x" * 200_000)

    assert failure_of(host.sync("large"))[1] == "ValueEncodingError"


def test_a_sync_tool_that_returns_a_coroutine_is_told_the_fix() -> None:
    def forgot() -> Awaitable[int]:
        return slow_add(1)

    assert "declare it with async def" in failure_of(Host(forgot=forgot).sync("forgot"))[2]


async def test_async_tools_are_refused_where_only_sync_ones_can_run() -> None:
    host = Host(slow_add=slow_add, add=add)
    call = host.begin("slow_add", {"a": 1})
    for run in (host.current.call_sync, host.current.run_in_pool):
        with pytest.raises(TypeError, match="asynchronous"):
            run(call)
    with pytest.raises(TypeError, match="is sync"):
        await host.current.call_async(host.begin("add", {"a": 1}))
    assert value_of(await host.current.call_async(call)) == 3


# Hooks.


class Hook:
    def __init__(self, name: str, log: list[Any], refuse: Exception | None = None) -> None:
        self.name, self.log, self.refuse = name, log, refuse

    def before_call(self, call: ToolCall) -> None:
        variable.set("by a hook")
        self.log.append(("before", self.name, call.name, call.arguments, call.validated))
        if self.refuse:
            raise self.refuse

    def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
        self.log.append(("after", self.name, outcome.failure.kind if outcome.failure else "value"))


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
    class Broken(Hook):
        def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
            raise RuntimeError("broken hook")

    log: list[Any] = []
    host = Host(add=add)
    host.registry.add_hook(Hook("one", log))
    host.registry.add_hook(Broken("two", []))

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


# Cancellation.


async def test_a_cancelled_async_tool_is_cancelled_on_record_and_for_hooks() -> None:
    unwound: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            unwound.append("yes")

    log: list[Any] = []
    host = Host(hang=hang)
    host.registry.add_hook(Hook("one", log))
    task = host.task("hang")
    while not log:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    assert host.outcomes == ["running"]
    assert host.current.records()[0].duration_ms is None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert unwound == ["yes"]
    assert host.outcomes == ["cancelled"]
    assert log[-1] == ("after", "one", "cancelled")


async def test_a_tool_whose_own_task_was_cancelled_failed_but_was_not_cancelled() -> None:
    async def inner_cancelled() -> None:
        inner = asyncio.ensure_future(asyncio.sleep(30))
        inner.cancel()
        await inner

    host = Host(inner_cancelled=inner_cancelled)
    assert failure_of(await host.task("inner_cancelled"))[1] == "CancelledError"
    assert host.outcomes == ["failed"]


async def test_a_cancelled_sync_tool_goes_on_and_its_end_changes_nothing() -> None:
    go, ended = threading.Event(), threading.Event()

    def wait() -> None:
        go.wait(10)
        ended.set()

    host = Host(wait=wait)
    task = host.task("wait")
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await sync_to_async(ended.wait)(10)

    assert host.outcomes == ["cancelled"]


async def test_cancel_all_cancels_what_runs_and_refuses_the_rest() -> None:
    go = threading.Event()
    inside = threading.Event()

    async def hang() -> None:
        await asyncio.sleep(30)

    def block() -> None:
        inside.set()
        go.wait(10)

    host = Host(hang=hang, block=block)
    running = host.task("hang")
    await asyncio.sleep(0)
    blocked = host.current.run_in_pool(host.begin("block"))
    inside.wait(10)
    never_started = host.begin("hang")
    late = host.task("hang")
    host.current.cancel_all()
    after = host.begin("hang")
    with pytest.raises(asyncio.CancelledError):
        await running

    assert failure_of(await late)[0] == "cancelled"
    assert after.failure is not None
    assert after.failure.kind == "cancelled"
    assert never_started.record.outcome == "cancelled"
    assert host.outcomes == ["cancelled", "running", "cancelled", "cancelled", "cancelled"]
    go.set()
    assert value_of(blocked.result(10)) is None
    assert host.outcomes[1] == "completed"


def test_a_call_that_waits_for_the_pool_can_be_cancelled() -> None:
    go = threading.Event()
    host = Host(wait=lambda: go.wait(10))
    host.dispatcher()
    futures = [host.current.run_in_pool(host.begin("wait")) for _ in range(MAX_POOL_THREADS + 1)]
    try:
        assert futures[-1].cancel()
        assert host.outcomes[-1] == "cancelled"
    finally:
        go.set()
    assert all(value_of(one.result(10)) for one in futures[:-1])


# Records, pool, threads.


def test_records_are_complete_but_keep_a_bounded_part_of_the_arguments() -> None:
    host = Host(echo=lambda text: None)
    host.dispatcher(max_value_bytes=1_000_000)
    for size in (600_000, 600_000, 10):
        host.sync("echo", {"text": "x" * size})

    first, second, third = host.current.records()
    assert len(first.arguments["text"]) == 600_000
    assert "left out of the record" in second.arguments["..."]
    assert third.arguments == {"text": "x" * 10}


def test_records_are_in_order_and_calls_begin_from_many_threads() -> None:
    host = Host(add=add)
    dispatcher = host.dispatcher()

    def work(worker: int) -> None:
        for number in range(50):
            call = dispatcher.begin(worker * 100 + number, "add", encode({"a": number}))
            assert value_of(dispatcher.call_sync(call)) == number + 2

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    records = dispatcher.records()
    assert len(records) == 200
    assert {one.outcome for one in records} == {"completed"}
    of_one = [one.call_id for one in records if one.call_id < 100]
    assert of_one == sorted(of_one)


async def test_finalizers_run_in_the_pool_thread_after_each_tool(
    caplog: pytest.LogCaptureFixture,
) -> None:
    threads: list[int] = []

    def finalize() -> None:
        threads.append(threading.get_ident())

    def broken() -> None:
        raise RuntimeError("broken finalizer")

    where = tool(thread_sensitive=False)(lambda: threading.get_ident())
    host = Host(where=where, add=add)
    host.registry.pool_finalizers += [broken, finalize]

    first = value_of(host.pool("where"))
    second = value_of(await host.task("where"))
    host.sync("add", {"a": 1})
    await host.task("add", {"a": 1})
    assert threads == [first, second]
    assert "broken finalizer" in caplog.text


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_pool_and_sync_thread_are_made_anew_after_a_fork() -> None:
    @tool(thread_sensitive=False)
    def in_pool() -> int:
        return 1

    host = Host(in_pool=in_pool, add=add)
    parent_pool = tool_pool()
    assert value_of(host.pool("in_pool")) == 1
    assert value_of(asyncio.run(_run(host, "add", {"a": 1}))) == 3

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            good = tool_pool() is not parent_pool and value_of(host.pool("in_pool")) == 1
            good = good and value_of(asyncio.run(_run(host, "add", {"a": 1}))) == 3
            code = 0 if good else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            pytest.fail("the forked child hangs")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert tool_pool() is parent_pool


async def _run(host: Host, name: str, arguments: dict[str, Any]) -> ToolOutcome:
    return await host.task(name, arguments)

