"""Many callers share one Codemode: each keeps its own context, and each call its own outcome."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from codemode import Codemode, ExecutionResult, RuntimeContext, get_current_context
from tests.support.watchdog import bounded

# Stands for the context variables of an application or of Django.
language: contextvars.ContextVar[str] = contextvars.ContextVar("language", default="en")

CODE = "import asyncio\n[tell(), *(await asyncio.gather(atell(), atell())), pool_tell()]"


def told() -> dict[str, Any]:
    return dict(get_current_context() or {})


@pytest.fixture
def telling(codemode: Codemode) -> Codemode:
    """Return a facade with tools that return the context in which they run."""
    from codemode import tool

    async def atell() -> dict[str, Any]:
        await asyncio.sleep(random.random() / 100)
        return told()

    codemode.registry.register_tool("tell", told)
    codemode.registry.register_tool("atell", atell)
    codemode.registry.register_tool("pool_tell", tool(thread_sensitive=False)(lambda: told()))
    return codemode


async def visit(codemode: Codemode, tenant: str, times: int) -> list[str]:
    """Execute code in several contexts of one tenant; return every difference seen."""
    leaks = []
    for step in range(times):
        codemode.with_context(tenant_id=tenant, step=step)
        expected = {"tenant_id": tenant, "step": step}
        await asyncio.sleep(random.random() / 200)
        seen = (await codemode.run_async(CODE)).value
        if seen != [expected] * 4:
            leaks.append(f"{tenant} {step}: its tools saw {seen}")
        if codemode.registry.get_context() != expected:
            leaks.append(f"{tenant} {step}: {codemode.registry.get_context()}")
    return leaks


def visit_in_thread(codemode: Codemode, tenant: str, times: int) -> list[str]:
    leaks = []
    for step in range(times):
        with codemode.registry.context(tenant_id=tenant, step=step) as expected:
            seen = codemode.run(CODE).value
            if seen != [dict(expected)] * 4:
                leaks.append(f"{tenant} {step}: its tools saw {seen}")
        if get_current_context() is not None:
            leaks.append(f"{tenant} {step}: {get_current_context()} stayed")
    return leaks


def test_no_context_leaks_between_tasks_threads_and_loops(telling: Codemode) -> None:
    async def tasks(loop: int) -> list[str]:
        visits = (visit(telling, f"loop{loop}-task{task}", 3) for task in range(8))
        return [leak for leaks in await asyncio.gather(*visits) for leak in leaks]

    def all_at_once() -> list[str]:
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(asyncio.run, tasks(loop)) for loop in range(3)]
            jobs += [pool.submit(visit_in_thread, telling, f"thread{one}", 6) for one in range(5)]
            return [leak for job in jobs for leak in job.result()]

    assert bounded(all_at_once) == []


async def test_context_of_a_task_is_seen_by_its_children_and_by_nobody_else(
    telling: Codemode,
) -> None:
    registry = telling.registry
    ready, go_on = asyncio.Event(), asyncio.Event()

    async def child() -> tuple[object, object]:
        inherited = registry.get_context()
        telling.with_context(tenant_id="child")
        ready.set()
        await go_on.wait()
        return inherited, registry.get_context()

    telling.with_context(tenant_id="parent")
    task = asyncio.create_task(child())
    await ready.wait()

    assert registry.get_context() == {"tenant_id": "parent"}
    assert (await telling.run_async("tell()")).value == {"tenant_id": "parent"}
    assert await asyncio.to_thread(registry.get_context) == {"tenant_id": "parent"}
    with ThreadPoolExecutor(1) as pool:
        # Nothing carries a context into a thread of a plain pool.
        assert pool.submit(registry.get_context).result() is None
        assert pool.submit(
            contextvars.copy_context().run, telling.run, "tell()"
        ).result().value == {"tenant_id": "parent"}
    go_on.set()
    assert await task == ({"tenant_id": "parent"}, {"tenant_id": "child"})
    registry.clear_context()
    assert registry.get_context() is None
    assert (await telling.run_async("tell()")).value == {}


async def test_context_that_changes_later_is_not_that_of_a_run_under_way(
    telling: Codemode,
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        began.set()
        await go_on.wait()

    def speak() -> str:
        return language.get()

    async def aspeak() -> str:
        return language.get()

    registry = telling.registry
    registry.register_tool("wait", wait)
    registry.register_tool("speak", speak)
    registry.register_tool("aspeak", aspeak)
    code = "early = [tell(), speak()]\nawait wait()\n[*early, tell(), await atell(), speak(), await aspeak()]"

    async def run() -> Any:
        async for event in telling.stream(code):
            # The caller's own task switches to another tenant between two events.
            telling.with_context(tenant_id="later")
            language.set("fr")
            result = getattr(event, "result", None)
        return result

    telling.with_context(tenant_id="first")
    language.set("nb")
    task = asyncio.create_task(run())
    await began.wait()
    telling.with_context(tenant_id="other")
    language.set("de")
    go_on.set()
    first = {"tenant_id": "first"}
    assert (await task).value == [first, "nb", first, first, "nb", "nb"]


@pytest.mark.parametrize("half", ["sync", "async"])
def test_a_context_that_is_given_counts_and_the_callers_own_stays(
    telling: Codemode, half: str
) -> None:
    """The client runs code on behalf of somebody else, as a queue's worker does."""
    given = RuntimeContext({"tenant_id": "given"})
    with telling.registry.context(tenant_id="caller"):
        if half == "sync":
            result = telling.client.execute(CODE, context=given)
        else:
            result = asyncio.run(telling.client.execute_async(CODE, context=given))
        assert get_current_context() == {"tenant_id": "caller"}
    assert result.value == [{"tenant_id": "given"}] * 4


async def test_tasks_that_share_a_context_cannot_change_it_for_each_other() -> None:
    context = RuntimeContext(variables={"tenant_id": "acme", "labels": ("a",)})

    async def change(name: str) -> RuntimeContext:
        await asyncio.sleep(0)
        with pytest.raises(TypeError):
            context.variables[name] = name  # type: ignore[index]  # refused
        return context.merged(**{name: name})

    one, two = await asyncio.gather(change("one"), change("two"))
    assert context == {"tenant_id": "acme", "labels": ("a",)}
    assert (set(one) - set(context), set(two) - set(context)) == ({"one"}, {"two"})


# Each behaves in its own way; no run may have anything of the runs beside it.
BEHAVIOURS: list[tuple[str, dict[str, Any], Callable[[ExecutionResult, int], bool]]] = [
    ("print(n)\nn", {}, lambda r, n: (r.value, r.stdout) == (n, f"{n}\n")),
    ("echo(n=n)", {}, lambda r, n: r.value == n and r.tool_calls[0].arguments == {"n": n}),
    ("print(n)\n1 / 0", {}, lambda r, n: (r.status, r.stdout) == ("failed", f"{n}\n")),
    ("import time\ntime.sleep(60)", {"execution_timeout": 0.5}, lambda r, n: r.status == "timeout"),
    ("echo(n)", {"available_tools": []}, lambda r, n: r.status == "failed"),
    ("print('x' * 2_000)", {"config": {"max_output_bytes": 1_000}}, lambda r, n: not r.ok),
    ("echo(n)\necho(n)", {"config": {"max_tool_calls": 1}}, lambda r, n: r.status == "limit"),
    ("import os\nos._exit(3)", {}, lambda r, n: r.status == "crashed"),
]


async def test_each_of_many_executions_at_once_has_its_own_outcome(codemode: Codemode) -> None:
    codemode.registry.register_tool("echo", lambda n: n)
    numbers = range(5 * len(BEHAVIOURS))

    async def run(number: int) -> ExecutionResult:
        code, options, _ = BEHAVIOURS[number % len(BEHAVIOURS)]
        if number % 2:
            return await codemode.client.execute_async(code, inputs={"n": number}, **options)
        return await asyncio.to_thread(
            codemode.client.execute, code, inputs={"n": number}, **options
        )

    cancelled = asyncio.create_task(codemode.run_async("import time\ntime.sleep(600)"))
    results = asyncio.gather(*(run(number) for number in numbers))
    await asyncio.sleep(0.05)
    cancelled.cancel()

    for number, result in enumerate(await results):
        code, options, holds = BEHAVIOURS[number % len(BEHAVIOURS)]
        assert holds(result, number), (code, options, result)
    assert len({result.execution_id for result in await results}) == len(numbers)
    with pytest.raises(asyncio.CancelledError):
        await cancelled


def test_threads_and_loops_come_and_go_without_an_effect_on_others(codemode: Codemode) -> None:
    """A run of one thread continues while loops and threads with their own runs end."""
    codemode.registry.register_tool("echo", lambda n: n)
    stop = threading.Event()
    codemode.registry.register_tool("stopped", stop.is_set)
    with ThreadPoolExecutor(2) as pool:
        code = "import time\nrounds = 0\nwhile not stopped():\n    rounds += 1\n    time.sleep(0.005)\nrounds"
        long = pool.submit(codemode.run, code)
        for number in range(5):
            assert asyncio.run(codemode.run_async(f"echo({number})")).value == number
            thread = threading.Thread(target=codemode.run, args=(f"echo({number})",))
            thread.start()
            thread.join()
        stop.set()
        result = long.result(60)
    assert result.ok, result.error
    assert result.value > 0
