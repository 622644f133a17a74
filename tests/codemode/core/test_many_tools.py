"""With 2,000 tools the code finds and calls each of them, as with few."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from codemode import ClientConfig, Codemode, ComponentRegistry, ExecutionResult, Recording, tool
from codemode.core._link.request import Peer, RunRequest, SandboxRequest
from codemode.protos import codemode_pb2 as pb
from codemode.values import decode
from codemode.wire.constants import MOST_LOOKUPS
from codemode.wire.protobuf import TOOL_NAMES
from tests.support.halves import Half
from tests.support.processes import ExecutorProcess
from tests.support.scripted_executor import DONE, STARTED, scripted
from tests.support.tool_sets import many


@tool(permission="nobody has it")
def secret_door(key: str) -> str:
    """Open the secret door."""
    return key


@pytest.fixture(scope="module")
def registry() -> ComponentRegistry:
    registry = ComponentRegistry()
    many.register_many(registry)
    registry.register_tool("castle.secret_door", secret_door)
    return registry


@pytest.fixture(scope="module")
def crowded(executor: ExecutorProcess, registry: ComponentRegistry) -> Iterator[Codemode]:
    """Give a facade with many tools, which has learned what its executor accepts."""
    config = ClientConfig(executor_url=executor.url)
    with Codemode.from_client_config(config, registry=registry) as facade:
        facade.run("1")
        assert TOOL_NAMES in facade.client._connection.peer.features
        yield facade


def value(result: ExecutionResult) -> Any:
    assert result.ok, result.error
    return result.value


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("orders.refund(7)", "orders.refund"),
        ("refund_order(7, cents=5)", "refund_order"),
        ("(await github.issue.get('5'))['issue_id']", "5"),
        # None of these is mentioned in the code.
        ("(await getattr(github.issue, 'g' 'et')('5'))['issue_id']", "5"),
        ("getattr(orders, 're' 'fund')(7)", "orders.refund"),
        ("tools['refund_' 'order'].run(7, 5)", "refund_order"),
        ("tools['slack.message.' 'pin'].asynchronous", True),
        ("len(tools), 'github.issue.get' in tools, 'github.nope' in tools", [2000, True, False]),
        ("'close' in dir(github.issue), 'issue' in dir(github)", [True, True]),
        ("len({tools[name].signature for name in tools})", 2000),
        (
            "import inspect\nstr(inspect.signature(orders.get))",
            "(order_id: int) -> dict[str, object]",
        ),
        ("github = 5\ngithub", 5),
    ],
)
def test_each_tool_is_there(half: Half, crowded: Codemode, code: str, expected: Any) -> None:
    found = value(half.run(crowded, code))
    assert (list(found) if isinstance(found, tuple) else found) == expected


def test_a_search_is_no_tool_call(half: Half, crowded: Codemode) -> None:
    code = "found = tools.search('pay money back to a client', limit=1)\n[found, found[0].name]"
    result = half.run(crowded, code)
    found, name = value(result)
    assert name == found[0]["name"] == "orders.refund"
    assert {"orders.get", "orders.cancel"} < {one["name"] for one in found}
    assert result.tool_calls == ()
    assert result.usage.tool_calls == 0


def test_a_search_is_there_where_no_tool_call_is_left(half: Half, crowded: Codemode) -> None:
    code = "orders.get(1)\nlen(tools.search('refund', 1)) > 1"
    with crowded.session() as session:  # the limit is of the client
        assert value(session.run(code)) is True
    client = crowded.client
    assert client.execute(code, config={"max_tool_calls": 1}).value is True


def test_hidden_tools_are_neither_found_nor_listed(half: Half, crowded: Codemode) -> None:
    code = """
import io, contextlib
with contextlib.redirect_stdout(io.StringIO()) as printed:
    help()
    print(tools, dir(castle))
found = [one.name for one in tools.search("open the secret door of the castle", limit=50)]
try:
    castle.secret_door("k")
except PermissionError as error:
    refused = str(error)
[[name for name in found if "castle" in name], "secret" in printed.getvalue(), refused]
"""
    found, printed, refused = value(half.run(crowded, code))
    assert found == []
    assert printed is False
    assert "castle.secret_door is not permitted" in refused


def test_unknown_names_get_near_ones(crowded: Codemode) -> None:
    result = crowded.run("github.isue.get(1)")
    assert result.error is not None
    assert "github.issue" in result.error.message
    result = crowded.run("refund_ordr(1)")
    assert result.error is not None
    assert "refund_order(order_id: int, cents: int)" in result.error.message


def test_later_runs_of_a_session_use_other_tools(crowded: Codemode) -> None:
    with crowded.session() as session:
        assert value(session.run("orders.get(1)")) == "orders.get"
        assert value(session.run("[orders.refund(1), fuel_log('p', 1, 2)]")) == [
            "orders.refund",
            "fuel_log",
        ]
        assert value(session.run("github = 5")) is None
        assert value(session.run("github")) == 5

    async def act() -> Any:
        async with crowded.session() as session:
            await session.run_async("1")
            return value(await session.run_async("(await jira.ticket.get('5'))['ticket_id']"))

    assert asyncio.run(act()) == "5"


def test_threads_and_tasks_use_tools_for_the_first_time_at_once(crowded: Codemode) -> None:
    code = """
import asyncio
from concurrent.futures import ThreadPoolExecutor
names = [name for name in tools if name.endswith(".get")][:40]
with ThreadPoolExecutor(8) as pool:
    signatures = list(pool.map(lambda name: tools[name].signature, names))
async def get(name):
    return tools[name].signature
tasks = await asyncio.gather(*(get(name) for name in names))
signatures == tasks and len(set(signatures)) == 40
"""
    assert value(crowded.run(code)) is True


def test_a_tool_is_there_where_no_answer_has_room_for_its_neighbours(crowded: Codemode) -> None:
    code = "(await getattr(github.issue, 'g' 'et')('5'))['issue_id']"
    small = {"max_value_bytes": 600}
    assert crowded.client.execute(code, config=small).value == "5"
    result = crowded.client.execute("tools.search('github', 50)", config=small)
    assert result.error is not None
    assert "ask for fewer" in result.error.message


def test_endless_searching_ends_the_run(half: Half, crowded: Codemode) -> None:
    result = half.run(crowded, "while True: tools.search('x')")
    assert result.status == "limit"
    assert result.error is not None
    assert result.error.type == "SearchLimit"
    assert f"more than {MOST_LOOKUPS} times" in result.error.message


def test_the_specs_that_code_mentions_go_with_it(registry: ComponentRegistry) -> None:
    tools = registry.tools
    listing = registry.listing(tools, registry.visible(tools, None))

    def opening(code: str, *features: str) -> pb.Open:
        request = SandboxRequest(
            limits=Codemode().client.limits, listing=listing, peer=Peer(features)
        )
        run = RunRequest(code=code, execution_timeout=1)
        return request.messages(run)[-1].open

    few = opening("orders.get(1)", TOOL_NAMES)
    assert [spec.name for spec in few.tools] == ["orders.get"]
    assert few.tool_names.count("\n") == 2001
    assert few.tool_names.endswith("\n\ncastle.secret_door")
    older = opening("orders.get(1)")
    assert len(older.tools) == 2001
    assert older.tool_names == ""


def test_a_recorded_run_asks_for_tools_before_its_executor_is_known_as_after_that(
    executor: ExecutorProcess, registry: ComponentRegistry, half: Half
) -> None:
    recording, config = Recording(), ClientConfig(executor_url=executor.url)
    code = "getattr(orders, 're' 'fund')(7)"  # not mentioned
    with Codemode.from_client_config(config, registry=registry) as facade:
        assert not facade.client._connection.peer.features
        results = [half.run(facade, code, recording=recording) for _ in range(2)]
    assert [value(result) for result in results] == ["orders.refund"] * 2


def test_an_older_executor_gets_all_specs_again_and_again(registry: ComponentRegistry) -> None:
    def script(_: Any) -> Iterator[Any]:
        yield STARTED
        yield DONE

    with scripted(script) as (codemode, executor):
        facade = Codemode(codemode.client, registry)
        assert decode(DONE.completed.value) == facade.run("1").value == facade.run("1").value
    assert [len(one.tools) for one in executor.openings] == [2001, 2001]
    assert {one.tool_names for one in executor.openings} == {""}
