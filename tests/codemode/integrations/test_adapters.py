"""Promises of the adapters, each tried with the real package of every framework."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User

from codemode import Codemode
from codemode.core.events import ExecutionCompleted, ProgressReported
from codemode.tools import tool_from_schema
from tests.codemode.integrations.agents import Agent, Call, code

# Names of parameters by which one of the frameworks passes something of its own to a tool.
NAMES_OF_FRAMEWORKS = (
    *("agent", "args", "arguments", "call", "callbacks", "cls", "config", "context", "ctx"),
    *("func", "function", "input", "input_stream", "kwargs", "name", "run_context", "run_manager"),
    *("runtime", "security_context", "self", "state", "store", "tool_call_id", "tool_context"),
    *("tool_input", "tool_name", "type"),
)


def needs_the_callers_thread(agent: Agent) -> None:
    if agent.own_threads:
        pytest.skip("runs tools in threads of its own, as test_crewai.py shows")


def test_code_and_plain_tools_run_and_are_read(agent: Agent, shop: Codemode) -> None:
    get = agent.plain("orders.get")
    program = code("print('two')\n2 * orders.get(7)['total']")
    seen = asyncio.run(agent.run(shop, program, Call(get, {"order_id": 7})))
    assert seen.texts == ["Output:\ntwo\n\nResult:\n80", '{"id": 7, "total": 40}']
    assert seen.failed in ([None] * 2, [False] * 2)
    assert "def get(order_id: int) -> dict" in seen.offered["execute_code"]
    assert seen.offered[get] == "Return an order."


def test_pictures_are_seen_where_the_framework_takes_them(agent: Agent, shop: Codemode) -> None:
    png, gif = b"\x89PNG\r\n\x1a\n", b"GIF89a"
    files = {"a.png": png, "b.svg": b"<svg/>", "c": gif, "large.png": png}
    program = code(
        f"for name, data in {files!r}.items():\n"
        "    data += bytes(3_750_000 if name == 'large.png' else 0)\n"
        "    open(name, 'wb').write(data)\n    artifact(name)\n7"
    )
    seen = asyncio.run(agent.run(shop, program, code("open('a', 'w').write('x'); artifact('a')")))
    drawn, plain = seen.texts
    assert drawn.startswith("Result:\n7\n\nArtifacts:\n- a.png (image/png, 8 bytes)\n- b.svg")
    assert plain == "Artifact: a (1 byte)"
    assert seen.pictures == ([png, gif] if agent.pictures else [])


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


def test_arguments_may_have_any_name_that_the_framework_uses(agent: Agent, shop: Codemode) -> None:
    for name in NAMES_OF_FRAMEWORKS:
        schema = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
        shop.registry.register_tool(
            None, tool_from_schema(f"echo_{name}", schema, lambda **given: ",".join(given.values()))
        )
    calls = [Call(f"echo_{name}", {name: f"my {name}"}) for name in NAMES_OF_FRAMEWORKS]
    seen = asyncio.run(agent.run(shop, *calls))
    assert seen.texts == [f"my {name}" for name in NAMES_OF_FRAMEWORKS]


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


def test_a_shared_tool_is_described_for_each_request(agent: Agent, shop: Codemode) -> None:
    if not agent.per_request:
        pytest.skip("describes a tool once, when it is made")

    async def as_user(shared: Any, *rights: str) -> Any:
        with shop.registry.context(rights=rights):
            program = code("orders.refund(7)")
            return await agent.run(shop, program, tools=shared, per_request=True)

    async def both_at_once() -> list[Any]:
        shared = await agent.tools(shop)
        shop.registry.register_tool("later", lambda: 1)
        return await asyncio.gather(as_user(shared, "refund"), as_user(shared))

    allowed, refused = asyncio.run(both_at_once())
    assert allowed.texts == ["refunded 7"]
    assert "not permitted" in refused.texts[0]
    described = [one.offered["execute_code"] for one in (allowed, refused)]
    assert ["refund(" in one for one in described] == [True, False]
    assert ["def later(" in one for one in described] == [True, True]


def test_sync_code_makes_the_same_tools_by_name(agent: Agent, shop: Codemode) -> None:
    shop.registry.register_tool("lines", lambda: "x" * 500)
    tools = agent.tools_of_sync_code(shop, ["lines"], max_chars=200)
    calls = (code("lines()"), Call("lines", {}))
    seen = asyncio.run(agent.run(shop, *calls, tools=tools))
    assert seen.offered.keys() == {"execute_code", "lines"}
    assert "def get(order_id: int) -> dict" in seen.offered["execute_code"]
    assert [len(text) <= 200 and text.startswith("xxx") for text in seen.texts] == [True, True]


def test_users_at_once_keep_their_own_context(agent: Agent, shop: Codemode) -> None:
    async def as_tenant(name: str) -> None:
        with shop.registry.context(tenant_id=name):
            seen = await agent.run(shop, code("whoami()"), Call("whoami", {}))
        assert [text.partition(" ")[0] for text in seen.texts] == [name, name]

    async def all_at_once() -> None:
        await asyncio.gather(*(as_tenant(f"tenant{number}") for number in range(8)))

    asyncio.run(all_at_once())


@pytest.mark.django_db
def test_tools_see_the_rows_of_a_sync_callers_transaction(agent: Agent, shop: Codemode) -> None:
    needs_the_callers_thread(agent)
    shop.registry.register_tool("clerks", lambda: list(User.objects.values_list("username")))
    User.objects.create_user("ann")
    seen = async_to_sync(agent.run)(shop, code("clerks()"), Call("clerks", {}))
    assert seen.texts == ['[["ann"]]'] * 2


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
            per_request=True,
            context=context,
        )
    )
    first, second, third = seen.texts
    assert first.startswith("shop in ")
    assert second == "refunded 7"
    assert third.startswith("shop in ")
    assert ("refund(" in seen.offered["execute_code"]) == agent.per_request
