from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    """Yield the process from which guests are forked."""
    forker = Forker()
    yield forker
    forker.close()
