"""Tests of tool calls by the code, and of the errors that it receives."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.codemode.sandbox.guest.guest_driver import (
    Forker,
    Guest,
    Later,
    Outcome,
    RefusedError,
    tool,
)

TOOLS = [
    tool("add", "add(a: int, b: int = 2) -> int", "a", "b", description="Add two numbers."),
    tool(
        "orders.get",
        "orders.get(order_id: int, *, full: bool = False) -> Order",
        "order_id",
        description="Return one order.\n\nRefunds are listed with it.",
    ),
    tool("orders.refund", "orders.refund(order_id: int) -> None", "order_id", asynchronous=True),
    tool("list_orders", "list_orders(status: str) -> list[Order]", "status"),
    tool("fail", "fail(kind: str, type: str, message: str)", "kind", "type", "message"),
    tool("echo", "echo(value: Any) -> Any", "value"),
]


def host(name: str, arguments: dict[str, Any]) -> Any:
    match name:
        case "add":
            return arguments["a"] + arguments.get("b", 2)
        case "fail":
            raise RefusedError(**arguments)
        case "echo":
            return arguments["value"]
        case _:
            return arguments


def run(forker: Forker, code: str, **limits: Any) -> Outcome:
    with Guest(forker, TOOLS, host, **limits) as guest:
        return guest.run(code)


@pytest.mark.parametrize(
    "code, value",
    [
        ("add(1, 2)", 3),
        ("add(1, b=5)", 6),
        ("add(a=1)", 3),
        ("orders.get(7)", {"order_id": 7}),
        ("orders.get(7, full=True)", {"order_id": 7, "full": True}),
        ("await orders.refund(7)", {"order_id": 7}),
        ("tools['add'].run(1, b=2)", 3),
        ("tools['add'](1)", 3),
        ("await tools['orders.refund'].run(order_id=1)", {"order_id": 1}),
        ("list(tools) == tools.names() and len(tools) == 6 and 'add' in tools", True),
        ("'nope' in tools", False),
        (
            "add.__name__, orders.get.__name__, orders.get.__qualname__",
            ("add", "get", "orders.get"),
        ),
        ("import asyncio; asyncio.iscoroutinefunction(orders.refund)", True),
        ("import inspect; str(inspect.signature(add))", "(a: int, b: int = 2) -> int"),
        ("add.__doc__", "Add two numbers."),
        ("repr(orders)", "<tools orders: get, refund>"),
        ("repr(orders.get).startswith('<function orders.get at')", True),
        ("list(map(add, [1, 2], [3, 4]))", [4, 6]),
        ("import functools; functools.partial(add, 1)(9)", 10),
    ],
)
def test_tool_is_called_as_an_ordinary_function(forker: Forker, code: str, value: Any) -> None:
    outcome = run(forker, code)
    assert outcome.completed, outcome
    assert outcome.value == value


def test_values_survive_the_trip_both_ways(forker: Forker) -> None:
    code = (
        "from decimal import Decimal\nfrom datetime import datetime, timezone\nimport uuid\n"
        "value = [2**400, Decimal('-0'), {1, 2}, {3: b'x'}, None, uuid.UUID(int=5), datetime(2024, 1, 2)]\n"
        "(echo(value) == value, str(echo(value)[1]))"
    )
    assert run(forker, code).value == (True, "-0")


@pytest.mark.parametrize(
    "code, type, parts",
    [
        ("add(1, 2, 3)", "InvalidArgumentsError", ["at most 2", "add(a: int, b: int = 2) -> int"]),
        ("add(1, a=2)", "InvalidArgumentsError", ["multiple values", "'a'"]),
        ("add(a=lambda: 1)", "InvalidArgumentsError", ["add(a=...)", "function"]),
        ("add(1, b=[{'x': object()}])", "InvalidArgumentsError", ["add(b=...)", "x", "object"]),
        ("ad(1)", "NameError", ["'ad'", "add(a: int, b: int = 2) -> int"]),
        ("get(1)", "NameError", ["orders.get(order_id: int"]),
        ("list_order('open')", "NameError", ["list_orders(status: str) -> list[Order]"]),
        ("orders.got(1)", "AttributeError", ["orders.get"]),
        ("tools['list_order']", "UnknownToolError", ["list_orders(status: str)"]),
        ("tools['zzz']", "UnknownToolError", ["add, orders.get"]),
        ("fail('error', 'DoesNotExist', 'no order 7')", "ToolError", ["fail raised DoesNotExist"]),
        ("fail('invalid_arguments', '', 'b: not an int')", "InvalidArgumentsError", ["fail(kind"]),
        ("fail('permission_denied', '', 'not yours')", "PermissionDeniedError", ["not yours"]),
        ("fail('unknown_tool', '', 'gone')", "UnknownToolError", ["gone"]),
        ("fail('limit', '', 'too many calls')", "ToolError", ["too many calls"]),
        ("fail('of the future', '', 'odd')", "ToolError", ["odd"]),
    ],
)
def test_failed_call_says_what_to_do(
    forker: Forker, code: str, type: str, parts: list[str]
) -> None:
    outcome = run(forker, f"x = 1\n{code}")
    assert outcome.type == type
    assert outcome.line == 2
    for part in parts:
        assert part in outcome.message
    assert "codemode" not in outcome.traceback


def test_failures_are_ordinary_exceptions(forker: Forker) -> None:
    code = (
        "caught = []\n"
        "for kind, error in [('error', ToolError), ('permission_denied', PermissionError),\n"
        "        ('invalid_arguments', TypeError), ('unknown_tool', LookupError)]:\n"
        "    try:\n"
        "        fail(kind, 'Boom', 'why')\n"
        "    except error as e:\n"
        "        assert isinstance(e, ToolError)\n"
        "        caught.append((e.tool, e.kind, e.type))\n"
        "caught"
    )
    assert run(forker, code).value == [
        ("fail", kind, "Boom")
        for kind in ("error", "permission_denied", "invalid_arguments", "unknown_tool")
    ]


def test_refused_arguments_are_not_sent(forker: Forker) -> None:
    outcome = run(forker, "try:\n    add(1, 2, 3)\nexcept TypeError:\n    pass\nadd(1)")
    assert outcome.of("call") == [("add", {"a": 1})]


def test_too_large_arguments_are_refused(forker: Forker) -> None:
    outcome = run(forker, "echo('x' * 5000)", value_bytes=1000)
    assert outcome.type == "InvalidArgumentsError"
    assert "echo" in outcome.message
    assert "1,000" in outcome.message


def test_search_ranks_and_travels(forker: Forker) -> None:
    code = "found = tools.search('refunds')\nprint(found[0])\n[t.name for t in found], found[0]"
    outcome = run(forker, code)
    names, first = outcome.value
    assert names[0] == "orders.refund"
    assert "orders.get" in names
    assert "add" not in names
    assert first["signature"] == "await orders.refund(order_id: int) -> None"
    assert outcome.stdout.startswith("await orders.refund(order_id: int)")


def test_search_is_limited(forker: Forker) -> None:
    code = "[len(tools.search('order', limit=n)) for n in (0, 1, 2)]"
    assert run(forker, code).value == [0, 2, 3]


def test_help_explains_a_tool(forker: Forker) -> None:
    outcome = run(
        forker, "help(orders.get)\nhelp(tools['add'])\nhelp('list_orders')\nhelp()\nhelp(len)"
    )
    assert "orders.get(order_id: int, *, full: bool = False) -> Order" in outcome.stdout
    assert "Refunds are listed with it." in outcome.stdout
    assert "Add two numbers." in outcome.stdout
    assert outcome.stdout.count("list_orders(status: str)") == 2
    assert "Return the number of items" in outcome.stdout


def test_help_explains_namespaces_and_names(forker: Forker) -> None:
    code = "help(orders)\nhelp('orders')\nhelp(tools)\nhelp('orders.nope')\nhelp('str.upper')"
    outcome = run(forker, code)
    group = (
        "orders has 2 tools:\n"
        "  orders.get(order_id: int, *, full: bool = False) -> Order  # Return one order.\n"
        "  await orders.refund(order_id: int) -> None\n"
    )
    assert outcome.stdout.startswith(2 * group + "The tools of this run are functions")
    assert outcome.stdout.count("  add(a: int, b: int = 2) -> int  # Add two numbers.\n") == 1
    assert "there is no tool orders.nope. orders has: get, refund\n" in outcome.stdout
    assert "Return a copy of the string converted to uppercase." in outcome.stdout
    assert "codemode" not in outcome.stdout


def test_help_of_many_tools_is_short(forker: Forker) -> None:
    many = [tool(f"shop.tool{number}", f"shop.tool{number}()") for number in range(300)]
    with Guest(forker, many, host) as guest:
        outcome = guest.run("help(shop)\nhelp(tools)\nhelp('shop.zzz')")
    assert outcome.stdout.count("\n") < 120
    assert 'and 250 more: tools.search("...") finds them\n' in outcome.stdout
    assert outcome.stdout.endswith("tool7 and 292 more; help(shop) lists them\n")


def test_variable_named_like_a_tool_hides_only_its_short_name(forker: Forker) -> None:
    assert run(forker, "add = 5\n(add, tools['add'](1))").value == (5, 3)


def test_threads_call_tools_at_once(forker: Forker) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    results = list(pool.map(lambda n: add(n, 1), range(200)))\n"
        "results == list(range(1, 201))"
    )
    assert run(forker, code).value is True


def test_waiting_thread_gets_its_answer_from_another_reader(forker: Forker) -> None:
    delays = itertools.cycle([0.2, 0.02, 0.1])

    def slow(name: str, arguments: dict[str, Any]) -> Any:
        return Later(next(delays), arguments["value"])

    code = (
        "import threading\ngot = []\n"
        "threads = [threading.Thread(target=lambda n=n: got.append(echo(n))) for n in range(6)]\n"
        "for t in threads: t.start()\n"
        "got.append(echo(99))\n"
        "for t in threads: t.join()\n"
        "sorted(got)"
    )
    with Guest(forker, TOOLS, slow) as guest:
        assert guest.run(code).value == [0, 1, 2, 3, 4, 5, 99]


def test_signal_handler_that_raises_gives_up_the_call(forker: Forker) -> None:
    def slow(name: str, arguments: dict[str, Any]) -> Any:
        return Later(None, arguments["value"], when=lambda: guest.outcome.of("cancel") == [(1,)])

    code = (
        "import signal\n"
        "def ring(*_):\n    raise TimeoutError('too slow')\n"
        "signal.signal(signal.SIGALRM, ring)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.4)\n"
        "try:\n    echo('slow')\nexcept TimeoutError as e:\n    first = str(e)\n"
        "(first, echo('next'))"
    )
    with Guest(forker, TOOLS, slow) as guest:
        outcome = guest.run(code)
    assert outcome.value == ("too slow", "next")
    assert outcome.of("cancel") == [(1,)]


def test_large_answer_arrives_whole(forker: Forker) -> None:
    with Guest(forker, TOOLS, lambda *_: "x" * 10_000_000) as guest:
        assert guest.run("len(echo(1))").value == 10_000_000


@pytest.mark.quiet
def test_call_costs_little(forker: Forker) -> None:
    code = (
        "import time\nadd(1)\ntook = []\n"
        "for _ in range(10):\n"
        "    start = time.process_time()\n"
        "    for n in range(200):\n        add(n, 1)\n"
        "    took.append((time.process_time() - start) / 200 * 1e6)\n"
        "min(took)"
    )
    # The minimum is about 60 µs of CPU time; other load on a shared machine may double it.
    assert run(forker, code).value < 120
