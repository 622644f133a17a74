"""Questions about tools are answered within bounds, and are no tool calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from codemode.core import ComponentRegistry
from codemode.core.context import RuntimeContext, get_current_context, get_current_execution
from codemode.core.hooks import ToolOutcome
from codemode.errors import ConfigurationError
from codemode.tools import tool
from codemode.tools.tool import Tool
from codemode.values import encode
from codemode.wire.constants import DESCRIBE, MOST_LOOKUPS, SEARCH
from tests.codemode.core._dispatch.dispatch_host import Hook, Host, add, failure_of, value_of


@tool(permission="secret")
def secret_sum(a: int) -> int:
    """Add secrets."""
    return a


async def slow_sum(a: int) -> int:
    """Add slowly."""
    return a


class Asker:
    """A run of a host, whose code asks about tools."""

    def __init__(self, name: str = "sync", **settings: Any) -> None:
        self.host = Host(add=add, vault__sum=secret_sum, slow__sum=slow_sum)
        self.name = name
        registry = self.host.registry
        context = RuntimeContext({"tenant": "acme"})
        listed = registry.visible(registry.tools, context)
        settings = {"listed": listed, "runtime_context": context, **settings}
        self.dispatcher = self.host.dispatcher(**settings)

    def ask(self, name: str, arguments: Any) -> ToolOutcome:
        data = encode(arguments)
        if self.name == "sync":
            return self.dispatcher.look_up(name, data)

        async def ask() -> ToolOutcome:
            return await asyncio.create_task(
                self.dispatcher.look_up_in_async_half(name, data),
                context=self.dispatcher.context_of_lookup(name),
            )

        return asyncio.run(ask())

    def found(self, text: str, limit: int = 5) -> list[str]:
        answer = value_of(self.ask(SEARCH, {"text": text, "limit": limit}))
        return [one["name"] for one in answer]


@pytest.fixture(params=["sync", "async"])
def asker(request: pytest.FixtureRequest) -> Asker:
    return Asker(request.param)


def test_a_search_gives_records_and_leaves_none(asker: Asker) -> None:
    log: list[Any] = []
    asker.host.registry.add_hook(Hook("a", log))
    assert value_of(asker.ask(SEARCH, {"text": "slow sums"})) == [
        {
            "name": "slow.sum",
            "signature": "await slow.sum(a: int) -> int",
            "description": "Add slowly.",
        }
    ]
    assert asker.host.outcomes == []
    assert log == []


def test_what_is_not_permitted_is_not_found_and_has_only_a_name(asker: Asker) -> None:
    assert asker.found("secret vault sum", limit=50) == ["slow.sum"]
    hidden, shown = value_of(asker.ask(DESCRIBE, {"names": ["vault.sum", "add", "none"]}))
    assert hidden["hidden"]
    assert "secret" not in repr(hidden)
    assert shown["signature"] == "add(a: int, b: int = 2) -> int"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (SEARCH, {}, "text is None; expected words"),
        (SEARCH, {"text": 5}, "text is 5; expected words that say what the tool does"),
        (SEARCH, {"text": "x", "limit": 0}, "limit is 0; expected a number of namespaces"),
        (SEARCH, {"text": "x", "limit": True}, "limit is True"),
        (SEARCH, {"text": "x", "most": 1}, "there is no argument 'most'"),
        (SEARCH, {"text": "x" * 70_000}, "it takes 16,384"),
        (SEARCH, [], "expected a map"),
        (DESCRIBE, {"names": "add"}, "names must be a list"),
        (DESCRIBE, {"names": [1]}, "names must be a list"),
    ],
)
def test_a_wrong_question_is_refused_with_what_was_expected(
    asker: Asker, name: str, arguments: Any, message: str
) -> None:
    kind, _, text = failure_of(asker.ask(name, arguments))
    assert kind == "invalid_arguments"
    assert message in text


def test_bytes_that_are_no_question_are_refused(asker: Asker) -> None:
    assert failure_of(asker.dispatcher.look_up(SEARCH, b"\xff"))[0] == "invalid_arguments"


def test_questions_are_limited_in_number() -> None:
    asker = Asker()
    for _ in range(MOST_LOOKUPS):
        asker.found("sum")
    assert failure_of(asker.ask(SEARCH, {"text": "sum"}))[0] == "limit"


def test_an_answer_above_max_value_bytes_is_a_failure() -> None:
    asker = Asker(max_value_bytes=50)
    assert "ask for fewer" in failure_of(asker.ask(SEARCH, {"text": "sum"}))[2]


def test_a_projects_search_answers_with_names_and_namespaces(asker: Asker) -> None:
    seen: list[Any] = []

    def search(text: str, tools: Mapping[str, Tool], limit: int) -> list[str]:
        context, execution = get_current_context(), get_current_execution()
        assert context is not None
        assert execution is not None
        seen.append((text, sorted(tools), limit, context["tenant"], execution.tool))
        return ["slow", "vault.sum", "none", "add", "slow.sum"]

    asker.host.registry.set_search(search)
    asker.dispatcher = asker.host.dispatcher(
        listed=["add", "slow.sum"], runtime_context=RuntimeContext({"tenant": "acme"})
    )
    assert asker.found("anything", limit=3) == ["slow.sum", "add"]
    assert seen == [("anything", ["add", "slow.sum"], 3, "acme", SEARCH)]


def test_a_projects_search_runs_where_sync_code_does() -> None:
    asker = Asker("async")
    threads: list[int] = []
    asker.host.registry.set_search(
        lambda *_: threads.append(threading.get_ident()) or []  # type: ignore[func-returns-value]  # to note it
    )
    asker.dispatcher = asker.host.dispatcher()
    assert asker.found("x") == []
    assert threads != [threading.get_ident()]


def test_where_a_projects_search_fails_the_built_in_one_answers(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    def search(text: str, tools: Mapping[str, Tool], limit: int) -> list[str]:
        raise RuntimeError("no index")

    asker.host.registry.set_search(search)
    asker.dispatcher = asker.host.dispatcher(listed=["slow.sum"])
    assert asker.found("slow sums") == ["slow.sum"]
    assert "no index" in caplog.text


@pytest.mark.parametrize("answer", ["slow.sum", ["slow.sum", 5], None])
def test_a_projects_search_that_returns_no_names_has_failed(
    asker: Asker, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    asker.host.registry.set_search(lambda *_: answer)
    asker.dispatcher = asker.host.dispatcher(listed=["add", "slow.sum"])
    assert asker.found("add numbers")[0] == "add"
    assert "TypeError" in caplog.text


async def asynchronous(text: str, tools: Mapping[str, Tool], limit: int) -> list[str]:
    return []


@pytest.mark.parametrize("search", ["shop.search", asynchronous])
def test_a_search_that_cannot_be_called_is_refused(search: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a plain function search"):
        ComponentRegistry().set_search(search)


def test_synonyms_of_a_project_hold_until_they_are_reset() -> None:
    asker = Asker()
    asker.host.registry.set_search(synonyms={"plus": ["add"]})
    asker.dispatcher = asker.host.dispatcher(listed=["add"])
    assert asker.found("plus") == ["add"]
    asker.host.registry.set_search()
    asker.dispatcher = asker.host.dispatcher(listed=["add"])
    assert asker.found("plus") == []
