"""A direct call is a run's call without the run: the same door, threads, context and value."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from codemode import (
    ClientClosedError,
    Codemode,
    ComponentRegistry,
    ConfigurationError,
    ExecutorClient,
    Limits,
    RuntimeContext,
    get_current_context,
    get_current_execution,
    tool,
)
from codemode.core._link import inside_loop
from codemode.core.hooks import Execution, ToolCall, ToolOutcome
from codemode.errors import InvalidRequestError
from codemode.tools import (
    InvalidArguments,
    Tool,
    ToolCallRefused,
    ToolError,
    ToolFailed,
    ToolPermissionDenied,
    ToolTimeout,
    UnknownTool,
)
from tests.support.halves import Half

Call = Callable[..., Any]


class OutOfStock(ToolError):  # noqa: N818 - a project may name it so
    """A failure in the tool's own words."""


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Order:
    id: int
    total: decimal.Decimal
    placed: datetime.date
    colour: Colour


def order(order_id: int) -> Order:
    """Return an order."""
    return Order(order_id, decimal.Decimal("1.10"), datetime.date(2026, 1, 2), Colour.RED)


def reserve(sku: str, amount: int = 1) -> str:
    """Reserve some pieces."""
    if amount > 7:
        raise OutOfStock(f"only 7 of {sku!r} are left")
    return f"{amount} x {sku}"


def broken(words: bool = True) -> Any:
    """Fail."""
    raise ValueError("no such shelf") if words else ToolError()


async def abroken() -> None:
    """Fail."""
    raise ToolError("in my own words")


@tool(thread_sensitive=False)
def pooled_broken() -> None:
    """Fail."""
    raise KeyError("shelf")


def opaque() -> Any:
    """Return what cannot travel."""
    return {"worker": object()}


@tool(permission="refunds")
def refund(order_id: int) -> str:
    """Pay back."""
    return f"refunded {order_id}"


class Checker:
    def allows(self, tool: Tool, context: RuntimeContext) -> bool:
        return tool.permission in context.get("rights", ())


@pytest.fixture
def registry() -> ComponentRegistry:
    registry = ComponentRegistry()
    registry.permission_checker = Checker()
    for one in (order, reserve, broken, abroken, pooled_broken, opaque, refund):
        registry.register_tool(f"shop.{one.__name__}", one)
    return registry


@pytest.fixture
def facade(registry: ComponentRegistry) -> Iterator[Codemode]:
    """Give a facade whose executor must never be started."""
    with Codemode(registry=registry) as facade:
        yield facade
        embedded = facade.client.embedded
        assert embedded is not None
        assert embedded.pid is None


@pytest.fixture
def call(facade: Codemode, half: Half) -> Call:
    """Give the call of each half in turn, from a thread without a loop."""
    if half.name == "sync":
        return facade.call_tool
    return lambda *args, **options: asyncio.run(facade.call_tool_async(*args, **options))


def test_the_value_is_the_one_that_code_would_get(
    codemode: Codemode, registry: ComponentRegistry, half: Half
) -> None:
    mine = Codemode(codemode.client, registry)
    value = mine.call_tool("shop.order", {"order_id": "7"})

    assert value == half.run(mine, "shop.order('7')").value
    assert value == {
        "id": 7,
        "total": decimal.Decimal("1.10"),
        "placed": datetime.date(2026, 1, 2),
        "colour": "red",
    }


def test_an_executor_that_is_not_there_is_not_missed(registry: ComponentRegistry) -> None:
    with ExecutorClient("http://127.0.0.1:1", registry=registry) as client:
        assert Codemode(client).call_tool("shop.reserve", {"sku": "tea"}) == "1 x tea"


REFUSED = [
    (
        ("shop.ordr", {}),
        UnknownTool,
        "there is no tool 'shop.ordr'; did you mean shop.order(order_id: int) -> Order",
    ),
    (
        ("shop.reserve", {"sku": "tea", "amount": "many", "colour": 1}),
        InvalidArguments,
        "argument 'amount' must be a whole number (int), got 'many' (str); there is no argument 'colour'. The signature is shop.reserve(sku: str, amount: int = 1) -> str",
    ),
    (
        ("shop.reserve",),
        InvalidArguments,
        "argument 'sku' is missing. The signature is shop.reserve(sku: str, amount: int = 1) -> str",
    ),
    (
        ("shop.order", ["7"]),
        InvalidArguments,
        "the arguments of shop.order are ['7'], a list; expected a dict of names to values. The signature is shop.order(order_id: int) -> Order",
    ),
    (
        ("shop.order", {"order_id": object}),
        InvalidArguments,
        "arguments['order_id']: the class object cannot travel; send an instance's data as a dict. The signature is shop.order(order_id: int) -> Order",
    ),
    (
        ("shop.refund", {"order_id": 7}),
        ToolPermissionDenied,
        "shop.refund is not permitted for this caller",
    ),
]


@pytest.mark.parametrize(("args", "kind", "text"), REFUSED)
def test_a_refusal_says_what_to_do(
    call: Call, args: tuple[Any, ...], kind: type[ToolCallRefused], text: str
) -> None:
    with pytest.raises(ToolCallRefused) as caught:
        call(*args)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(text)


FAILED: list[tuple[Any, str, str, type[Exception]]] = [
    (("shop.broken",), "ValueError", "shop.broken raised ValueError: no such shelf", ValueError),
    (("shop.broken", {"words": False}), "ToolError", "shop.broken failed (error)", ToolError),
    (("shop.abroken",), "ToolError", "shop.abroken: in my own words", ToolError),
    (("shop.pooled_broken",), "KeyError", "shop.pooled_broken raised KeyError: 'shelf'", KeyError),
    (
        ("shop.reserve", {"sku": "tea", "amount": 8}),
        "OutOfStock",
        "shop.reserve raised OutOfStock: only 7 of 'tea' are left",
        OutOfStock,
    ),
]


@pytest.mark.parametrize(("args", "type_name", "text", "cause"), FAILED)
def test_what_a_tool_raises_is_the_cause_of_the_error(
    call: Call, args: tuple[Any, ...], type_name: str, text: str, cause: type[Exception]
) -> None:
    with pytest.raises(ToolFailed) as caught:
        call(*args)
    error = caught.value
    assert (error.tool, error.type, str(error)) == (args[0], type_name, text)
    assert type(error.__cause__) is cause
    assert error.__cause__.__traceback__ is not None
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), vars(copied)) == (str(error), vars(error))


def test_a_value_that_cannot_travel_is_a_failure_of_the_tool(call: Call) -> None:
    with pytest.raises(ToolFailed, match=r"shop.opaque\(\)\['worker'\]: an object object cannot"):
        call("shop.opaque")


def test_the_text_is_the_one_that_code_would_read(
    codemode: Codemode, registry: ComponentRegistry
) -> None:
    mine = Codemode(codemode.client, registry)
    for args, *_ in FAILED:
        with pytest.raises(ToolFailed) as caught:
            mine.call_tool(*args)
        code = "try:\n    tools[name].run(**arguments)\nexcept ToolError as e:\n    result = str(e)"
        arguments = args[1] if len(args) > 1 else {}
        if args[0] == "shop.abroken":
            code = code.replace("tools", "await tools")
        inputs = {"name": args[0], "arguments": arguments}
        assert mine.execute(code, inputs=inputs) == str(caught.value)


def test_options_are_those_of_a_run(call: Call) -> None:
    given = {"sku": "tea"}
    assert call("shop.reserve", given, available_tools=["shop.*"]) == "1 x tea"
    with pytest.raises(UnknownTool, match="there is no tool 'shop.reserve'"):
        call("shop.reserve", given, available_tools=["shop.order"])
    with pytest.raises(ConfigurationError, match="available_tools has 'mail'"):
        call("shop.reserve", given, available_tools=["mail"])
    with pytest.raises(ConfigurationError, match="execution_timeout"):
        call("shop.reserve", given, execution_timeout=-1)
    with pytest.raises(InvalidRequestError, match="the name of the tool is 7, a int; expected"):
        call(7)


def test_a_tool_that_the_caller_may_not_use_is_not_suggested(call: Call) -> None:
    with pytest.raises(UnknownTool) as caught:
        call("shop.refunds")
    assert "shop.refund(" not in str(caught.value)


def test_the_current_context_decides(facade: Codemode, call: Call) -> None:
    with facade.registry.context(rights=["refunds"]):
        assert call("shop.refund", {"order_id": 7}) == "refunded 7"
        with pytest.raises(UnknownTool, match=r"did you mean shop.refund\(order_id: int\) -> str"):
            call("shop.refunds")


def test_the_contexts_values_are_loaded_before_the_call(facade: Codemode, call: Call) -> None:
    loaded: list[Any] = []
    facade.registry.context_loader = lambda context: lambda: loaded.append(context["user"])
    facade.registry.register_tool("look", lambda: list(loaded))
    with facade.registry.context(user="ann"):
        assert call("look") == ["ann"]


def test_arguments_and_value_are_copies(facade: Codemode, call: Call) -> None:
    kept: list[Any] = []

    def keep(one: list[Any]) -> list[Any]:
        kept.append(one)
        return one

    facade.registry.register_tool("keep", keep)
    given = [1, [2]]
    value = call("keep", {"one": given})
    assert value == kept[0] == given
    assert value is not kept[0] is not given


def test_values_are_bounded_as_in_a_run(registry: ComponentRegistry, half: Half) -> None:
    registry.register_tool("repeat", lambda text, times: text * times)
    client = ExecutorClient(registry=registry, limits=Limits(max_value_bytes=200_000))
    with Codemode(client) as facade:

        def call(text: str, times: int) -> Any:
            arguments = {"text": text, "times": times}
            if half.name == "sync":
                return facade.call_tool("repeat", arguments)
            return asyncio.run(facade.call_tool_async("repeat", arguments))

        assert call("x" * 150_000, 1) == "x" * 150_000
        with pytest.raises(ToolFailed, match="larger than 200,000 bytes"):
            call("x" * 150_000, 2)
        with pytest.raises(InvalidArguments, match="larger than 200,000 bytes"):
            call("x" * 250_000, 0)


def test_tools_run_in_the_threads_of_a_run(facade: Codemode) -> None:
    async def both() -> list[int]:
        return [threading.get_ident(), await sync_to_async(threading.get_ident)()]

    registry = facade.registry
    registry.register_tool("here", lambda: threading.get_ident())
    registry.register_tool("pooled", tool(thread_sensitive=False)(lambda: threading.get_ident()))
    registry.register_tool("both", both)
    mine = threading.get_ident()

    assert facade.call_tool("here") == mine
    assert facade.call_tool("pooled") != mine
    loop_thread, sync_thread = facade.call_tool("both")
    assert loop_thread != mine
    assert sync_thread == mine

    async def in_a_task() -> list[Any]:
        return [
            await facade.call_tool_async("here"),
            await facade.call_tool_async("both"),
            await facade.call_tool_async("pooled"),
            await sync_to_async(threading.get_ident)(),
        ]

    here, both_seen, pooled, sync_thread = asyncio.run(in_a_task())
    assert here == sync_thread
    assert both_seen == [mine, sync_thread]
    assert pooled not in {mine, sync_thread}
    assert [one for one in threading.enumerate() if one.name == "codemode-tools"] == []


def test_the_tool_knows_its_execution(facade: Codemode, call: Call) -> None:
    def look(limit: float = 30) -> list[Any]:
        execution = get_current_execution()
        assert execution is not None
        assert 0 < execution.deadline <= limit
        return [execution.execution_id, execution.tool, execution.call_id, execution.depth]

    facade.registry.register_tool("look", look)
    facade.registry.register_tool("outer", lambda: [*look(), facade.call_tool("look")])
    first, *rest = call("look", {"limit": 7}, execution_timeout=7)
    assert rest == ["look", 1, 0]
    outer, *_, inner = call("outer")
    assert inner[1:] == ["look", 1, 1]
    assert len({first, outer, inner[0]}) == 3
    assert get_current_execution() is None


class Hook:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def before_call(self, call: ToolCall) -> None:
        if call.validated.get("amount") == 6:
            raise ToolCallRefused("the quota of today is used up", "limit")
        self.seen.append((call.name, call.arguments, call.validated))

    def after_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
        self.seen.append(call.record.outcome)

    def execution_started(self, execution: Execution) -> None:
        raise AssertionError("a direct call is not an execution of code")

    def execution_finished(self, *args: Any) -> None:
        raise AssertionError("a direct call is not an execution of code")


def test_hooks_see_the_call_and_observers_do_not(facade: Codemode, call: Call) -> None:
    hook = Hook()
    facade.registry.add_hook(hook)
    facade.registry.add_observer(hook)
    assert call("shop.reserve", {"sku": "tea", "amount": "2"}) == "2 x tea"
    with pytest.raises(ToolFailed):
        call("shop.abroken")
    with pytest.raises(ToolCallRefused) as caught:
        call("shop.reserve", {"sku": "tea", "amount": 6})
    assert caught.value.kind == "limit"
    assert str(caught.value) == "shop.reserve: the quota of today is used up"
    assert hook.seen == [
        ("shop.reserve", {"sku": "tea", "amount": "2"}, {"sku": "tea", "amount": 2}),
        "completed",
        ("shop.abroken", {}, {}),
        "failed",
    ]


def test_an_async_tool_is_cancelled_at_its_timeout(facade: Codemode, call: Call) -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append("unwound")

    facade.registry.register_tool("slow", slow)
    with pytest.raises(ToolTimeout) as caught:
        call("slow", execution_timeout=0.5)
    assert str(caught.value) == "slow took longer than execution_timeout=0.5 s; it was cancelled"
    assert caught.value.kind == "limit"
    assert isinstance(caught.value, TimeoutError)
    assert ended == ["unwound"]


def test_a_tool_in_another_thread_is_left_at_its_timeout(facade: Codemode, half: Half) -> None:
    free = threading.Event()
    ended = threading.Event()

    def wait() -> None:
        free.wait(60)
        ended.set()

    sensitive = half.name == "async"  # its thread is another than the caller's there
    facade.registry.register_tool("wait", tool(thread_sensitive=sensitive)(wait))
    try:
        with pytest.raises(ToolTimeout, match="goes on in its thread, and its value is dropped"):
            if half.name == "sync":
                facade.call_tool("wait", execution_timeout=0.5)
            else:
                # In a thread of its own, whose thread for sync code the tool keeps.
                _in_thread(
                    lambda: asyncio.run(facade.call_tool_async("wait", execution_timeout=0.5))
                )
        assert not ended.is_set()
    finally:
        free.set()
    assert ended.wait(60)


def test_a_sync_tool_in_the_callers_thread_ends_late_with_its_value(facade: Codemode) -> None:
    def stay() -> str:
        execution = get_current_execution()
        assert execution is not None
        while execution.deadline:
            time.sleep(0.01)
        return "late"

    facade.registry.register_tool("stay", stay)
    assert facade.call_tool("stay", execution_timeout=0.5) == "late"


def test_no_tool_starts_after_the_timeout(facade: Codemode) -> None:
    class SlowChecker:
        def allows(self, tool: Tool, context: RuntimeContext) -> bool:
            time.sleep(0.1)
            return True

    facade.registry.permission_checker = SlowChecker()
    started: list[int] = []
    facade.registry.register_tool(
        "pay", tool(permission="any", thread_sensitive=False)(lambda: started.append(1))
    )
    with pytest.raises(ToolTimeout):
        facade.call_tool("pay", execution_timeout=0.05)
    assert started == []


async def test_cancelling_the_task_cancels_an_async_tool(facade: Codemode) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    facade.registry.register_tool("slow", slow)
    task = asyncio.create_task(facade.call_tool_async("slow"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def test_an_interrupt_ends_the_call_and_its_async_tool(facade: Codemode) -> None:
    ended: list[str] = []

    async def slow() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("unwound")

    facade.registry.register_tool("slow", slow)
    with pytest.raises(KeyboardInterrupt):
        facade.call_tool("slow")
    assert ended == ["unwound"]
    assert [one for one in threading.enumerate() if one.name == "codemode-tools"] == []


async def test_a_hundred_tasks_see_only_their_own_context(facade: Codemode) -> None:
    _register_looks(facade)

    async def one(number: int) -> None:
        with facade.registry.context(tenant=number):
            for name in ("look", "alook", "pooled", "alook"):
                assert await facade.call_tool_async(name) == number

    await asyncio.gather(*(one(number) for number in range(100)))
    assert get_current_context() is None


def test_a_hundred_threads_see_only_their_own_context(facade: Codemode) -> None:
    _register_looks(facade)
    together = threading.Barrier(20)

    def one(number: int) -> None:
        together.wait(60)
        with facade.registry.context(tenant=number):
            for name in ("look", "alook", "pooled"):
                assert facade.call_tool(name) == number
                assert asyncio.run(facade.call_tool_async(name)) == number

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(one, range(100)))


def test_a_tool_calls_others_in_each_style(facade: Codemode, call: Call) -> None:
    _register_looks(facade)
    registry = facade.registry
    names = ("look", "alook", "pooled")

    @tool(thread_sensitive=False)
    def pooled_outer() -> list[Any]:
        return [facade.call_tool(name) for name in names]

    def outer() -> list[Any]:
        return [facade.call_tool(name) for name in names]

    async def aouter() -> list[Any]:
        return await asyncio.gather(*(facade.call_tool_async(name) for name in names))

    for one in (pooled_outer, outer, aouter):
        registry.register_tool(None, one)
    with registry.context(tenant="acme"):
        for name in ("pooled_outer", "outer", "aouter"):
            assert call(name) == ["acme"] * 3


async def test_a_sync_call_inside_a_running_loop_works_with_one_warning(
    facade: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside_loop, "_warned_about_loop", False)
    _register_looks(facade)
    facade.registry.register_tool("here", lambda: threading.get_ident())
    finalized: list[int] = []
    facade.registry.extensions.thread_finalizers.append(
        lambda: finalized.append(threading.get_ident())
    )
    with facade.registry.context(tenant="acme"):
        with pytest.warns(RuntimeWarning, match=r"^call_tool\(\) was.*await call_tool_async") as w:
            assert facade.call_tool("alook") == "acme"
        assert [warning.filename for warning in w] == [__file__]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            thread = facade.call_tool("here")
    assert finalized[-1] == thread != threading.get_ident()


def test_both_sides_of_a_fork_call(facade: Codemode, call: Call) -> None:
    _register_looks(facade)
    names = ("look", "alook", "pooled")
    with facade.registry.context(tenant="acme"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        assert [call(name) for name in names] == ["acme"] * 3
        child = os.fork()
        if not child:
            os._exit(0 if [call(name) for name in names] == ["acme"] * 3 else 1)
        assert [call(name) for name in names] == ["acme"] * 3
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_closed_client_calls_no_tool(facade: Codemode, call: Call) -> None:
    facade.close()
    with pytest.raises(ClientClosedError):
        call("shop.order", {"order_id": 1})


def _register_looks(facade: Codemode) -> None:
    def look() -> Any:
        context = get_current_context()
        time.sleep(0.001)
        assert get_current_context() is context
        return context and context.get("tenant")

    async def alook() -> Any:
        context = get_current_context()
        await asyncio.sleep(0.001)
        assert get_current_context() is context
        return context and context.get("tenant")

    facade.registry.register_tool("look", look)
    facade.registry.register_tool("alook", alook)
    facade.registry.register_tool("pooled", tool(thread_sensitive=False)(lambda: look()))


def _in_thread(function: Callable[[], object]) -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(function).result()
