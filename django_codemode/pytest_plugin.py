"""Fixtures for pytest, loaded on request: ``-p django_codemode.pytest_plugin``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django_codemode.testing import CodemodeTester

__all__ = ["codemode"]

pytest_plugins = ["codemode.pytest_plugin"]


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give tests with a cassette the database while they are recorded; replayed, they need none."""
    record, again = config.getoption("--codemode-record"), config.getoption("--codemode-rerecord")
    if (record or again) and config.pluginmanager.has_plugin("django"):
        for item in items:
            if "codemode_cassette" in getattr(item, "fixturenames", ()):
                item.add_marker("django_db")
