"""The number of connections that the database itself sees, and temporarily registered tools."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from django.db import connection

from django_codemode.shared import shared

__all__ = ["MAX_SECONDS", "is_postgresql", "open_connections", "registered", "settled"]

MAX_SECONDS = 60.0


@contextmanager
def registered(**tools: object) -> Iterator[None]:
    """Register tools with the shared registry; ``__`` in a name stands for a dot."""
    names = [shared.registry.register_tool(name, one).name for name, one in tools.items()]
    try:
        yield
    finally:
        for name in names:
            shared.registry.unregister_tool(name)


def is_postgresql() -> bool:
    """Return whether these tests run on PostgreSQL, and not on SQLite."""
    return connection.vendor == "postgresql"


def open_connections() -> int:
    """Count this process's connections to the test database, as the database or the kernel sees
    them.
    """
    name = str(connection.settings_dict["NAME"])
    if not is_postgresql():
        return sum(one.path == name for one in psutil.Process().open_files())
    import psycopg

    with psycopg.connect(
        host=connection.settings_dict["HOST"], user="postgres", dbname="postgres"
    ) as observer:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        row = observer.execute(query, [name]).fetchone()
    assert row is not None
    return int(row[0])


def settled(expected: int) -> int:
    """Return the number of connections once it is ``expected``, or after a timeout."""
    deadline = time.monotonic() + MAX_SECONDS
    while (count := open_connections()) != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    return count


def value_of(result: Any) -> Any:
    """Return the value of a run that must have completed."""
    assert result.ok, result.error
    return result.value
