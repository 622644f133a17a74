"""Promises of what the adapters have in common, which need none of the frameworks."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from codemode import ClientConfig, Codemode, ExecutionResult
from codemode.errors import ConfigurationError, ExecutorBusyError
from codemode.integrations._direct_calls import DirectCalls
from codemode.integrations._framework_tools import CodeExecution
from tests.support.processes import ExecutorProcess


def test_options_that_are_wrong_are_named(shop: Codemode) -> None:
    with pytest.raises(ConfigurationError, match="name='execute code'; expected up to 64 letters"):
        CodeExecution(shop, name="execute code")
    with pytest.raises(ConfigurationError, match="'timeout' is not an option; there are: avail"):
        CodeExecution(shop, timeout=5)  # type: ignore[call-arg]
    # Of frameworks that have no context of their own.
    with pytest.raises(ConfigurationError, match="'context' is not an option; there are: avail"):
        CodeExecution(shop, context=dict)  # type: ignore[call-arg]
    with pytest.raises(
        ConfigurationError, match="'name' is not an option; there are: execution_timeout, max_char"
    ):
        DirectCalls(shop, name="orders")  # type: ignore[call-arg]
    shop.registry.register_tool("orders_get", lambda: 1)
    with pytest.raises(ConfigurationError, match="'orders.get' and 'orders_get' would both be"):
        DirectCalls(shop).tools()
    dotted = DirectCalls(shop).tools(["orders.get", "orders_get"], dotted=True)
    assert [one.name for one in dotted] == ["orders.get", "orders_get"]


def test_a_context_that_is_no_mapping_is_named(shop: Codemode) -> None:
    execution = CodeExecution(shop, lambda ctx: ctx)
    with pytest.raises(ConfigurationError, match="context returned a str; expected a mapping"):
        asyncio.run(execution.execute("1", "ann"))


@pytest.mark.parametrize(
    "arguments, text",
    [
        ('{"code": "1 +', "The arguments are not JSON: Unterminated string"),
        ("[" * 100_000, "The arguments are not JSON: "),
        ("6 * 7", "The arguments are not JSON: Extra data"),
        ('{"program": "6 * 7"}', 'The arguments have no code; send {"code": "…"}'),
        ('"6 * 7"', "The arguments have no code"),
        ('{"code": 42}', "code is a int; send a program"),
    ],
)
def test_a_model_learns_what_is_wrong_with_its_arguments(
    shop: Codemode, arguments: str, text: str
) -> None:
    answer = asyncio.run(CodeExecution(shop).execute_arguments(arguments))
    assert answer.failed
    assert answer.text.startswith(text)
    if "not JSON" in text:
        (direct,) = DirectCalls(shop).tools(["orders.get"])
        assert asyncio.run(direct.call(arguments)) == answer


def test_options_reach_the_run(shop: Codemode) -> None:
    execution = CodeExecution(
        shop,
        description="Run.",
        available_tools=["fail"],
        execution_timeout=0.5,
        max_chars=300,
    )
    assert execution.describe() == "Run."
    assert "orders" in asyncio.run(execution.execute("orders.get(7)")).text
    assert asyncio.run(execution.execute("'x' * 5000")).text.startswith("xxx")
    assert len(asyncio.run(execution.execute("'x' * 5000")).text) <= 300
    assert asyncio.run(execution.execute("while True: pass")).text.startswith("Timed out")
    with pytest.raises(ConfigurationError, match="max_tokens=5 is too few"):
        CodeExecution(shop, max_tokens=5).describe()
    unknown = asyncio.run(CodeExecution(shop, profile="science").execute("1"))
    assert unknown.text.startswith("The code cannot be executed at the moment")


def test_options_reach_a_direct_call(shop: Codemode) -> None:
    async def wait() -> None:
        await asyncio.sleep(60)

    shop.registry.register_tool("wait", wait)
    (direct,) = DirectCalls(shop, execution_timeout=0.1).tools(["wait"])
    answer = asyncio.run(direct.call({}))
    assert answer.failed
    assert answer.text == "wait took longer than execution_timeout=0.1 s; it was cancelled"


def test_the_text_of_a_large_outcome_is_written_beside_the_event_loop(
    shop: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    for_model = ExecutionResult.for_model

    def noted(result: ExecutionResult, max_chars: int) -> str:
        threads.append(threading.get_ident())
        return for_model(result, max_chars)

    monkeypatch.setattr(ExecutionResult, "for_model", noted)
    shop.registry.register_tool("numbers", lambda: set(range(20_000)))

    async def all_of_them() -> None:
        execution = CodeExecution(shop)
        for program in ("6 * 7", "numbers()", "1 << 600_000", "1 / 0"):
            await execution.execute(program)
        (direct,) = DirectCalls(shop).tools(["numbers"])
        await direct.call({})

    asyncio.run(all_of_them())
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [True, False, False, False, False]


def test_a_busy_executor_is_a_text_that_says_when_to_try_again(shop: Codemode) -> None:
    class Busy(Codemode):
        async def run_async(self, *_: Any, **__: Any) -> Any:
            raise ExecutorBusyError("busy", retry_after=4.0)

    with Busy(shop.client, shop.registry) as busy:
        answer = asyncio.run(CodeExecution(busy).execute("1"))
    assert answer.text == "No sandbox is free, so nothing has been executed. Try again in 4 s."


def test_an_executor_that_is_not_there_is_a_text_without_its_address() -> None:
    config = ClientConfig(executor_url="http://127.0.0.1:1", connect_timeout=0)
    with Codemode.from_client_config(config) as codemode:
        answer = asyncio.run(CodeExecution(codemode).execute("1"))
    assert answer.failed
    assert answer.text == "The code cannot be executed at the moment: nothing has been executed."


def test_a_run_whose_executor_is_lost_keeps_its_calls(own_executor: ExecutorProcess) -> None:
    config = ClientConfig(executor_url=own_executor.url, connect_timeout=0)
    with Codemode.from_client_config(config) as codemode:
        codemode.registry.register_tool("pay", lambda: "paid")
        codemode.registry.register_tool("end", own_executor.kill)
        answer = asyncio.run(CodeExecution(codemode).execute("pay()\nend()\nwhile True: pass"))
    assert answer.failed
    assert answer.text.startswith("Crashed: the executor was lost during the run\n\n")
    assert "\npay() -> completed\n" in answer.text
