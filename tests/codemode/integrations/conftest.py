from __future__ import annotations

import pytest

from tests.codemode.integrations.agents import AGENTS, Agent
from tests.support.frameworks import OF_CREWAI, needs_frameworks

MARKS = {"crewai": OF_CREWAI}


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in AGENTS])
def agent(request: pytest.FixtureRequest) -> Agent:
    """Return an agent of each framework that is installed."""
    found = AGENTS[request.param]
    needs_frameworks(found.package)
    return found
