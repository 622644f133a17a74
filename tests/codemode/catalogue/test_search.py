"""A search finds the namespaces that a request in plain English means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import pytest

from codemode.catalogue.search import MOST_FUNCTIONS, SearchIndex, namespace_of
from codemode.catalogue.search_words import MAX_CHARACTERS, Synonyms, stem
from codemode.core import ComponentRegistry
from codemode.errors import ConfigurationError
from codemode.tools import make_tool, tool
from codemode.tools.tool import Tool
from tests.support.tool_sets import many
from tests.support.tool_sets.requests import HELD_OUT, TUNING
from tests.support.tool_sets.unseen_requests import UNSEEN_REQUESTS


@pytest.fixture(scope="module")
def index() -> SearchIndex:
    registry = ComponentRegistry()
    many.register_many(registry)
    return SearchIndex(registry.tools.values())


def described(name: str, doc: str, module: str = "app.codemode_tools") -> Tool:
    def call() -> None: ...

    call.__doc__, call.__module__, call.__qualname__ = doc, module, name.rpartition(".")[2]
    return make_tool(name, call)


def found(tools: Iterable[Tool], text: str, **own: Iterable[str]) -> list[str]:
    return [one.name for one in SearchIndex(tools).search(text, 5, Synonyms(own))]


@pytest.mark.parametrize(
    ("requests", "least"), [(TUNING, 0.95), (HELD_OUT, 0.9), (UNSEEN_REQUESTS, 0.82)]
)
def test_the_right_namespace_is_among_the_best_three(
    index: SearchIndex, requests: Mapping[str, Collection[str]], least: float
) -> None:
    hits = 0
    for text, right in requests.items():
        best = {namespace_of(one) for one in index.search(text, 3, Synonyms())}
        hits += not best.isdisjoint(right)
    assert hits / len(requests) >= least


def test_a_namespace_is_found_with_all_its_functions_the_best_one_first(
    index: SearchIndex,
) -> None:
    names = [one.name for one in index.search("merge a pull request", 1, Synonyms())]
    assert names[0] == "github.pull_request.merge"
    assert sorted(names) == sorted(
        f"github.pull_request.{verb}"
        for verb in ("get", "list", "create", "update", "delete", "search", "merge", "review")
    )


def test_a_large_namespace_is_shown_by_its_best_functions() -> None:
    tools = [described(f"big.f{number}", f"Do number {number}.") for number in range(60)]
    names = found(tools, "big f57")
    assert len(names) == MOST_FUNCTIONS
    assert names[0] == "big.f57"


def test_functions_without_namespace_are_found_by_their_app() -> None:
    tools = [
        described("refund", "Pay back.", "shop.codemode_tools"),
        described("ship", "Send a parcel.", "shop.codemode_tools"),
        described("hire", "Employ somebody.", "staff.codemode_tools.people"),
    ]
    assert found(tools, "pay back") == ["refund", "ship"]
    assert [namespace_of(one) for one in tools] == ["shop", "shop", "staff"]


def test_words_that_say_nothing_find_nothing() -> None:
    tools = [described("to.a", "To a of the."), described("orders.get", "Return an order.")]
    assert found(tools, "I want to have a list of the orders, please") == ["orders.get"]
    assert found(tools, "zebra") == []


def test_everyday_words_count_less_than_others() -> None:
    tools = [
        described("winners.first", "Return the first of a week."),
        described("holidays.get", "Return what is closed."),
    ]
    assert found(tools, "the first holidays of this week")[0] == "holidays.get"


def test_a_text_without_words_finds_the_first_namespaces() -> None:
    tools = [described(f"n{number}.get", "Get.") for number in range(9)]
    assert found(tools, " ?! ") == [f"n{number}.get" for number in range(5)]


@pytest.mark.parametrize("text", ["iban", "creditors", "pay back"])
def test_names_of_arguments_and_tags_are_searched(text: str) -> None:
    @tool(tags=["creditor", "pay back"])
    def call(iban: str) -> None: ...

    tools = [make_tool("accounts.look", call), described("orders.get", "Return an order.")]
    assert found(tools, text) == ["accounts.look"]


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("give me my money back", {}),
        ("RMA", {"RMA": ["refund"]}),
        ("beam me up", {"Beam me up": ["refund"]}),
    ],
)
def test_synonyms_are_the_general_ones_and_the_projects(text: str, own: dict[str, Any]) -> None:
    tools = [described("orders.refund", "Refund."), described("rays.get", "Return a ray.")]
    assert found(tools, text, **own)[0] == "orders.refund"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (["RMA"], r"synonyms is \['RMA'\]; expected a dict such as"),
        ({"RMA": "refund"}, "'RMA': 'refund'; expected a word or phrase and a list"),
        ({"RMA": [1]}, "expected a word or phrase and a list"),
        ({"one two three four": ["x"]}, "expected one to 3 words"),
    ],
)
def test_wrong_synonyms_are_refused(own: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Synonyms(own)


@pytest.mark.parametrize(
    "forms",
    [
        "order orders ordered ordering",
        "company companies",
        "authorise authorize authorisation authorization authorised",
        "ship shipping shipped shipment",
        "close closes closed closing",
        "category categories",
    ],
)
def test_forms_of_a_word_are_equal(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


def test_only_the_beginning_of_a_long_text_is_read(index: SearchIndex) -> None:
    filler = "zebra " * (MAX_CHARACTERS // 6 + 1)
    assert index.search(f"{filler} merge a pull request", 1, Synonyms()) == []


def test_a_search_has_a_limited_number_of_terms() -> None:
    many_words = " ".join(f"w{number}" for number in range(60))
    assert len(Synonyms().expand(many_words)) == 16


def test_what_is_found_does_not_depend_on_tools_that_are_left_out() -> None:
    registry = ComponentRegistry()
    many.register_many(registry, 300)
    shown = [one for one in registry.tools.values() if "github" not in one.name]
    names: Callable[[SearchIndex], list[str]] = lambda index: [  # noqa: E731
        one.name for one in index.search("open an issue with the build", 20, Synonyms())
    ]
    alone = ComponentRegistry()
    for one in shown:
        alone.register_tool(one.name, one)
    assert names(SearchIndex(shown)) == names(SearchIndex(alone.tools.values()))
    assert not any("github" in name for name in names(SearchIndex(shown)))
