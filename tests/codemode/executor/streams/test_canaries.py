"""A zygote serves only after its sandboxes have withstood an attack, at the start and later."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from codemode import Codemode, ExecutorConnectionError
from codemode.config import Tier
from codemode.executor.pool import zygotes
from codemode.executor.pool.pool import IsolationBrokenError, Pool
from codemode.executor.pool.zygotes import ZygoteTerms
from codemode.executor.serving.server import ExecutorServer
from codemode.executor.streams import canaries as canary
from tests.support.gate import Gate
from tests.support.hosts import needs_tier
from tests.support.marks import deep_except
from tests.support.processes import is_running
from tests.support.serving import serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# The layer per tier whose absence a canary detects.
WALLS: Mapping[Tier, str] = {"A": "seccomp_filter", "C": "landlock_files"}


@pytest.fixture(params=deep_except(["A", "C"], "A"))
def tier(request: pytest.FixtureRequest) -> Tier:
    """Return each tier whose zygotes are made in a way of their own."""
    tier: Tier = request.param
    needs_tier(tier)
    return tier


def weaker(terms: ZygoteTerms, tier: Tier) -> ZygoteTerms:
    sandbox = dataclasses.replace(terms.sandbox, without=(WALLS[tier],))
    return dataclasses.replace(terms, sandbox=sandbox)


class Served:
    """A served tier whose next zygotes can be weakened."""

    def __init__(self, server: ExecutorServer, codemode: Codemode, health: Any) -> None:
        self.codemode = codemode
        self._health = health
        self.pool: Pool = server.pools["default"]
        self._whole = self.pool.terms

    def weaken(self, tier: Tier) -> None:
        self.pool.terms = weaker(self._whole, tier)

    def mend(self) -> None:
        self.pool.terms = self._whole

    async def health(self) -> int:
        answer = await self._health.Check(health_pb2.HealthCheckRequest())
        return int(answer.status)

    async def health_becomes(self, wanted: int, seconds: float = 60) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.health() != wanted:
                    await asyncio.sleep(0.02)
                return True
        return False


@contextlib.asynccontextmanager
async def serving_tier(tier: Tier, **options: Any) -> AsyncIterator[Served]:
    async with (
        serving(tier, **options) as (codemode, server),
        grpc.aio.insecure_channel(codemode.client.url) as channel,
    ):
        yield Served(server, codemode, health_pb2_grpc.HealthStub(channel))


async def test_weaker_zygote_never_replaces_one_that_died(tier: Tier) -> None:
    async with serving_tier(tier) as served:
        served.weaken(tier)
        os.kill(served.pool.zygote_pids()[0], signal.SIGKILL)
        assert await served.health_becomes(NOT_SERVING)
        # Until the broken layer is known, executions wait; then they are refused.
        with pytest.raises(ExecutorConnectionError, match=f"tier {tier} does not hold") as caught:
            await served.codemode.run_async("1")
        assert caught.value.result is None, "nothing has run"
        assert "Refusing to run untrusted code" in str(caught.value)
        assert await served.health() == NOT_SERVING
        served.mend()
        assert await served.health_becomes(SERVING)
        assert await served.codemode.execute_async("6 * 7") == "42"


async def test_weaker_zygote_never_replaces_one_that_is_old(tier: Tier) -> None:
    async with serving_tier(tier, zygote_max_age=1.5) as served:
        (old,) = served.pool.zygote_pids()
        gate = Gate()
        served.codemode.registry.register_tool("gate", gate)
        run = asyncio.create_task(
            served.codemode.run_async("await gate()\n'whole'", execution_timeout=600)
        )
        await gate.holds(1)
        served.weaken(tier)
        assert await served.health_becomes(NOT_SERVING)
        # The old zygote had passed, but the fault may now be the host's.
        with pytest.raises(ExecutorConnectionError, match=f"tier {tier} does not hold"):
            await served.codemode.run_async("1")
        gate.open()
        assert (await run).value == "whole"
        served.mend()
        assert await served.health_becomes(SERVING)
        assert await served.codemode.execute_async("6 * 7") == "42"
        async with asyncio.timeout(60):
            while is_running(old):
                await asyncio.sleep(0.02)


async def test_weaker_zygote_does_not_serve_at_the_start(
    tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = zygotes.Zygote

    def make(terms: ZygoteTerms, **options: Any) -> Any:
        return made(weaker(terms, tier), **options)

    monkeypatch.setattr("codemode.executor.pool.pool.Zygote", make)
    with pytest.raises(
        IsolationBrokenError, match="(a file outside cannot be read|no network): got 'it worked'"
    ):
        async with serving_tier(tier):
            pytest.fail("it serves")


async def test_no_code_runs_while_a_zygote_is_being_proved(
    tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    proving, go_on = asyncio.Event(), asyncio.Event()
    real = canary.run_canaries

    async def held(*arguments: Any) -> Mapping[str, str]:
        proving.set()
        await go_on.wait()
        return await real(*arguments)

    async with serving_tier(tier) as served:
        monkeypatch.setattr(served.pool, "_prover", held)
        os.kill(served.pool.zygote_pids()[0], signal.SIGKILL)
        await asyncio.wait_for(proving.wait(), 60)
        assert await served.health_becomes(NOT_SERVING)
        run = asyncio.create_task(served.codemode.run_async("6 * 7"))
        await asyncio.sleep(0.3)
        assert not run.done()
        go_on.set()
        assert (await run).value == 42
        assert await served.health_becomes(SERVING)


async def test_proving_a_successor_delays_nobody(tier: Tier) -> None:
    """Zygotes are recycled again and again under load, and every run completes."""
    async with serving_tier(tier, zygote_max_age=0.3) as served:
        zygotes: set[int] = set()

        async def work(number: int) -> None:
            while len(zygotes) < 4:
                result = await served.codemode.run_async(f"import time\ntime.sleep(0.02)\n{number}")
                assert result.value == number, result
                zygotes.update(served.pool.zygote_pids())

        async with asyncio.timeout(100):
            await asyncio.gather(*(work(number) for number in range(8)))
