"""A PostgreSQL server that belongs to the tests: a temporary folder, a Unix socket, no TCP."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import psycopg

__all__ = ["PostgresServer", "PostgresUnavailableError", "find_programs"]

_OLDEST = 15  # required by the newest supported Django
_START_SECONDS = 120.0
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "16MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


class PostgresUnavailableError(RuntimeError):
    """The reason why this host cannot run a PostgreSQL server."""


class PostgresServer:
    """A new cluster and its server; both are removed after the ``with`` block.

    Raises PostgresUnavailableError where PostgreSQL is not installed, or this user may not run it.
    """

    def __init__(self) -> None:
        self._programs = find_programs()
        self._user = _server_user()
        # Not tmp_path: its name may be too long for a socket.
        self.folder = Path(tempfile.mkdtemp(prefix="cm-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_START_SECONDS)
        shutil.rmtree(self.folder)

    def _start(self) -> None:
        data = self.folder / "data"
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        made = subprocess.run(
            [
                *(self._programs / "initdb", "--no-sync", "--auth=trust", "--username=postgres"),
                *("--encoding=UTF8", "--locale=C", f"--pgdata={data}"),
            ],
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
            check=False,
            **self._as_server_user(),
        )
        assert made.returncode == 0, made.stderr
        options = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", data, "-k", self.folder),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_server_user(),
            )
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            log = (self.folder / "log").read_text(errors="replace")
            assert self._process.poll() is None, f"the server ended: {log}"
            assert time.monotonic() < deadline, f"the server does not serve: {log}"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _as_server_user(self) -> dict[str, Any]:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        common: dict[str, Any] = {"cwd": self.folder, "env": environment}
        if self._user is None:
            return common
        identity = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        return {**common, **identity}


def find_programs() -> Path:
    """Return the folder of PostgreSQL's server programs. Raises PostgresUnavailableError."""
    on_path = shutil.which("postgres")
    # Debian keeps the programs of each major version off the PATH.
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    found = [folder for folder in folders if all((folder / one).exists() for one in _NEEDED)]
    if not found:
        raise PostgresUnavailableError(
            "PostgreSQL's server programs are not installed (on Debian: apt install postgresql)"
        )
    newest = found[0]
    said = subprocess.run(
        [newest / "postgres", "--version"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    version = re.search(r"(\d+)", said)
    if version is None or int(version[1]) < _OLDEST:
        raise PostgresUnavailableError(
            f"{newest} holds {said.strip()!r}; expected PostgreSQL {_OLDEST} or newer"
        )
    return newest


_NEEDED = ("initdb", "postgres")


def _major(folder: Path) -> int:
    digits = re.match(r"\d+", folder.parent.name)
    return int(digits[0]) if digits else 0


def _server_user() -> pwd.struct_passwd | None:
    """Return the user to run the server as; None is this user. PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError as error:
            raise PostgresUnavailableError(
                f"user {os.geteuid()} has no name on this host, which PostgreSQL asks for"
            ) from error
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise PostgresUnavailableError(
        "PostgreSQL does not run as root, and this host has neither a user postgres nor nobody"
    )
