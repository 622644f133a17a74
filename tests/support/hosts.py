"""The abilities of this host, for tests that need a certain tier, and executors of one tier."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest

from codemode.config import CEILINGS, Tier
from codemode.errors import ConfigurationError
from codemode.executor.host.control_groups import Cgroups
from codemode.executor.host.isolation import choose

__all__ = ["delegated", "needs_tier", "offered"]


@cache
def offered(tier: Tier) -> str:
    """Return why the host does not offer a tier; empty when it does."""
    # In a thread, because an async test already has a loop.
    with ThreadPoolExecutor(1) as thread:
        try:
            thread.submit(lambda: asyncio.run(choose("unsafe", CEILINGS, tier=tier))).result()
        except ConfigurationError as error:
            return str(error)
    return ""


def needs_tier(tier: Tier) -> None:
    """Skip the test, naming the tier, where the host lacks it.

    ``CODEMODE_TEST_TIER_REQUIRED`` names a tier whose tests then fail instead: whoever sets it
    asserts that the host has the tier.
    """
    if why := offered(tier):
        reason = f"tier {tier} is not offered here: {why}"
        if tier == os.environ.get("CODEMODE_TEST_TIER_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)


@cache
def delegated() -> tuple[str, ...]:
    """Return the controllers of control groups that an executor started here would use."""
    cgroups = Cgroups()
    controllers = cgroups.controllers
    cgroups.close()
    return controllers
