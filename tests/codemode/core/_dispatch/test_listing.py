"""What is prepared of an execution's tools fits them, and is prepared once for many."""

from __future__ import annotations

from types import MappingProxyType

from codemode.catalogue.search_words import Synonyms
from codemode.core._dispatch.listing import Listing, Listings
from codemode.tools import make_tool
from codemode.tools.tool import Tool

NAMES = ("orders.get", "orders.search", "refund", "größe.holen")


def act(amount: int = 1) -> None:
    """Act."""


TOOLS = {name: make_tool(name, act) for name in NAMES}


def mentioned(code: str) -> set[str]:
    return {spec["name"] for spec in Listing(TOOLS, TOOLS).mentioned(code)}


def test_code_mentions_the_tools_whose_names_occur_in_it() -> None:
    assert mentioned("1 + 1") == set()
    assert mentioned("orders") == set()
    assert mentioned("orders.get(1)") == {"orders.get"}
    assert mentioned("o = orders\no.search()") == {"orders.search"}
    assert mentioned("orders.getter, refunded, x_refund") == set()
    # Python reads the full-width letters as plain ones.
    assert mentioned("\uff52efund(1); größe.holen()") == {"refund", "größe.holen"}


def test_hidden_tools_are_only_names() -> None:
    shown = {name: tool for name, tool in TOOLS.items() if name != "refund"}
    listing = Listing(TOOLS, shown)
    assert listing.names == "orders.get\norders.search\ngröße.holen\n\nrefund"
    (spec,) = listing.mentioned("refund()")
    assert spec["hidden"]
    assert [spec["signature"], spec["description"], spec["positional_parameters"]] == ["", "", []]
    assert [tool.name for tool in listing.index.search("act refund", 9, Synonyms())] == [*shown]


def test_equal_tools_share_one_listing() -> None:
    listings = Listings()
    first = listings.get(TOOLS, TOOLS)
    assert listings.get(TOOLS, TOOLS) is first
    other = MappingProxyType(dict(TOOLS))
    assert listings.get(other, other) is first
    some = {"refund": TOOLS["refund"]}
    hiding = listings.get(TOOLS, some)
    assert hiding is not first
    assert listings.get(TOOLS, dict(some)) is hiding
    again: dict[str, Tool] = {**TOOLS, "refund": make_tool("refund", act)}
    assert listings.get(again, again) is not first


def test_few_listings_are_kept() -> None:
    listings = Listings()
    first = listings.get(TOOLS, TOOLS)
    for number in range(100):
        tools = {"x": make_tool(f"x{number}", act)}
        listings.get(tools, tools)
    assert len(listings._kept) == 16
    assert listings.get(TOOLS, TOOLS) is not first
