"""Parts that several benchmarks use: a facade with its executor, and its tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from codemode import Codemode
from codemode.config import ClientConfig
from codemode.core.client import FairnessKey

__all__ = ["TRIVIAL", "async_codemode", "executor_pid", "sync_codemode"]

TRIVIAL = "1 + 1"

TOOL_SECONDS = 0.01


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def nap(number: int) -> int:
    """Return the number after 10 ms."""
    await asyncio.sleep(TOOL_SECONDS)
    return number


@contextmanager
def sync_codemode() -> Iterator[Codemode]:
    """Yield a facade whose embedded executor already runs, for use from threads."""
    with _codemode() as codemode:
        codemode.run(TRIVIAL)
        yield codemode


@asynccontextmanager
async def async_codemode(fairness_key: FairnessKey | None = None) -> AsyncIterator[Codemode]:
    """Yield a facade whose embedded executor already runs, for use from this loop."""
    async with _codemode(fairness_key) as codemode:
        await codemode.run_async(TRIVIAL)
        yield codemode


def executor_pid(codemode: Codemode) -> int:
    """Return the process id of the facade's executor."""
    embedded = codemode.client.embedded
    if embedded is None or embedded.pid is None:
        raise RuntimeError("the benchmark's executor is gone; its log says why")
    return embedded.pid


def _codemode(fairness_key: FairnessKey | None = None) -> Codemode:
    codemode = Codemode.from_client_config(ClientConfig(), fairness_key=fairness_key)
    codemode.registry.register_tool("add", add)
    codemode.registry.register_tool("nap", nap)
    return codemode
