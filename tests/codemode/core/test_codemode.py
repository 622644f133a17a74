"""The facade returns a model's text, and takes inputs, tools and values as promised."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import json
import pickle
import threading
import time
import uuid
from typing import Any

import pytest

from codemode import (
    ClientClosedError,
    ClientConfig,
    Codemode,
    ComponentRegistry,
    ConfigurationError,
    ExecutionError,
    ExecutorClient,
    ValueEncodingError,
)
from codemode.core.events import ExecutionCompleted
from tests.support.halves import Half
from tests.support.processes import ExecutorProcess


@pytest.mark.parametrize(
    "code, text",
    [
        ("'as it is'", "as it is"),
        ("None", "null"),
        ("x = 1", "null"),
        ("{'a': [1, 2.5, True]}", '{"a": [1, 2.5, true]}'),
        ("from decimal import Decimal\nDecimal('1.10')", '"1.10"'),
        ("import datetime\ndatetime.date(2026, 1, 2)", '"2026-01-02"'),
        ("float('nan')", "null"),
        ("{3}", "[3]"),
        ("result = 'first'\n'last'", "first"),
        ("def f():\n    global result\n    result = 'from f'\nf()", "from f"),
        ("print('only printed')", "only printed\n"),
        ("print('printed')\n1", "Output:\nprinted\n\nResult:\n1"),
    ],
)
def test_execute_returns_text_for_a_model(codemode: Codemode, code: str, text: str) -> None:
    got = codemode.execute(code)
    assert got == text or json.loads(got) == json.loads(text)
    assert got == codemode.run(code).for_model()
    assert asyncio.run(codemode.execute_async(code)) == got


def test_execute_raises_what_a_model_should_read(shop: Codemode) -> None:
    code = "print('hi')\norders.get(1)\ndef pay():\n    return 1/0\npay()"
    text = """\
Failed: ZeroDivisionError: division by zero
Line 4: return 1/0

Traceback:
  File "<code>", line 5, in <module>
    pay()
  File "<code>", line 4, in pay
    return 1/0

Called before it failed (a completed call has happened: do not repeat it blindly):
orders.get(order_id=1) -> completed

Output:
hi"""
    with pytest.raises(ExecutionError) as caught:
        shop.execute(code)
    assert str(caught.value) == text == caught.value.result.for_model()
    assert str(pickle.loads(pickle.dumps(caught.value))) == text
    with pytest.raises(ExecutionError) as caught:
        asyncio.run(shop.execute_async(code))
    assert str(caught.value) == text


async def test_hints_of_a_run_are_in_its_result_events_and_text(codemode: Codemode) -> None:
    async def send(to: str) -> None:
        """Send."""

    codemode.registry.register_tool("mail.send", send)
    hint = (
        "mail.send(...) on line 1 was called but never awaited, so it has not run; "
        "write await mail.send(...)"
    )
    code = "mail = mail.send('ann')\n'sent'"
    *_, last = [event async for event in codemode.stream(code)]
    assert isinstance(last, ExecutionCompleted)
    assert last.result.hints == (hint,)
    result = await codemode.run_async(code)
    assert (result.status, result.hints, result.stderr) == ("completed", (hint,), "")
    assert await codemode.execute_async(code) == f"Result:\nsent\n\nHint: {hint}"


VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**400,
    -(2**64),
    1.5,
    float("inf"),
    "",
    "naïve 漢字 😀\0\n",
    b"\x00\xff",
    [],
    [1, [2, [3]]],
    {},
    {1: "a", "b": 2, None: 3, False: 4, 2.5: 5},
    {1, 2},
    decimal.Decimal("1.10"),
    decimal.Decimal("Infinity"),
    datetime.date(2026, 2, 28),
    datetime.datetime(2026, 2, 28, 12, 30, 1, 5),
    datetime.datetime(2026, 2, 28, 12, 30, tzinfo=datetime.UTC),
    datetime.time(1, 2, 3),
    datetime.timedelta(days=-1, microseconds=7),
    uuid.UUID("12345678123456781234567812345678"),
]


def test_values_survive_the_round_trip(codemode: Codemode, half: Half) -> None:
    codemode.registry.register_tool("echo", lambda value: value)
    code = "[(echo(value), type(value).__name__) for value in values]"
    result = half.run(codemode, code, inputs={"values": VALUES})
    assert result.ok, result.error
    assert [value for value, _ in result.value] == VALUES
    assert [name for _, name in result.value] == [type(value).__name__ for value in VALUES]
    assert [call.arguments["value"] for call in result.tool_calls] == VALUES


def test_large_values_travel_both_ways(codemode: Codemode, half: Half) -> None:
    big = "x" * 5_000_000 + "é" * 2_500_000
    codemode.registry.register_tool("echo", lambda text: text)
    result = half.run(codemode, "back = echo(text)\nresult = back", inputs={"text": big})
    assert result.ok, result.error
    assert result.value == big


@pytest.mark.parametrize("size", [1024 * 1024 + delta for delta in (-9, -6, -5, -1, 0, 1)])
def test_values_at_the_size_of_a_message_travel(codemode: Codemode, size: int) -> None:
    codemode.registry.register_tool("echo", lambda data: data)
    data = bytes(size)
    assert codemode.run("echo(data)", inputs={"data": data}).value == data


def test_large_inputs_of_a_session_travel(codemode: Codemode) -> None:
    with codemode.session() as session:
        for number in range(2):
            data = bytes([number]) * 3_000_000
            assert session.run("data", inputs={"data": data}).value == data


def test_inputs_are_globals_of_the_code(codemode: Codemode, half: Half) -> None:
    code = "def f(): return price * count\nf()"
    assert half.run(codemode, code, inputs={"price": 3, "count": 4}).value == 12


@pytest.mark.parametrize("name", ["", "1a", "a b", "class", "__builtins__", "a.b"])
def test_input_that_is_not_a_variable_is_refused(codemode: Codemode, half: Half, name: str) -> None:
    with pytest.raises(ConfigurationError, match="inputs has the name"):
        half.run(codemode, "1", inputs={name: 1})


def test_input_that_cannot_travel_is_named(codemode: Codemode, half: Half) -> None:
    with pytest.raises(ValueEncodingError, match=r"inputs\['order'\]\['lines'\]\[1\]"):
        half.run(codemode, "1", inputs={"order": {"lines": [1, object()]}})


@pytest.fixture
def shop(codemode: Codemode) -> Codemode:
    codemode.registry.register_tool("add", lambda a, b: a + b)
    codemode.registry.register_tool("orders.get", lambda order_id: {"id": order_id})
    return codemode


def test_all_tools_are_available_by_default(shop: Codemode, half: Half) -> None:
    assert half.run(shop, "add(1, 2), orders.get(7)").value == (3, {"id": 7})
    assert half.run(shop, "add(1, 2)", available_tools=None).value == 3


def test_no_tools_are_available_with_an_empty_list(shop: Codemode, half: Half) -> None:
    for code in ("add(1, 2)", "tools['add'].run(a=1, b=2)", "orders.get(1)"):
        result = half.run(shop, code, available_tools=[])
        assert result.status == "failed"
        assert result.tool_calls == ()


def test_listed_tools_alone_are_available(shop: Codemode, half: Half) -> None:
    assert half.run(shop, "add(1, 2)", available_tools=["add"]).value == 3
    assert half.run(shop, "orders.get(1)", available_tools=["add"]).status == "failed"


def test_unknown_tool_in_the_list_is_refused(shop: Codemode, half: Half) -> None:
    with pytest.raises(ValueError, match=r"'ad'.*add"):
        half.run(shop, "1", available_tools=["ad"])


def test_unicode_travels_everywhere(codemode: Codemode, half: Half) -> None:
    codemode.registry.register_tool("grüße", lambda wen: f"Grüße, {wen} 😀")
    code = "übrig = grüße(wen='漢字')\nprint(übrig)\nübrig"
    result = half.run(codemode, code)
    assert result.value == "Grüße, 漢字 😀"
    assert result.stdout == "Grüße, 漢字 😀\n"


def test_execution_error_can_be_pickled(codemode: Codemode) -> None:
    with pytest.raises(ExecutionError) as caught:
        codemode.execute("1/0")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.result == caught.value.result


def test_usage_reports_what_the_run_took(codemode: Codemode, half: Half) -> None:
    codemode.registry.register_tool("add", lambda a, b: a + b)
    code = (
        "import time\nadd(1, 2)\nprint('x' * 99)\ntime.sleep(0.1)\n"
        "end = time.process_time() + 0.1\nwhile time.process_time() < end: pass"
    )
    began = time.monotonic()
    usage = half.run(codemode, code).usage
    assert 0.2 <= usage.wall_seconds <= time.monotonic() - began
    assert 0.09 <= usage.cpu_seconds < 2
    assert usage.output_bytes == 100
    assert usage.tool_calls == 1
    assert usage.max_rss_bytes > 1_000_000


async def test_both_kinds_of_with_blocks_close_the_client(executor: ExecutorProcess) -> None:
    config = ClientConfig(executor_url=executor.url)
    async with Codemode.from_client_config(config) as one:
        assert await one.execute_async("1") == "1"
    with Codemode.from_client_config(config) as other:
        assert await other.execute_async("1") == "1"
    for facade in (one, other):
        with pytest.raises(Exception, match="Client has been closed"):
            await facade.execute_async("1")


def test_registry_may_be_shared_by_clients(executor: ExecutorProcess) -> None:
    registry = ComponentRegistry()
    registry.register_tool("add", lambda a, b: a + b)
    config = ClientConfig(executor_url=executor.url)
    with (
        Codemode.from_client_config(config, registry=registry) as one,
        Codemode(ExecutorClient(executor.url), registry) as other,
    ):
        assert one.registry is other.registry is registry
        assert one.execute("add(1, 2)") == other.execute("add(1, 2)") == "3"


def test_facades_that_share_a_client_keep_their_tools(
    executor: ExecutorProcess, half: Half
) -> None:
    """Other facades of the same client do not change which tools an execution may call."""
    registries = {name: ComponentRegistry() for name in ("acme", "zoo")}
    for name, registry in registries.items():
        registry.register_tool("whose", lambda name=name: name)
    with ExecutorClient(executor.url) as client:
        facades = {name: Codemode(client, registry) for name, registry in registries.items()}
        assert {name: half.run(one, "whose()").value for name, one in facades.items()} == {
            "acme": "acme",
            "zoo": "zoo",
        }
        with facades["acme"].session() as session:
            assert session.run("whose()").value == "acme"
        assert client.execute("list(tools)").value == []
        assert all(one.registry is registries[name] for name, one in facades.items())
    for facade in facades.values():
        with pytest.raises(ClientClosedError):
            facade.run("1")


def test_tools_may_be_registered_while_others_run(codemode: Codemode) -> None:
    stopping = threading.Event()

    def register() -> None:
        number = 0
        while not stopping.is_set() and number < 500:
            codemode.registry.register_tool(f"tool_{number}", lambda: 1)
            number += 1

    thread = threading.Thread(target=register)
    thread.start()
    try:
        for _ in range(10):
            assert codemode.run("len(list(tools))").ok
    finally:
        stopping.set()
        thread.join()
