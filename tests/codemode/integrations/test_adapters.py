"""Promises of the adapters, each tried with the real package of every framework."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User

from codemode import ClientConfig, Codemode, ToolError, get_current_context, tool
from codemode.core.events import ExecutionCompleted, ProgressReported
from codemode.errors import ConfigurationError, ExecutorBusyError
from codemode.integrations._framework_tools import CodeExecution, direct_tools
from tests.codemode.integrations.agents import Agent, Call, code
from tests.support.processes import ExecutorProcess


class Rights:
    """A permission checker: the context lists the permissions."""

    def allows(self, tool: Any, context: Any) -> bool:
        return tool.permission in context.get("rights", ())


@pytest.fixture
def shop(executor: ExecutorProcess) -> Iterator[Codemode]:
    """Yield a facade with the tools of a shop."""

    @tool(name="orders.get", effects="reads")
    def get(order_id: int) -> dict[str, Any]:
        """Return an order."""
        return {"id": order_id, "total": 40}

    @tool(name="orders.refund", permission="refund")
    def refund(order_id: int) -> str:
        """Pay an order back."""
        return f"refunded {order_id}"

    @tool
    def fail() -> None:
        """Fail."""
        raise ToolError("the service is down")

    @tool
    def whoami() -> str:
        """Return the tenant and the thread."""
        return f"{(get_current_context() or {}).get('tenant_id')} in {threading.get_ident()}"

    with Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as codemode:
        codemode.registry.permission_checker = Rights()
        for one in (get, refund, fail, whoami):
            codemode.registry.register_tool(None, one)
        yield codemode


def needs_the_callers_thread(agent: Agent) -> None:
    if agent.own_threads:
        pytest.skip("runs tools in threads of its own, as test_crewai.py shows")


def test_code_runs_with_tools_and_its_outcome_is_read(agent: Agent, shop: Codemode) -> None:
    seen = asyncio.run(agent.run(shop, code("print('two')\n2 * orders.get(7)['total']")))
    assert seen.texts == ["Output:\ntwo\n\nResult:\n80"]
    assert seen.failed in ([None], [False])
    assert "def get(order_id: int) -> dict" in seen.offered["execute_code"]


def test_failures_are_read_and_the_agent_goes_on(agent: Agent, shop: Codemode) -> None:
    calls = [
        code("1 / 0"),
        code("fail()"),
        Call("fail", {}),
        Call(agent.plain("orders.get"), {"order_id": "many"}),
    ]
    seen = asyncio.run(agent.run(shop, *calls))
    division, failed, plain, wrong = seen.texts
    assert division == "Failed: ZeroDivisionError: division by zero\nLine 1: 1 / 0"
    assert failed.startswith("Failed: ToolError: ")
    assert "the service is down" in failed
    assert plain == "fail: the service is down"
    assert wrong.startswith("argument 'order_id' must be a whole number (int), got 'many' (str)")
    assert seen.failed in ([None] * 4, [True] * 4)


def test_plain_tools_are_called_by_their_arguments(agent: Agent, shop: Codemode) -> None:
    seen = asyncio.run(agent.run(shop, Call(agent.plain("orders.get"), {"order_id": 7})))
    assert seen.texts == ['{"id": 7, "total": 40}']
    assert seen.offered[agent.plain("orders.get")] == "Return an order."


def test_a_tool_is_offered_and_run_by_permission(agent: Agent, shop: Codemode) -> None:
    refund = agent.plain("orders.refund")

    async def as_user(*rights: str) -> Any:
        with shop.registry.context(rights=rights):
            calls = [code("orders.refund(7)"), *([Call(refund, {"order_id": 7})] if rights else [])]
            return await agent.run(shop, *calls)

    allowed = asyncio.run(as_user("refund"))
    assert allowed.texts == ["refunded 7", "refunded 7"]
    assert "refund(" in allowed.offered["execute_code"]
    refused = asyncio.run(as_user())
    assert "orders.refund is not permitted for this caller" in refused.texts[0]
    assert refund not in refused.offered
    assert "refund" not in refused.offered["execute_code"]


def test_users_at_once_keep_their_own_context(agent: Agent, shop: Codemode) -> None:
    async def as_tenant(name: str) -> str:
        with shop.registry.context(tenant_id=name):
            seen = await agent.run(shop, code("whoami()"), Call("whoami", {}))
        assert [text.partition(" ")[0] for text in seen.texts] == [name, name]
        return name

    async def all_at_once() -> list[str]:
        names = [f"tenant{number}" for number in range(8)]
        return await asyncio.gather(*map(as_tenant, names))

    assert len(asyncio.run(all_at_once())) == 8


def test_tools_run_in_the_thread_of_a_sync_caller(agent: Agent, shop: Codemode) -> None:
    needs_the_callers_thread(agent)
    seen = async_to_sync(agent.run)(shop, code("whoami()"), Call("whoami", {}))
    assert {text.rpartition(" ")[2] for text in seen.texts} == {str(threading.get_ident())}


@pytest.mark.django_db
def test_tools_see_the_rows_of_the_callers_transaction(agent: Agent, shop: Codemode) -> None:
    needs_the_callers_thread(agent)
    shop.registry.register_tool("clerks", lambda: list(User.objects.values_list("username")))
    User.objects.create_user("ann")
    seen = async_to_sync(agent.run)(shop, code("clerks()"), Call("clerks", {}))
    assert seen.texts == ['[["ann"]]'] * 2


def test_options_that_are_wrong_are_named(shop: Codemode) -> None:
    with pytest.raises(ConfigurationError, match="name='execute code'; expected up to 64 letters"):
        CodeExecution(shop, name="execute code")
    with pytest.raises(ConfigurationError, match="'timeout' is not an option; there are: avail"):
        CodeExecution(shop, timeout=5)  # type: ignore[typeddict-item]
    shop.registry.register_tool("orders_get", lambda: 1)
    with pytest.raises(ConfigurationError, match="'orders.get' and 'orders_get' would both be"):
        direct_tools(shop)
    assert [one.name for one in direct_tools(shop, ["orders.get"], dotted=True)] == ["orders.get"]


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
        direct = direct_tools(shop, ["orders.get"])[0]
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
    fitted = CodeExecution(shop, max_tokens=500)
    assert len(fitted.describe()) < len(CodeExecution(shop).describe()) + 1
    with pytest.raises(ConfigurationError, match="max_tokens=5 is too few"):
        CodeExecution(shop, max_tokens=5).describe()
    unknown = asyncio.run(CodeExecution(shop, profile="science").execute("1"))
    assert unknown.text.startswith("The code cannot be executed at the moment")


def test_a_busy_executor_is_a_text_that_says_when_to_try_again(shop: Codemode) -> None:
    class Busy(Codemode):
        async def run_async(self, *_: Any, **__: Any) -> Any:
            raise ExecutorBusyError("busy", retry_after=4.0)

    with Busy(shop.client, shop.registry) as busy:
        answer = asyncio.run(CodeExecution(busy).execute("1"))
    assert answer.text == "No sandbox is free, so nothing has been executed. Try again in 4 s."


def test_a_run_whose_executor_is_lost_keeps_its_calls(own_executor: ExecutorProcess) -> None:
    config = ClientConfig(executor_url=own_executor.url, connect_timeout=0)
    with Codemode.from_client_config(config) as codemode:
        codemode.registry.register_tool("pay", lambda: "paid")
        codemode.registry.register_tool("end", own_executor.kill)
        answer = asyncio.run(CodeExecution(codemode).execute("pay()\nend()\nwhile True: pass"))
    assert answer.failed
    assert answer.text.startswith("Crashed: the executor was lost during the run\n\n")
    assert "\npay() -> completed\n" in answer.text


def test_cancelling_the_agent_ends_the_run_and_its_tool(agent: Agent, shop: Codemode) -> None:
    needs_the_callers_thread(agent)

    async def cancelled() -> list[str]:
        begun, ended = asyncio.Event(), []

        async def wait() -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        shop.registry.register_tool("wait", wait)
        task = asyncio.create_task(agent.run(shop, code("await wait()")))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            while not ended:
                await asyncio.sleep(0.01)
        return ended

    assert asyncio.run(cancelled()) == ["cancelled"]


def test_an_executor_that_is_not_there_is_a_text_without_its_address(agent: Agent) -> None:
    config = ClientConfig(executor_url="http://127.0.0.1:1", connect_timeout=0)
    with Codemode.from_client_config(config) as codemode:
        seen = asyncio.run(agent.run(codemode, code("1")))
    assert seen.texts == ["The code cannot be executed at the moment: nothing has been executed."]


def test_events_reach_the_listener_and_the_channel_of_the_framework(
    agent: Agent, shop: Codemode
) -> None:
    heard: list[Any] = []
    program = code("progress(1, 2, 'half')\n5")
    seen = asyncio.run(agent.run(shop, program, on_event=heard.append))
    assert seen.texts == ["5"]
    assert ProgressReported(done=1.0, total=2.0, note="half") in heard
    assert isinstance(heard[-1], ExecutionCompleted)
    match agent.module:
        case "pydantic_ai" | "langchain":
            assert seen.events == heard
        case "fastmcp":
            assert seen.events == [(1.0, 2.0, "half")]


def test_the_frameworks_own_context_makes_that_of_the_tools(agent: Agent, shop: Codemode) -> None:
    if not agent.takes_context:
        pytest.skip("has no context of its own")

    def context(of: Any) -> dict[str, Any]:
        found = {
            "openai_agents": lambda: of.context,
            "pydantic_ai": lambda: of.deps,
            "langchain": lambda: of.context,
            "fastmcp": lambda: {"tenant": of.fastmcp.name},
            "google_adk": lambda: of.state,
        }
        return {"tenant_id": found[agent.module]()["tenant"], "rights": ["refund"]}

    seen = asyncio.run(
        agent.run(
            shop,
            *(code("whoami()"), code("orders.refund(7)"), Call("whoami", {})),
            user={"tenant": "shop"},
            context=context,
        )
    )
    first, second, third = seen.texts
    assert first.startswith("shop in ")
    assert second == "refunded 7"
    assert third.startswith("shop in ")
