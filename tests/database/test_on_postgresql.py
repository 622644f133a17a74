"""The promises about connections and transactions, on a real PostgreSQL server as well."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database.postgresql import PostgresServer, PostgresUnavailableError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
    except PostgresUnavailableError as reason:
        # Set where the programs have been installed for these very tests.
        if "CODEMODE_TEST_POSTGRESQL_REQUIRED" in os.environ:
            raise
        pytest.skip(str(reason))
    with server:
        yield server


@pytest.mark.timeout(300)
def test_the_promises_hold_on_postgresql(server: PostgresServer) -> None:
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-ra", "-p", "no:cacheprovider"]
    command += ["--ds=tests.database.postgresql_settings", "tests/database"]
    done = subprocess.run(
        [*command, f"--ignore={Path(__file__)}"],
        cwd=ROOT,
        env={**os.environ, "CODEMODE_TEST_POSTGRESQL_HOST": str(server.folder)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    # Nothing may be left out there, such as what only PostgreSQL can show.
    assert "skipped" not in done.stdout, done.stdout
