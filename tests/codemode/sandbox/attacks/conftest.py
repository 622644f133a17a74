from __future__ import annotations

import pytest

from codemode.config import Tier
from tests.support.hosts import needs_tier
from tests.support.marks import deep_except

TIERS: tuple[Tier, ...] = ("A", "B", "C")


@pytest.fixture(params=deep_except(TIERS, "A"))
def tier(request: pytest.FixtureRequest) -> Tier:
    """Give each tier that this host offers."""
    tier: Tier = request.param
    needs_tier(tier)
    return tier
