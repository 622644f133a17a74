"""A tool that holds executions until it is opened."""

from __future__ import annotations

import asyncio

__all__ = ["Gate"]


class Gate:
    """A tool that holds its execution, and so its sandbox, until it is opened."""

    def __init__(self) -> None:
        self.held = 0
        self._open = asyncio.Event()
        self._changed = asyncio.Condition()

    async def __call__(self) -> None:
        self.held += 1
        async with self._changed:
            self._changed.notify_all()
        await self._open.wait()

    async def holds(self, count: int) -> None:
        async with self._changed, asyncio.timeout(60):
            await self._changed.wait_for(lambda: self.held >= count)

    def open(self) -> None:
        self._open.set()
