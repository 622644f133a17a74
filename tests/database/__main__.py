"""A report of the transaction that tools are in, on each database: ``python -m tests.database``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from tests.database.postgresql import PostgresServer, PostgresUnavailableError
from tests.support.paths import ROOT
from tests.support.tables import table


def main() -> int:
    """Run the matrix on SQLite and on PostgreSQL; return 1 when a cell does not hold."""
    held = [show("SQLite", "tests.settings", {})]
    try:
        with PostgresServer() as server:
            environment = {"CODEMODE_TEST_POSTGRESQL_HOST": str(server.folder)}
            held.append(show("PostgreSQL", "tests.database.postgresql_settings", environment))
    except PostgresUnavailableError as reason:
        print(f"\nPostgreSQL is left out: {reason}")
    return int(not all(held))


def show(database: str, settings: str, environment: Mapping[str, str]) -> bool:
    with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider"),
                *(
                    "-p",
                    "tests.database.cells",
                    f"--ds={settings}",
                    "tests/database/test_matrix.py",
                ),
            ],
            cwd=ROOT,
            env={**os.environ, **environment, "CODEMODE_TEST_CELLS": report.name},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        cells = {(row, column): text for row, column, text in json.load(report)}
    print(f"\n{database}: the connection and transaction of a tool\n\n{table(cells)}")
    if ended.returncode:
        print(ended.stdout)
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
