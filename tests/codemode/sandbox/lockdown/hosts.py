"""What this host can do, for tests that need a certain tier, and executors of one tier."""

from __future__ import annotations

import asyncio
from functools import cache

import pytest

from codemode.config import CEILINGS, Tier
from codemode.errors import ConfigurationError
from codemode.executor.cgroups import Cgroups
from codemode.executor.isolation import choose

__all__ = ["delegated", "needs_tier", "offered"]


@cache
def offered(tier: Tier) -> str:
    """Say why the host does not offer a tier; empty when it does."""
    try:
        asyncio.run(choose("unsafe", CEILINGS, tier=tier))
    except ConfigurationError as error:
        return str(error)
    return ""


def needs_tier(tier: Tier) -> None:
    """Skip the test where the host lacks the tier."""
    if why := offered(tier):
        pytest.skip(f"tier {tier} is not offered here: {why}")


@cache
def delegated() -> tuple[str, ...]:
    """Return the controllers of control groups that an executor started here would use."""
    cgroups = Cgroups()
    controllers = cgroups.controllers
    cgroups.close()
    return controllers
