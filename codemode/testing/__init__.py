"""Cassettes for tests: recorded runs in files, from which the tools answer."""

from __future__ import annotations

from codemode.testing.cassette import (
    Cassette,
    CassetteError,
    CassetteMode,
    CassetteRun,
    use_cassette,
)

__all__ = ["Cassette", "CassetteError", "CassetteMode", "CassetteRun", "use_cassette"]
