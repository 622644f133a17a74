"""The example's site, started by its own ``runserver`` in a folder without a database."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from tests.support.paths import ROOT
from tests.support.processes import free_port, wait_until

__all__ = ["ExampleSite"]

# Variables that would lead the site to other settings, or to a real model.
FOREIGN = ("DJANGO_SETTINGS_MODULE", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY")


class ExampleSite:
    """A copy of the example, served while the block lasts."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options

    def __enter__(self) -> Self:
        ignored = shutil.ignore_patterns("*.sqlite3*", "__pycache__")
        self._project = shutil.copytree(
            ROOT / "example_project", self._folder / "project", ignore=ignored
        )
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, str(self._project / "manage.py"), "runserver", "--noreload"]
        self._log = self._folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *self._options, f"127.0.0.1:{port}"],
                env={
                    **{name: one for name, one in os.environ.items() if name not in FOREIGN},
                    "PYTHONPATH": str(ROOT),
                },
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: self._answers(port))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def write(self, statement: str, *values: str) -> None:
        """Execute SQL in the site's database."""
        with closing(sqlite3.connect(self._project / "db.sqlite3")) as database, database:
            assert database.execute(statement, values).rowcount > 0

    @contextmanager
    def with_program(self, name: str, code: str) -> Iterator[None]:
        """Let the scripted model write other code in place of one of its programs."""
        program = self._project / "scripts" / "assistant" / name
        original = program.read_text("utf-8")
        program.write_text(code, "utf-8")
        yield
        program.write_text(original, "utf-8")

    def _answers(self, port: int) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
