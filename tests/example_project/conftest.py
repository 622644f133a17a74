from __future__ import annotations

import pytest

from shop.seed import seed


@pytest.fixture
def shop(db: None) -> None:
    """Fill the database with the example's data."""
    assert seed()
