from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from codemode.config import CEILINGS, Tier
from codemode.errors import ConfigurationError
from codemode.executor.isolation import choose

TIERS: tuple[Tier, ...] = ("A", "B", "C")


@pytest.fixture(scope="session")
def lacking() -> Callable[[Tier], str]:
    """Tell why this host does not offer a tier; nothing when it does."""
    known: dict[Tier, str] = {}

    def reason(tier: Tier) -> str:
        if tier not in known:
            try:
                asyncio.run(choose("unsafe", CEILINGS, tier=tier))
                known[tier] = ""
            except ConfigurationError as error:
                known[tier] = str(error)
        return known[tier]

    return reason


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, lacking: Callable[[Tier], str]) -> Tier:
    """Give each tier that this host offers."""
    tier: Tier = request.param
    skip_without(tier, lacking)
    return tier


def skip_without(tier: Tier, lacking: Callable[[Tier], str]) -> None:
    """Skip the test, by the name of the tier, where the host does not offer it."""
    if why := lacking(tier):
        pytest.skip(f"tier {tier} is not offered here: {why}")
