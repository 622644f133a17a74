"""The facade's catalogue and instructions: for the caller, and without an executor."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from codemode import Codemode, ConfigurationError, Limits, RuntimeContext, tool
from codemode.config import ClientConfig
from codemode.core.registry import ComponentRegistry
from codemode.tools import Tool
from tests.support.halves import Half


class Checker:
    """A checker that allows what the context grants, and keeps the threads that asked."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def allows(self, asked: Tool, context: RuntimeContext) -> bool:
        self.threads.add(threading.get_ident())
        return asked.permission in context.get("rights", ())


@tool(name="orders.refund", permission="refunds")
async def refund(order_id: int) -> None:
    """Pay an order back."""


@tool(name="orders.get", effects="reads")
def get(order_id: int) -> dict[str, int]:
    """Return an order and its parts."""
    raise NotImplementedError


@pytest.fixture
def facade() -> Iterator[Codemode]:
    registry = ComponentRegistry()
    registry.permission_checker = Checker()
    for one in (refund, get):
        registry.register_tool(None, one)
    with Codemode(registry=registry) as facade:
        yield facade


def test_only_what_the_caller_may_call_is_shown(facade: Codemode) -> None:
    async def both() -> tuple[str, str]:
        catalogue = await facade.catalogue_async()
        return catalogue.text, await facade.instructions_async()

    with facade.registry.context(rights=["refunds"]):
        for text in (facade.catalogue().text, facade.instructions(), *asyncio.run(both())):
            assert " async def refund(order_id: int) -> None:" in text
    for text in (facade.catalogue().text, facade.instructions(), *asyncio.run(both())):
        assert " def get(" in text
        assert "refund" not in text


def test_both_halves_give_the_same(facade: Codemode) -> None:
    catalogue = facade.catalogue(["orders.get"], max_tokens=40, notes=False)
    instructions = facade.instructions(["orders.get"], max_tokens=400)

    async def main() -> None:
        assert await facade.catalogue_async(["orders.get"], max_tokens=40, notes=False) == catalogue
        assert await facade.instructions_async(["orders.get"], max_tokens=400) == instructions

    asyncio.run(main())
    assert facade.instructions([]) != facade.instructions()
    with pytest.raises(ConfigurationError, match=r"'orders.gett', which is not registered; did"):
        facade.catalogue(["orders.gett"])


@pytest.mark.filterwarnings("ignore:.* was called inside a running:RuntimeWarning")
def test_the_checker_is_asked_off_the_loop(facade: Codemode) -> None:
    checker: Any = facade.registry.permission_checker

    async def main() -> None:
        facade.catalogue()
        await facade.instructions_async()
        assert threading.get_ident() not in checker.threads

    asyncio.run(main())
    assert checker.threads


def test_the_context_loader_runs_first(facade: Codemode, half: Half) -> None:
    loaded: list[RuntimeContext] = []
    facade.registry.context_loader = lambda context: lambda: loaded.append(context)
    with facade.registry.context(rights=[]):
        if half.name == "sync":
            facade.catalogue()
        else:
            asyncio.run(facade.catalogue_async())
    assert len(loaded) == 1


def test_no_executor_is_started(facade: Codemode) -> None:
    facade.catalogue()
    facade.instructions()
    assert facade.client.embedded is not None
    assert facade.client.embedded.pid is None


def test_the_sandbox_is_that_of_the_configuration() -> None:
    own = f"- Python {sys.version_info.major}.{sys.version_info.minor}, standard library. Limits: "
    limits = Limits(execution_timeout=7, max_memory_bytes=64 * 2**20, max_tool_calls=5)
    with Codemode.from_client_config(ClientConfig(limits=limits)) as embedded:
        assert f"{own}7 s with all calls, 64 MiB, 5 tool calls." in embedded.instructions()
    remote = ClientConfig(executor_url="http://127.0.0.1:9", profile="data")
    with Codemode.from_client_config(remote) as codemode:
        described = "- Python 3.12 or later, standard library, numpy, pandas. Limits: 30 s"
        assert described in codemode.instructions()


def test_a_new_tool_shows_at_once(facade: Codemode) -> None:
    before = facade.catalogue()
    assert facade.catalogue() is before
    facade.registry.register_tool("zoo.feed", lambda: None)
    assert facade.catalogue().text.startswith(before.text)
    assert "class zoo:" in facade.catalogue().text
    facade.registry.unregister_tool("zoo.feed")
    assert facade.catalogue() is before


@pytest.mark.parametrize("code", ["pay_bac(1)", "vars()\npay_bac(1)", "payouts.pai(1)"])
def test_a_hidden_name_is_suggested_neither_before_a_run_nor_in_it(
    facade: Codemode, code: str
) -> None:
    for name in ("pay_back", "payout.pay"):
        facade.registry.register_tool(name, refund)
    result = facade.run(code)
    assert result.error is not None
    assert "Did you mean" not in result.error.message + result.error.traceback
    refused = facade.run("from payout import pay\n[pay.__name__, await pay_back(1)]")
    assert refused.error is not None
    assert "pay_back is not permitted" in refused.error.message
