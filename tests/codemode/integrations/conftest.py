from __future__ import annotations

import pytest

from tests.codemode.integrations.agents import AGENTS, Agent
from tests.support.frameworks import needs_frameworks


@pytest.fixture(params=AGENTS)
def agent(request: pytest.FixtureRequest) -> Agent:
    """Return an agent of each framework that is installed."""
    found = AGENTS[request.param]
    needs_frameworks(found.package)
    return found
