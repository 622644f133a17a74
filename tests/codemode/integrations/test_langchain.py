"""Promises of the adapter of LangChain for sync calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.contrib.auth.models import User

from codemode import Codemode
from codemode.core._link import inside_loop
from codemode.core.events import ExecutionCompleted
from tests.support.frameworks import needs_frameworks


@pytest.fixture(autouse=True)
def frameworks() -> None:
    needs_frameworks("langchain")


def graph(codemode: Codemode, *calls: tuple[str, dict[str, Any]], **options: Any) -> Any:
    """Return an agent whose model makes the given calls."""
    from langchain.agents import create_agent
    from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
    from langchain_core.messages import AIMessage

    from codemode.integrations.langchain import code_tool, describe_per_request, plain_tools

    class Fake(FakeMessagesListChatModel):
        def bind_tools(self, tools: Any, **_options: Any) -> Any:
            offered.update({one.name: one.description for one in tools})
            return self

    offered: dict[str, str] = {}
    made = [
        {"name": name, "args": arguments, "id": str(number)}
        for number, (name, arguments) in enumerate(calls)
    ]
    model = Fake(responses=[AIMessage(content="", tool_calls=made), AIMessage(content="done")])
    agent = create_agent(
        model,
        [code_tool(codemode, **options), *plain_tools(codemode, **options)],
        context_schema=dict,
        middleware=[describe_per_request()],
    )
    return agent, offered


def texts(state: Any) -> list[tuple[str, str]]:
    """Return what the model reads of its calls."""
    return [(one.status, one.content) for one in state["messages"] if one.type == "tool"]


QUESTION = {"messages": [("user", "hello")]}


def invoke(codemode: Codemode, *calls: tuple[str, dict[str, Any]]) -> list[tuple[str, str]]:
    return texts(graph(codemode, *calls)[0].invoke(QUESTION, context={}))


CALLS = (
    ("execute_code", {"code": "orders.get(7)['total']"}),
    ("orders_get", {"order_id": 7}),
    ("execute_code", {"code": "1 / 0"}),
    ("fail", {}),
)


def check(seen: Sequence[tuple[str, str]]) -> None:
    assert [status for status, _ in seen] == ["success", "success", "error", "error"]
    assert [text for _, text in seen[:2]] == ["40", '{"id": 7, "total": 40}']
    assert seen[2][1].startswith("Failed: ZeroDivisionError")
    assert "the service is down" in seen[3][1]


def test_a_sync_call_of_a_graph_runs_code_and_plain_tools(shop: Codemode) -> None:
    check(invoke(shop, *CALLS))


def test_a_sync_call_of_a_graph_in_a_running_loop_works(
    shop: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> list[tuple[str, str]]:
        return invoke(shop, *CALLS)

    monkeypatch.setattr(inside_loop, "_warned_about_loop", False)
    with pytest.warns(RuntimeWarning, match=r"instructions\(\) was called inside a running event"):
        check(asyncio.run(main()))


def test_a_sync_call_of_a_graph_in_a_sync_view_under_asgi_works(shop: Codemode) -> None:
    """The thread for sync code waits for the graph meanwhile."""

    async def request() -> list[tuple[str, str]]:
        async with ThreadSensitiveContext():
            return await sync_to_async(invoke)(shop, *CALLS)

    check(asyncio.run(request()))


def test_a_sync_stream_has_the_events_context_and_description_of_its_request(
    shop: Codemode,
) -> None:
    agent, offered = graph(
        shop,
        ("execute_code", {"code": "whoami()"}),
        context=lambda runtime: {"tenant_id": runtime.context["tenant"], "rights": ["refund"]},
    )
    parts = list(
        agent.stream(QUESTION, context={"tenant": "acme"}, stream_mode=["custom", "values"])
    )
    events = [part["codemode"] for mode, part in parts if mode == "custom"]
    assert isinstance(events[-1], ExecutionCompleted)
    ((status, text),) = texts(parts[-1][1])
    assert (status, text.partition(" ")[0]) == ("success", "acme")
    assert "refund(" in offered["execute_code"]


def test_threads_of_a_sync_graph_close_what_tools_have_opened(shop: Codemode) -> None:
    closed: list[str] = []
    finalizers = shop.registry.extensions.thread_finalizers
    finalizers.append(lambda: closed.append(str(threading.get_ident())))
    seen = invoke(shop, ("execute_code", {"code": "whoami()"}), ("whoami", {}))
    assert {text.rpartition(" ")[2] for _, text in seen} <= set(closed)


@pytest.mark.django_db
def test_a_sync_call_of_a_tool_alone_stays_in_the_callers_transaction(shop: Codemode) -> None:
    from codemode.integrations.langchain import code_tool, plain_tools

    shop.registry.register_tool("clerks", lambda: list(User.objects.values_list("username")))
    User.objects.create_user("ann")
    (clerks,) = plain_tools(shop, ["clerks"])
    assert code_tool(shop).invoke({"code": "clerks()"}) == '[["ann"]]'
    assert clerks.invoke({}) == '[["ann"]]'


def test_a_sync_call_of_a_tool_alone_in_a_running_loop_runs_in_another_thread(
    shop: Codemode, recwarn: pytest.WarningsRecorder
) -> None:
    from codemode.integrations.langchain import plain_tools

    (whoami,) = plain_tools(shop, ["whoami"])

    async def main() -> str:
        text: str = whoami.invoke({})
        return text

    assert str(threading.get_ident()) not in asyncio.run(main())
    assert all("await ainvoke() instead" in str(one.message) for one in recwarn)
