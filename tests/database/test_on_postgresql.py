"""The promises about connections and transactions also hold on a real PostgreSQL server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database.postgresql import PostgresServer, PostgresUnavailableError
from tests.support.paths import ROOT


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
    except PostgresUnavailableError as reason:
        # Set where the programs are installed for these tests in particular.
        if os.environ.get("CODEMODE_TEST_POSTGRESQL_REQUIRED"):
            raise
        pytest.skip(str(reason))
    with server:
        yield server


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_the_promises_hold_on_postgresql(
    server: PostgresServer, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    log = tmp_path / "report.jsonl"
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-ra", "-p", "no:cacheprovider"]
    command += ["--ds=tests.database.postgresql_settings", "tests/database"]
    done = subprocess.run(
        [*command, f"--ignore={Path(__file__)}", f"--report-log={log}"],
        cwd=ROOT,
        env={**os.environ, "CODEMODE_TEST_POSTGRESQL_HOST": str(server.folder)},
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )
    # A second try of this test would be a second try of all the tests in it.
    if done.returncode and must_not_be_retried(log):
        request.node.add_marker("no_retry")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    # No test may be skipped there, least of all one that only PostgreSQL can run.
    assert "skipped" not in done.stdout, done.stdout


def must_not_be_retried(log: Path) -> bool:
    """Return whether a test that must not be retried is among the failed ones."""
    entries = map(json.loads, log.read_text("utf-8").splitlines())
    failed = (entry for entry in entries if entry.get("outcome") == "failed")
    return any("no_retry" in entry.get("keywords", ()) for entry in failed)
