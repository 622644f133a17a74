"""The tools and the texts with which the look at code is tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Outcome, tool

HERE = Path(__file__).parent

TOOLS = [
    tool(
        "orders.get",
        "orders.get(order_id: int, *, full: bool = False) -> Order",
        "order_id",
        asynchronous=True,
    ),
    tool(
        "orders.search",
        "orders.search(status: Literal['open', 'paid'] = 'open', limit: int = 10) -> list[Order]",
        *("status", "limit"),
        asynchronous=True,
    ),
    tool("orders.count", "orders.count(status: str) -> int", "status"),
    tool("report", "report(kind: str, **options: Any) -> str", "kind"),
    tool("rate", "rate(code: str) -> float", "code", asynchronous=True),
    tool("github.issue.get", "github.issue.get(number: int) -> dict[str, int]", "number"),
    tool("json.dumps", "json.dumps(value: int) -> str", "value"),
]

ANSWERS = {
    "orders.get": {"id": 1, "total": 5},
    "orders.search": [{"id": 1}, {"id": 2}],
    "orders.count": 7,
    "report": "text",
    "rate": 1.5,
    "github.issue.get": {"n": 1},
    "json.dumps": "3",
}


def answer(name: str, _arguments: dict[str, Any]) -> Any:
    return ANSWERS[name]


def sections(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the titles and texts of a file whose titles are marked by ``###``."""
    for part in path.read_text("utf-8").removeprefix("### ").split("\n### "):
        title, _, text = part.partition("\n")
        yield title, text.rstrip("\n")


def run_all(
    forker: Forker, codes: list[str], *, session: bool = False, **limits: Any
) -> list[Outcome]:
    """Run codes one after the other in one guest."""
    with Guest(forker, TOOLS, answer, session=session, **limits) as guest:
        return [guest.run(code) for code in codes]


def run(forker: Forker, code: str, **limits: Any) -> Outcome:
    return run_all(forker, [code], **limits)[0]
