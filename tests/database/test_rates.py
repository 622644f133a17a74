"""Executions counted in the database cache."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection, transaction
from django.test import override_settings

from django_codemode._requests.rates import count_execution
from tests.support.rates import allowed

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = "rates_of_the_tests"
DATABASE_CACHE = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": TABLE,
        "TIMEOUT": 1,
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    with override_settings(CACHES=DATABASE_CACHE):
        call_command("createcachetable", verbosity=0)
        yield
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE}")


def test_concurrent_attempts_are_all_counted() -> None:
    at_once = threading.Barrier(30)

    def attempt(_: int) -> int:
        at_once.wait(60)
        try:
            return allowed("alice", "5/day", 1)
        finally:
            connection.close()

    with ThreadPoolExecutor(30) as threads:
        assert sum(threads.map(attempt, range(30))) == 5


def test_a_count_lives_for_its_period_whatever_the_timeout_of_the_cache() -> None:
    assert allowed("alice", "3/day", 2) == 2
    numbers = [key for key in keys() if "rate:" in key]
    assert len(numbers) == 2
    # The database itself counts, because only it knows the format of its times.
    caches["default"].set("two_days", 1, 2 * 86_400 - 3600)
    two_days = f"SELECT expires FROM {TABLE} WHERE cache_key LIKE '%two_days'"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {TABLE} WHERE expires > ({two_days})")
        assert cursor.fetchone()[0] == 2
    assert allowed("alice", "3/day", 3) == 1
    assert allowed("bob", "3/day", 3) == 3


def test_a_number_is_found_by_few_queries_however_many_are_taken(
    django_assert_max_num_queries: Callable[[int], Iterator[None]],
) -> None:
    assert allowed("alice", "200/day", 150) == 150
    with django_assert_max_num_queries(20):  # type: ignore[attr-defined]  # it is a context manager
        assert allowed("alice", "200/day", 1) == 1
    assert allowed("alice", "200/day", 60) == 49


def test_a_transaction_that_is_rolled_back_counts_nothing() -> None:
    with transaction.atomic():
        assert allowed("alice", "2/day", 3) == 2
        transaction.set_rollback(True)
    assert allowed("alice", "2/day", 3) == 2


def test_a_cache_that_stores_nothing_lets_nobody_execute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE}")
    with pytest.raises(Exception, match=TABLE):
        count_execution("alice", "5/day")
    call_command("createcachetable", verbosity=0)
    monkeypatch.setattr(type(caches["default"]), "add", lambda *_args: False)
    with pytest.raises(RuntimeError, match="'default' neither adds nor counts an entry"):
        count_execution("alice", "5/day")


def keys() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT cache_key FROM {TABLE}")
        return [key for (key,) in cursor.fetchall()]
