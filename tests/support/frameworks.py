"""The agent frameworks, which only an environment of their own has."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

__all__ = ["needs_frameworks"]


def needs_frameworks(package: str) -> None:
    """Skip the test where a package of a framework is missing, unless all are required."""
    if find_spec(package) is None:
        reason = f"{package} is missing, of the group frameworks"
        if "CODEMODE_TEST_FRAMEWORKS_REQUIRED" in os.environ:
            pytest.fail(reason)
        pytest.skip(f"{reason}; CODEMODE_TEST_FRAMEWORKS_REQUIRED=1 fails then")
