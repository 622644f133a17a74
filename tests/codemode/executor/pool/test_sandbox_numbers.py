"""As many sandboxes at once as there are descriptors, whatever their numbers."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codemode.config import Tier
from tests.support.hosts import needs_tier
from tests.support.marks import deep_except
from tests.support.processes import becomes
from tests.support.served_pools import a_run_meanwhile, serving_pool

MANY = 300

# For the executor alone: the tests' own limit could not be raised again.
_WITH_FEW = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
os.execv(sys.executable, [sys.executable, "-m", "codemode.executor", *sys.argv[1:]])
"""


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("tier", deep_except(["A", "B", "C", "unsafe"], "A"))
async def test_hundreds_of_sandboxes_run_at_once(tier: Tier) -> None:
    needs_tier(tier)
    inside = 0
    leave = asyncio.Event()

    async def gate() -> int:
        nonlocal inside
        inside += 1
        if inside == MANY:
            leave.set()
        await leave.wait()
        return inside

    async with serving_pool(tier, max_concurrency=MANY, max_queued=MANY) as served:
        served.codemode.registry.register_tool("gate", gate)
        runs = (served.run("await gate()", execution_timeout=300) for _ in range(MANY))
        assert await asyncio.gather(*runs) == [MANY] * MANY


@pytest.mark.parametrize("tier", deep_except(["A", "B", "C"], "C"))
def test_executor_serves_with_few_descriptors(tier: Tier) -> None:
    needs_tier(tier)
    options = ("--probe", "--json", "--tier", tier, "--min-tier", tier)
    done = subprocess.run(
        [sys.executable, "-c", _WITH_FEW, *options], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"]


@pytest.mark.parametrize("left", [0, 1])
async def test_zygote_without_descriptors_keeps_its_runs(left: int) -> None:
    async with serving_pool() as served, a_run_meanwhile(served):
        await served.is_full()
        zygote = served.zygote
        with few_descriptors(zygote, left):
            assert await served.run("1") == 1  # an idle one, which cannot be replaced
            assert await becomes(lambda: served.pool._failures > 0)
        await served.is_full()
        assert served.zygote == zygote


@contextmanager
def few_descriptors(pid: int, left: int) -> Iterator[None]:
    """Limit a process to ``left`` more open descriptors."""
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    free = (number for number in range(len(taken) + left + 1) if number not in taken)
    most = [*free][left]
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
