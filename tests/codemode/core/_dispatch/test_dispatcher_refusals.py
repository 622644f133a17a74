from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async

from codemode.core.context import RuntimeContext
from codemode.core.hooks import ToolOutcome
from codemode.tools import Tool, ToolCallRefused, tool
from codemode.values import encode
from tests.codemode.core._dispatch.dispatch_host import Host, add, failure_of, value_of


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
    began = time.thread_time()
    for _ in range(2_000):
        kind, _, message = failure_of(host.sync("tool_number" * 5_000))

    assert time.thread_time() - began < 20
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
        (
            "argument 'b' must be a whole number (int), got 'x' (str); argument 'a' is missing. "
            "The signature is add(a: int, b: int = 2) -> int"
        ),
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
    dispatcher.deadline = time.monotonic() + 600
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
    names = ("refund", "refund_async", "refund_in_pool")
    return [
        host.sync("refund"),
        host.pool("refund_in_pool"),
        *[await host.task(name) for name in names],
    ]


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


def test_a_checker_may_refuse_with_its_own_message() -> None:
    def decide(context: RuntimeContext) -> bool:
        raise ToolCallRefused("ask your manager")

    host = refund_host(Checker(decide), "ann")
    assert failure_of(host.sync("refund"))[2] == "ask your manager"
