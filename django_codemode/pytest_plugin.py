"""Fixtures for pytest, loaded on request: ``-p django_codemode.pytest_plugin``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django_codemode.testing import CodemodeTester

__all__ = ["codemode"]


@pytest.fixture
def codemode(_codemode_executor: None) -> Iterator[CodemodeTester]:
    """Run code with the project's tools in a real executor; see django_codemode.testing."""
    # Imported here: Django may not be set up when pytest loads its plugins.
    from django_codemode.testing import CodemodeTester

    with CodemodeTester() as tester:
        yield tester


@pytest.fixture(scope="session")
def _codemode_executor() -> Iterator[None]:
    """Close the executor at the end of the session; the first execution starts it."""
    yield
    from django_codemode.testing import close_executor

    close_executor()
