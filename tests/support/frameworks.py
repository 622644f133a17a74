"""The agent frameworks, which only environments of their own have."""

from __future__ import annotations

import atexit
import functools
import os
import tempfile
import warnings
from importlib import import_module
from importlib.util import find_spec

import pytest

__all__ = ["APART", "OF_CREWAI", "needs_frameworks", "quiet_crewai"]

APART = {"crewai": "crewai", "google.adk": "google-adk"}
"""The packages that go neither together nor with the group frameworks, each with its extra."""

OF_CREWAI = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""The mark of tests that run CrewAI, which uses what it has deprecated itself."""


def needs_frameworks(package: str) -> None:
    """Skip the test where a package of a framework is missing, unless it is required.

    ``CODEMODE_TEST_FRAMEWORKS_REQUIRED=1`` requires those of the group frameworks,
    the name of another package that one.
    """
    apart = next(filter(find_spec, APART), package)
    if find_spec(package) is None or apart != package:
        # CrewAI, for one, brings a release of openai that is too old for the adapter of openai.
        missing = "missing" if apart == package else f"not tested beside {apart}"
        reason = f"{package}, of {APART.get(package, 'the group frameworks')}, is {missing}"
        requirement = package if package in APART else "1"
        if os.environ.get("CODEMODE_TEST_FRAMEWORKS_REQUIRED") == requirement:
            pytest.fail(reason)
        pytest.skip(f"{reason}; CODEMODE_TEST_FRAMEWORKS_REQUIRED={requirement} fails then")
    if package == "crewai":
        os.environ.update(quiet_crewai())
        with warnings.catch_warnings(action="ignore"):  # it warns of its own modules
            import_module(package)


@functools.cache
def quiet_crewai() -> dict[str, str]:
    """Return the variables of the environment that keep CrewAI from reporting its use.

    It writes below the home folder, so that is a temporary one.
    """
    folder = tempfile.TemporaryDirectory(prefix="cm-crewai-")
    atexit.register(folder.cleanup)
    return {
        "CREWAI_DISABLE_TELEMETRY": "true",
        "CREWAI_TESTING": "true",
        "CREWAI_TRACING_ENABLED": "false",
        "HOME": folder.name,
        "XDG_DATA_HOME": folder.name,
    }
