"""Tests of what a model reads after a mistake, against a real executor."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Literal, TypedDict

import pytest

from codemode import Codemode, ExecutionResult, Recording
from tests.support.mistakes import mistakes, number_of_headings

MISTAKES = mistakes(before_the_run=False)
PYTHON_OF_THE_PAGE = (3, 13)
ADDRESS = re.compile(r" at 0x[0-9a-f]+")

# Read by the look at the code before the run: code that may bind names unseen is run as it is, and
# the mistake shows at run time. The line itself is never reached.
UNSEEN = "\nglobals() and None"

REFUSED = {
    "a program": "asyncio.create_subprocess_exec('ls')",
    "a shell": "asyncio.create_subprocess_shell('ls')",
    "a socket": "asyncio.open_connection('example.com', 80)",
    "a Unix socket": "asyncio.open_unix_connection('/x')",
    "a server": "asyncio.start_server(print, '127.0.0.1', 80)",
    "a Unix server": "asyncio.start_unix_server(print, '/x')",
    "a datagram": "asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=('1.2.3.4', 80))",
    "a name": "asyncio.get_running_loop().getaddrinfo('example.com', 80)",
    "a thread's program": "asyncio.to_thread(subprocess.run, ['ls'])",
    "a thread's socket": "asyncio.to_thread(socket.create_connection, ('example.com', 80))",
}
"""What the sandbox refuses where asyncio asks for it."""

if sys.version_info < (3, 13):
    del REFUSED["a server"]  # asyncio takes the refusal for that of a family, and listens nowhere


class Order(TypedDict):
    id: int
    total: Decimal
    placed: date
    customer: dict[str, Any] | None
    discount: int | None


def order(order_id: int) -> Order:
    return {
        "id": order_id,
        "total": Decimal("12.50"),
        "placed": date(2026, 1, 2),
        "customer": None,
        "discount": None,
    }


def shop() -> Codemode:
    """Return a facade whose tools are those of the table."""
    codemode = Codemode()
    register = codemode.registry.register_tool

    async def get(order_id: int) -> Order:
        """Return one order."""
        return order(order_id)

    async def search(status: Literal["open", "paid"] = "open") -> list[Order]:
        """Return the orders in a status."""
        return [order(1), order(2)]

    async def refund(order_id: int, reason: str) -> None:
        """Pay an order back."""

    async def count() -> int:
        """Count the customers."""
        return 3

    def newest(status: Literal["open", "paid"] = "open", limit: int = 2) -> list[Order]:
        """Return the newest orders."""
        return [order(number) for number in range(1, limit + 1)]

    def find(order_id: int) -> Order | None:
        """Return one order, or None."""
        return order(order_id) if order_id < 10 else None

    def since(day: date) -> list[Order]:
        """Return the orders since a day."""
        return []

    def report(name: str) -> str:
        """Return a report."""
        return f"the report {name}"

    def of_stock(sku: int) -> int:
        """Return how many there are."""
        return sku

    register("orders.get", get)
    register("orders.search", search)
    register("orders.refund", refund)
    register("orders.newest", newest)
    register("orders.find", find)
    register("orders.since", since)
    register("customers.count", count)
    register("report", report)
    for name in "book count issue move order price receive reserve scrap ship".split():
        register(f"stock.{name}", of_stock)
    return codemode


@pytest.fixture(scope="module")
def codemode() -> Iterator[Codemode]:
    """Yield the facade of ``shop``, with its executor."""
    with shop() as codemode:
        yield codemode


def without_words_of_python(text: str) -> str:
    """Return the advice of a message, else its one line without what Python itself suggests."""
    return text.partition("\n")[2] or text.partition(" Did you mean")[0]


def outcome_of(codemode: Codemode, code: str, *, recorded: bool = False) -> str:
    """Run code that fails and return the type and the message of its failure."""

    def run(code: str) -> ExecutionResult:
        return codemode.run(code, recording=Recording() if recorded else None)

    result = run(code + UNSEEN)
    if result.error is None:  # it is the result that cannot be given
        result = run(code)
    assert result.error is not None, result
    return ADDRESS.sub(" at 0x…", f"{result.error.type}: {result.error.message}")


def test_the_page_is_read_whole() -> None:
    assert len(MISTAKES) + len(mistakes(before_the_run=True)) == number_of_headings() > 180


@pytest.mark.parametrize("recorded", [False, True], ids=["plain", "recorded"])
@pytest.mark.parametrize("title", MISTAKES)
def test_mistake_is_answered_with_its_repair(
    codemode: Codemode, title: str, recorded: bool
) -> None:
    code, text = MISTAKES[title]
    outcome = outcome_of(codemode, code, recorded=recorded)
    if sys.version_info[:2] != PYTHON_OF_THE_PAGE:
        # Python words its own line anew in each version.
        outcome, text = map(without_words_of_python, (outcome, text))
    assert outcome == text


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_refusals_of_the_sandbox_are_explained_in_recorded_runs_too(
    codemode: Codemode, call: str
) -> None:
    code = f"import asyncio, socket, subprocess\nawait {call}"
    plain = outcome_of(codemode, code)
    assert re.search("there is no network here|no other program or process", plain)
    assert outcome_of(codemode, code, recorded=True) == plain


@pytest.mark.parametrize("call", ["add_reader(0, print)", "add_signal_handler(2, print)"])
def test_recorded_run_says_what_its_loop_does_not_watch(codemode: Codemode, call: str) -> None:
    code = f"import asyncio\nawait asyncio.sleep(0)\nasyncio.get_running_loop().{call}"
    assert outcome_of(codemode, code, recorded=True) == (
        "NotImplementedError: a recorded run watches no descriptors and no signals, and starts "
        "no processes"
    )
