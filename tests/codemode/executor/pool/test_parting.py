"""A finished sandbox dies soon, without delaying its result or the next run."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from codemode import Codemode
from codemode.executor.pool import children as child_module
from codemode.executor.pool.children import Child, ChildState
from tests.support.raw_streams import RawStream, opening
from tests.support.serving import serving


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[Child]:
    """Return a list of all sandboxes that are to be closed soon."""
    children: list[Child] = []
    close_soon = Child.close_soon

    def noting(self: Child) -> None:
        children.append(self)
        close_soon(self)

    monkeypatch.setattr(Child, "close_soon", noting)
    return children


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the time until a sandbox is closed very long."""
    monkeypatch.setattr(child_module, "_FAREWELL_SECONDS", 600.0)


async def run_to_the_end(codemode: Codemode, **fields: Any) -> None:
    """Run code until its stream has ended, on the executor's side too."""
    async with grpc.aio.insecure_channel(codemode.client.url) as channel:
        stream = RawStream(channel)
        await stream.send(open=opening(**fields))
        assert (await stream.rest())[-1].WhichOneof("message") in ("completed", "failed")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("code", ["1 + 1", "1 / 0"])
async def test_result_comes_before_its_sandbox_is_killed(used: list[Child], code: str) -> None:
    async with serving(max_concurrency=2, pool_size=1) as (codemode, _):
        await run_to_the_end(codemode, code=code)
        (child,) = used
        assert child.state is ChildState.OPEN
    assert child.state is ChildState.CLOSED
    assert child.exited.done()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("bound", ["max_concurrency", "max_concurrency_per_key"])
async def test_sandbox_is_killed_at_once_where_the_next_run_would_wait(
    used: list[Child], bound: str
) -> None:
    options: dict[str, Any] = {"max_concurrency": 2, "pool_size": 1, bound: 1}
    async with serving(**options) as (codemode, _):
        await run_to_the_end(codemode, fairness_key="acme")
        (child,) = used
        assert child.state is ChildState.CLOSED


async def test_sandbox_is_killed_even_when_its_result_is_not_read(used: list[Child]) -> None:
    async with (
        serving(max_concurrency=2, pool_size=1) as (codemode, _),
        grpc.aio.insecure_channel(codemode.client.url) as channel,
    ):
        stream = RawStream(channel)
        await stream.send(open=opening("'x' * 8_000_000"))
        async with asyncio.timeout(60):
            while not (used and used[0].state is ChildState.CLOSED):
                await asyncio.sleep(0.005)
        assert not stream.call.done()
