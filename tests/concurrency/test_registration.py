"""Tools come, change and go while code runs: each run keeps the tools with which it began."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from codemode import Codemode, ToolRegistrationError
from codemode.core import ComponentRegistry
from codemode.core import registry as registry_module
from codemode.tools import Tool
from codemode.tools.names import check_namespaces
from tests.support.watchdog import bounded


@pytest.fixture
def hurried() -> Iterator[None]:
    """Make threads switch as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def version(number: int) -> Callable[[], int]:
    return lambda: number


RUN: dict[str, Callable[[Codemode, str], Any]] = {
    "sync": lambda codemode, code: codemode.run(code),
    "async": lambda codemode, code: asyncio.run(codemode.run_async(code)),
}


@pytest.mark.parametrize("half", RUN)
def test_a_run_keeps_the_tools_with_which_it_began(codemode: Codemode, half: str) -> None:
    registry = codemode.registry

    def change() -> None:
        registry.register_tool("version", version(2), overwrite=True)
        registry.register_tool("late", version(3))
        registry.unregister_tool("early")

    registry.register_tool("version", version(1))
    registry.register_tool("early", version(0))
    registry.register_tool("change", change)
    code = (
        "first = version()\nchange()\n"
        "[first, version(), early(), 'early' in tools, 'late' in tools]"
    )

    assert RUN[half](codemode, code).value == [1, 1, 0, True, False]

    registry.unregister_tool("change")
    registry.register_tool("change", lambda: None)
    assert RUN[half](codemode, "[version(), late()]").value == [2, 3]
    assert RUN[half](codemode, "early()").error.type == "NameError"


def test_registering_overwriting_listing_and_executing_at_once(
    codemode: Codemode, hurried: None
) -> None:
    registry = codemode.registry
    registry.register_tool("version", version(0))
    stop = threading.Event()
    wrong: list[object] = []

    def register(writer: int) -> set[str]:
        """Add tools, overwrite one that all use, remove every other one; return those that stay."""
        kept = set()
        for number in itertools.count():
            name = f"w{writer}.n{number}"
            registry.register_tool(name, version(number))
            registry.register_tool("version", version(number), overwrite=True)
            if number % 2:
                registry.unregister_tool(name)
            else:
                kept.add(name)
            if stop.is_set() or number == 2_000:
                return kept
        return kept

    def list_all() -> None:
        while not stop.is_set():
            snapshot = registry.tools
            names = list(snapshot)
            if any(tool.name != name for name, tool in snapshot.items()):
                wrong.append("a record under another's name")
            if list(snapshot) != names:
                wrong.append("a snapshot changed")

    def execute() -> None:
        for _ in range(10):
            result = codemode.run("[version() for _ in range(5)]")
            if not result.ok or len(set(result.value)) != 1:
                wrong.append(result.error or result.value)

    def all_at_once() -> set[str]:
        with ThreadPoolExecutor(10) as pool:
            writers = [pool.submit(register, writer) for writer in range(3)]
            listers = [pool.submit(list_all) for _ in range(2)]
            runners = [pool.submit(execute) for _ in range(3)]
            try:
                for runner in runners:
                    runner.result()
            finally:
                stop.set()
            for lister in listers:
                lister.result()
            return set().union(*(writer.result() for writer in writers))

    kept = bounded(all_at_once)
    assert wrong == []
    # No registration was lost, and no removed tool remains.
    assert set(registry.tools) == kept | {"version"}


def test_of_many_that_register_one_name_at_once_one_wins(
    hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every thread has time to look up the name before any of them registers it."""

    def take_time(name: str, tools: Mapping[str, Tool], namespaces: Mapping[str, str]) -> None:
        check_namespaces(name, tools, namespaces)
        time.sleep(0.02)

    monkeypatch.setattr(registry_module, "check_namespaces", take_time)
    for _ in range(5):
        registry = ComponentRegistry()
        barrier = threading.Barrier(8)

        def register(
            number: int,
            registry: ComponentRegistry = registry,
            barrier: threading.Barrier = barrier,
        ) -> str:
            barrier.wait(60)
            try:
                registry.register_tool("taken", version(number))
            except ToolRegistrationError:
                return "refused"
            return "won"

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(register, range(8)))
        assert sorted(outcomes) == ["refused"] * 7 + ["won"]
