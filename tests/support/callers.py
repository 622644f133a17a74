"""Callers of several tenants that execute at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from codemode import Codemode, ExecutorBusyError, RuntimeContext
from tests.support.gate import Gate

__all__ = ["Callers", "tenant_of"]


def tenant_of(context: RuntimeContext | None) -> str:
    return str(context.get("tenant")) if context else ""


class Callers:
    """Executions for several tenants, with a record of how each one ended."""

    def __init__(self, codemode: Codemode) -> None:
        self.codemode = codemode
        self.gate = Gate()
        self.order: list[str] = []
        self.busy: Counter[str] = Counter()
        codemode.registry.register_tool("gate", self.gate)

    async def execute(self, tenant: str, code: str = "1", **options: Any) -> None:
        try:
            with self.codemode.registry.context(tenant=tenant):
                await self.codemode.run_async(code, **options)
        except ExecutorBusyError:
            self.busy[tenant] += 1
        else:
            self.order.append(tenant)

    def start(self, tenant: str, *, count: int = 1, **options: Any) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.execute(tenant, **options)) for _ in range(count)]
