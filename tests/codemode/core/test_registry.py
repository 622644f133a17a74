from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from codemode.core import ComponentRegistry
from codemode.core.registry import RuntimeContext, get_current_context
from codemode.errors import ConfigurationError, ToolRegistrationError
from codemode.tools import Tool, ToolPermissionDenied, make_tool, tool


def get() -> int:
    return 1


def other() -> int:
    return 2


class Service:
    def get(self) -> int:
        return 1


@tool(permission="refund")
def refund() -> None: ...


def registry_of(*names: str) -> ComponentRegistry:
    registry = ComponentRegistry()
    for name in names:
        registry.register_tool(name, lambda: None)
    return registry


def test_registering_returns_the_record_and_shows_it() -> None:
    registry = ComponentRegistry()

    made = registry.register_tool("orders.get", get)

    assert dict(registry.tools) == {"orders.get": made}
    assert registry.register_tool(None, other).name == "other"


def test_the_same_object_twice_is_one_tool() -> None:
    registry = ComponentRegistry()
    service = Service()

    made = registry.register_tool("get", get)

    assert registry.register_tool("get", get) is made
    assert registry.register_tool(None, get) is made
    assert registry.register_tool("get", made) is made
    assert registry.register_tool("a", service.get) is registry.register_tool("a", service.get)


def test_a_class_is_instantiated_once() -> None:
    made = []

    class Counter:
        def __init__(self) -> None:
            made.append(self)

        def run(self) -> None: ...

    registry = ComponentRegistry()
    registry.register_tool("counter", Counter)
    registry.register_tool("counter", Counter)

    assert len(made) == 1


def test_a_taken_name_is_refused_unless_overwritten() -> None:
    registry = ComponentRegistry()
    registry.register_tool("get", get)

    with pytest.raises(ToolRegistrationError, match=r"already registered, from .*get, and .*other"):
        registry.register_tool("get", other)
    assert registry.tools["get"].function is get
    registry.register_tool("get", other, overwrite=True)
    assert registry.tools["get"].function is other


def test_a_name_cannot_be_a_namespace_too() -> None:
    registry = registry_of("orders.get")

    with pytest.raises(ToolRegistrationError, match="namespace"):
        registry.register_tool("orders", get)
    with pytest.raises(ToolRegistrationError, match="namespace"):
        registry.register_tool("orders.get.one", get, overwrite=True)
    registry.unregister_tool("orders.get")
    registry.register_tool("orders", get)


def test_unregistering_an_unknown_tool_is_refused_with_a_hint() -> None:
    with pytest.raises(
        ToolRegistrationError, match=r"'gett' is not registered; did you mean 'get'"
    ):
        registry_of("get").unregister_tool("gett")


def test_a_snapshot_does_not_change() -> None:
    registry = registry_of("a")
    snapshot = registry.tools

    registry.register_tool("b", get)
    registry.unregister_tool("a")

    assert list(snapshot) == ["a"]
    assert list(registry.tools) == ["b"]
    with pytest.raises(TypeError):
        snapshot["c"] = snapshot["a"]  # type: ignore[index]  # the point


def test_threads_register_at_once_and_readers_see_whole_registries() -> None:
    registry = ComponentRegistry()
    start = threading.Barrier(5)
    torn: list[object] = []

    def write(worker: int) -> None:
        start.wait()
        for number in range(50):
            registry.register_tool(f"w{worker}.t{number}", lambda: None)

    def read() -> None:
        start.wait()
        seen = 0
        while seen < 200:
            tools = registry.tools
            if len(tools) < seen or any(name != one.name for name, one in tools.items()):
                torn.append(tools)
                return
            seen = len(tools)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    threads.append(threading.Thread(target=read))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert not any(thread.is_alive() for thread in threads)
    assert len(registry.tools) == 200
    assert not torn


def test_one_of_many_threads_that_register_one_name_wins() -> None:
    registry = ComponentRegistry()
    start = threading.Barrier(8)
    refused: list[str] = []

    def register(function: Callable[[], int]) -> None:
        start.wait()
        try:
            registry.register_tool("x", function)
        except ToolRegistrationError as error:
            refused.append(str(error))

    functions: list[Callable[[], int]] = [get] * 4 + [other] * 4
    threads = [threading.Thread(target=register, args=(one,)) for one in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(refused) == 4


def test_select_takes_all_none_names_and_namespaces() -> None:
    registry = registry_of("orders.get", "orders.list", "mail", "ordersx")

    assert list(registry.select(None)) == ["orders.get", "orders.list", "mail", "ordersx"]
    assert not registry.select([])
    assert list(registry.select(("mail", "orders.list"))) == ["orders.list", "mail"]
    assert list(registry.select({"orders.*"})) == ["orders.get", "orders.list"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("mail", r"is one text; expected a list of tool names, such as \['mail'\]"),
        (["mial"], "has 'mial', which is not registered; did you mean 'mail'"),
        (["orders"], r"'orders' is a namespace: 'orders\.\*' means all tools in it"),
        (["zzz"], r"not registered; registered are: mail, orders\.get"),
        (["zzz.*"], "not registered"),
        ([7], "has 7, a int"),
    ],
)
def test_select_refuses_unknown_names(names: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        registry_of("orders.get", "mail").select(names)


class Checker:
    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer
        self.thread: int | None = None

    def allows(self, tool: Tool, context: RuntimeContext) -> bool:
        self.thread = threading.get_ident()
        assert isinstance(context, RuntimeContext)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("checker", "names"),
    [
        (None, ["get"]),
        (Checker(True), ["get", "refund"]),
        (Checker(False), ["get"]),
        (Checker(ToolPermissionDenied("no")), ["get"]),
    ],
    ids=["none", "yes", "no", "denies"],
)
async def test_tools_without_permission_are_not_visible(
    checker: Checker | None, names: list[str]
) -> None:
    registry = ComponentRegistry()
    registry.register_tool("get", get)
    registry.register_tool(None, refund)
    registry.permission_checker = checker

    assert list(registry.visible(registry.tools, None)) == names
    assert list(await registry.visible_async(registry.tools, RuntimeContext())) == names
    if checker is not None:
        assert checker.thread != threading.get_ident(), "the ORM must not run on the loop"


def test_a_checker_that_breaks_refuses_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    registry = ComponentRegistry()
    registry.register_tool(None, refund)
    registry.permission_checker = Checker(RuntimeError("no database"))

    assert not registry.visible(registry.tools, None)
    assert "no database" in caplog.text


class TestContextLoader:
    """Values that only sync code can load, loaded before a run on a thread that may load them."""

    def setup_method(self) -> None:
        self.registry = ComponentRegistry()
        self.registry.context_loader = self.loader
        self.threads: list[int] = []
        self.context = RuntimeContext({"lazy": True})

    def loader(self, context: RuntimeContext) -> Callable[[], object] | None:
        return (lambda: self.threads.append(threading.get_ident())) if context.get("lazy") else None

    def test_sync_code_loads_in_its_own_thread(self) -> None:
        self.registry.load(self.context)
        self.registry.load(RuntimeContext())
        self.registry.load(None)

        assert self.threads == [threading.get_ident()]

    async def test_a_task_loads_on_the_thread_for_sync_code(self) -> None:
        await self.registry.load_async(self.context)
        await self.registry.load_async(RuntimeContext())

        assert self.threads == [await sync_to_async(threading.get_ident)()]


class Hook:
    def before_call(self, call: Any) -> None: ...

    def after_call(self, call: Any, outcome: Any) -> None: ...


def test_hooks_are_added_once_and_removed() -> None:
    registry = ComponentRegistry()
    one, two = Hook(), Hook()
    for hook in (one, two, one):
        registry.add_hook(hook)

    assert list(registry.hooks) == [one, two]
    registry.remove_hook(one)
    assert list(registry.hooks) == [two]
    with pytest.raises(ConfigurationError, match="never added"):
        registry.remove_hook(one)


def test_set_replaces_and_clear_forgets() -> None:
    registry = ComponentRegistry()
    try:
        registry.set_context(RuntimeContext({"a": 1}))
        registry.set_context(RuntimeContext({"b": 2}))
        assert registry.get_context() == RuntimeContext({"b": 2})
        assert get_current_context() is registry.get_context()
    finally:
        registry.clear_context()
    assert registry.get_context() is None


@pytest.mark.no_retry
def test_a_context_block_adds_and_restores() -> None:
    registry = ComponentRegistry()
    with registry.context(a=1) as outer:
        assert registry.get_context() is outer
        with registry.context(b=2), registry.context(a=3):
            assert registry.get_context() == RuntimeContext({"a": 3, "b": 2})
        assert registry.get_context() == RuntimeContext({"a": 1})
    assert registry.get_context() is None


def test_a_context_block_is_for_one_use_at_a_time() -> None:
    block = ComponentRegistry().context(a=1)
    with block:
        with pytest.raises(RuntimeError, match="in use already"):
            block.__enter__()
        assert get_current_context() == RuntimeContext({"a": 1})
    with block:
        pass
    assert get_current_context() is None


async def test_the_decorator_adds_to_the_context_in_each_sync_and_async_call() -> None:
    registry = ComponentRegistry()

    @registry.context(b=2)
    def sync() -> RuntimeContext | None:
        return get_current_context()

    @registry.context(b=3)
    async def asynchronous(depth: int) -> RuntimeContext | None:
        await asyncio.sleep(0)
        return await asynchronous(depth - 1) if depth else get_current_context()

    assert sync() == RuntimeContext({"b": 2})
    with registry.context(a=1):
        assert sync() == RuntimeContext({"a": 1, "b": 2})
        for result in await asyncio.gather(asynchronous(0), asynchronous(2)):
            assert result == RuntimeContext({"a": 1, "b": 3})
    assert get_current_context() is None


def test_the_decorator_refuses_generators() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    for one in (generator, async_generator):
        with pytest.raises(TypeError, match="with block"):
            ComponentRegistry().context(a=1)(one)


@pytest.mark.no_retry
async def test_concurrent_tasks_keep_their_own_context() -> None:
    registry = ComponentRegistry()

    async def task(client: str, delay: float) -> bool:
        registry.set_context(RuntimeContext(variables={"client_id": client}))
        await asyncio.sleep(delay)
        context = registry.get_context()
        registry.clear_context()
        return context is not None and context.get("client_id") == client

    delays = {"a": 0.03, "b": 0.01, "c": 0.02}
    assert all(await asyncio.gather(*(task(name, delay) for name, delay in delays.items())))


def test_tools_are_replaced_in_one_step_or_not_at_all() -> None:
    registry = registry_of("shop.old", "shop.kept", "mail")
    old, kept = registry.tools["shop.old"], registry.tools["shop.kept"]
    before = registry.tools
    for name in ("shop.kept", "shop", "mail.send"):
        with pytest.raises(ToolRegistrationError):
            registry.replace_tools([old], [make_tool("shop.new", get), make_tool(name, other)])
        assert registry.tools is before
    # A name and a namespace that the former tools leave are free; others' tools stay.
    registry.register_tool("shop.old", other, overwrite=True)
    registry.replace_tools([old, kept], [make_tool("shop.kept.get", get)])
    assert sorted(registry.tools) == ["mail", "shop.kept.get", "shop.old"]
