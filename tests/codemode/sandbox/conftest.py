from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.codemode.sandbox.guest_driver import Forker


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    """Own the process that guests are forked from."""
    forker = Forker()
    yield forker
    forker.close()
