"""Thousands of executions of eight tenants, many of which fail: each result is its caller's own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from codemode import (
    ClientConfig,
    Codemode,
    ExecutionResult,
    ExecutorConnectionError,
    ToolError,
    get_current_context,
    tool,
)
from codemode.core.events import ExecutionCompleted
from tests.support.belongings import belongings, settled
from tests.support.callers import tenant_of
from tests.support.processes import ExecutorProcess, descendants, wait_until

MIB = 1024 * 1024
TENANTS = [f"tenant-{number}" for number in range(8)]
TASKS, THREADS = 24, 8
POOL_SIZE = 8
BETWEEN_KILLS = 0.1

TOOL = "print(token)\nseen = {} whoami{}(token)\n"
# By name: the code, and its outcome when nothing interferes.
KINDS: dict[str, tuple[str, str]] = {
    "sync tool": (TOOL.format("", "") + "[seen, token]", "completed"),
    "async tool": (TOOL.format("await", "_async") + "[seen, token]", "completed"),
    "pool tool": (TOOL.format("", "_pool") + "[seen, token]", "completed"),
    "no tool": ("print(token)\n[[tenant, token], token]", "completed"),
    "raises": (TOOL.format("", "") + "raise ValueError(token)", "failed"),
    "tool raises": ("print(token)\nrefuse(token)", "failed"),
    "exits": ("import os\nprint(token, flush=True)\nos._exit(3)", "crashed"),
    "too slow": ("print(token)\nimport time\ntime.sleep(60)", "timeout"),
}
OFTEN = [*list(KINDS)[:4] * 5, *list(KINDS)[4:]]


class Soak:
    """Executions again and again, with a record of every unexpected outcome."""

    def __init__(self, codemode: Codemode) -> None:
        self.codemode = codemode
        self.wrong: list[Any] = []
        self.outcomes: Counter[str] = Counter()
        self._owners: dict[str, str] = {}
        self._tokens = itertools.count()
        for name, function in self._tools().items():
            codemode.registry.register_tool(name, function)

    def _tools(self) -> dict[str, Callable[..., Any]]:
        def whoami(token: str) -> list[str]:
            tenant = tenant_of(get_current_context())
            if self._owners[token] != tenant:
                self.wrong.append(("context", token, tenant))
            return [tenant, token]

        async def whoami_async(token: str) -> list[str]:
            await asyncio.sleep(0.001)
            return whoami(token)

        def refuse(token: str) -> None:
            raise ToolError(token)

        pool = tool(thread_sensitive=False)(lambda token: whoami(token))
        return {
            "whoami": whoami,
            "whoami_async": whoami_async,
            "whoami_pool": pool,
            "refuse": tool(refuse),
        }

    def run(self, count: int) -> None:
        """Execute so many times, by tasks and threads at once, until all have ended."""
        turns = iter(range(count))
        lock = threading.Lock()

        def more() -> int | None:
            with lock:
                return next(turns, None)

        threads = [
            threading.Thread(target=self._work, args=(more, seed), daemon=True)
            for seed in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        asyncio.run(self._work_in_tasks(more))
        for thread in threads:
            thread.join(600)
            assert not thread.is_alive()

    async def _work_in_tasks(self, more: Callable[[], int | None]) -> None:
        async with asyncio.TaskGroup() as group:
            for seed in range(TASKS):
                group.create_task(self._work_async(more, 1000 + seed))

    def _work(self, more: Callable[[], int | None], seed: int) -> None:
        choose = random.Random(seed)
        for turn in itertools.count():
            if more() is None:
                return
            try:
                self._one(choose, leave=turn % 20 == 1)
            except ExecutorConnectionError:
                self.outcomes["lost"] += 1
            except Exception as error:  # noqa: BLE001 - reported by the test's thread
                self.wrong.append(error)

    async def _work_async(self, more: Callable[[], int | None], seed: int) -> None:
        choose = random.Random(seed)
        for turn in itertools.count():
            if more() is None:
                return
            try:
                await self._one_async(choose, cancel=turn % 10 == 2)
            except ExecutorConnectionError:
                self.outcomes["lost"] += 1

    def _begin(self, choose: random.Random) -> tuple[str, str, str, dict[str, Any]]:
        kind, tenant = choose.choice(OFTEN), choose.choice(TENANTS)
        token = f"{tenant}/{next(self._tokens)}"
        self._owners[token] = tenant
        options = {"inputs": {"token": token, "tenant": tenant}}
        timeout = 0.05 if kind == "too slow" else 60.0
        return kind, tenant, token, {**options, "execution_timeout": timeout}

    def _one(self, choose: random.Random, *, leave: bool) -> None:
        kind, tenant, token, options = self._begin(choose)
        with self.codemode.registry.context(tenant=tenant):
            stream = self.codemode.client.stream(KINDS[kind][0], **options)
            with contextlib.closing(stream) as events:
                for event in events:
                    if leave and event.type in ("started", "output"):
                        self.outcomes["left"] += 1
                        break
                    if isinstance(event, ExecutionCompleted):
                        self._check(kind, tenant, token, event.result)
        del self._owners[token]

    async def _one_async(self, choose: random.Random, *, cancel: bool) -> None:
        kind, tenant, token, options = self._begin(choose)
        with self.codemode.registry.context(tenant=tenant):
            run = asyncio.create_task(self.codemode.run_async(KINDS[kind][0], **options))
        if cancel:
            await asyncio.sleep(choose.random() * 0.05)
            run.cancel()
        try:
            self._check(kind, tenant, token, await run)
        except asyncio.CancelledError:
            self.outcomes["cancelled"] += 1
        del self._owners[token]

    def _check(self, kind: str, tenant: str, token: str, result: ExecutionResult) -> None:
        self.outcomes[result.status] += 1
        good = result.status in (KINDS[kind][1], "crashed")  # a killed sandbox has crashed
        good &= result.stdout in ("", f"{token}\n")
        good &= all(call.arguments == {"token": token} for call in result.tool_calls)
        if result.status == "completed":
            good &= result.value == [[tenant, token], token] and result.stdout == f"{token}\n"
        elif result.status == "failed":
            good &= result.error is not None and token in result.error.message
        if not good:
            self.wrong.append((kind, tenant, token, result))


@contextlib.contextmanager
def killing_sandboxes(executor: ExecutorProcess) -> Iterator[Counter[str]]:
    """Kill a sandbox now and then, either an idle one or one that runs code."""
    over, killed = threading.Event(), Counter[str]()
    choose = random.Random(7)

    def kill() -> None:
        while not over.wait(BETWEEN_KILLS):
            below = psutil.Process(executor.pid).children(recursive=True)
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                victim = choose.choice([one for one in below if one.ppid() != executor.pid])
                if not victim.children():
                    victim.kill()
                    killed["sandboxes"] += 1

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    yield killed
    over.set()
    thread.join(60)


@pytest.mark.parametrize(
    "count", [600, pytest.param(20_000, marks=[pytest.mark.deep, pytest.mark.timeout(1800)])]
)
def test_every_result_is_its_callers_and_nothing_grows(count: int) -> None:
    with ExecutorProcess("--max-concurrency", "16", "--pool-size", str(POOL_SIZE)) as executor:
        config = ClientConfig.parse(
            {"executor_url": executor.url, "limits": {"queue_timeout": 100.0}}
        )
        with Codemode.from_client_config(config, fairness_key=tenant_of) as codemode:
            soak = Soak(codemode)
            with killing_sandboxes(executor):
                soak.run(max(300, count // 20))
            # Replacements of the killed sandboxes, below the process that forks them.
            assert wait_until(lambda: len(descendants(executor.pid)) > POOL_SIZE)
            before = belongings(executor)
            soak.outcomes.clear()
            with killing_sandboxes(executor) as killed:
                soak.run(count)
            assert soak.wrong == []
            ended = soak.outcomes
            assert sum(ended.values()) == count, ended
            assert {
                "completed",
                "failed",
                "crashed",
                "timeout",
                "cancelled",
                "left",
            } <= ended.keys()
            assert ended["completed"] > count / 2
            assert ended["lost"] < count / 100
            assert killed["sandboxes"]
            assert settled(executor, before, 25 * MIB), (before, belongings(executor))
            assert codemode.execute("1 + 1") == "2"
            print(dict(ended), dict(killed), before, belongings(executor), sep="\n")
