from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.puppets import Puppet, puppet_child


@pytest.fixture
async def puppet() -> AsyncIterator[Puppet]:
    """Yield a child whose frames the test writes."""
    async with puppet_child() as one:
        yield one
