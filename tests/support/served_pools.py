"""An executor in this process, whose default pool the tests see."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from codemode import Codemode
from codemode.config import Tier
from codemode.executor.pool.pool import Pool
from codemode.executor.serving.server import ExecutorServer
from tests.support.processes import becomes
from tests.support.serving import serving

__all__ = ["PATIENCE", "Served", "a_run_meanwhile", "serving_pool"]

PATIENCE = 60.0


class Served:
    """An executor in this process, its default pool and a client of it."""

    def __init__(self, server: ExecutorServer, codemode: Codemode) -> None:
        self.server = server
        self.codemode = codemode
        self.pool: Pool = server.pools["default"]

    async def run(self, code: str, **options: Any) -> Any:
        async with asyncio.timeout(PATIENCE):
            result = await self.codemode.run_async(code, **options)
        assert result.ok, result
        return result.value

    @property
    def zygote(self) -> int:
        """Return the process id of the zygote that forks now; 0 while there is none."""
        return self.pool._zygote.pid if self.pool._zygote is not None else 0

    def strike(self, number: int) -> None:
        zygote = self.zygote
        assert zygote, "0 would be this process and its own"
        os.kill(zygote, number)

    def idle(self) -> list[int]:
        return [child.pid for _, child in self.pool._idle if not child.exited.done()]

    async def is_full(self) -> None:
        assert await becomes(lambda: len(self.idle()) == self.pool.size and not self.spawning)

    @property
    def spawning(self) -> int:
        return self.pool._zygote.spawning if self.pool._zygote is not None else 0


@contextlib.asynccontextmanager
async def serving_pool(tier: Tier = "unsafe", **options: Any) -> AsyncIterator[Served]:
    """Serve from this process, with a full pool."""
    async with serving(tier, **options) as (codemode, server):
        served = Served(server, codemode)
        await served.is_full()
        yield served


@contextlib.asynccontextmanager
async def a_run_meanwhile(served: Served) -> AsyncIterator[None]:
    """Keep a run that waits for a tool during the block; it must complete normally."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def gate() -> str:
        entered.set()
        await leave.wait()
        return "through"

    served.codemode.registry.register_tool("gate", gate)
    run = asyncio.create_task(served.run("await gate()", execution_timeout=300))
    await entered.wait()
    yield
    leave.set()
    assert await run == "through"
