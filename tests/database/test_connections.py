"""The connections of tools: whose they are, that none is left, and that no other one is closed."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.test import TestCase, TransactionTestCase

from codemode import ExecutionResult, tool
from codemode.core._dispatch import threads
from django_codemode import get_codemode
from django_codemode.database import release_connections
from shop.models import Merchant
from tests.database.connections import (
    is_postgresql,
    open_connections,
    registered,
    settled,
    value_of,
)


@tool(thread_sensitive=False)
def pooled(seconds: float = 0.0) -> int:
    Merchant.objects.count()
    time.sleep(seconds)
    return id(connection.connection)


@tool(thread_sensitive=False)
def pooled_make(slug: str) -> None:
    Merchant.objects.create(slug=slug, name=slug, currency="EUR")


@tool(thread_sensitive=False)
def pooled_break() -> None:
    with connection.cursor() as cursor:
        cursor.execute("no such statement")


@tool(thread_sensitive=False)
def pooled_count() -> int:
    return Merchant.objects.count()


def count() -> int:
    return Merchant.objects.count()


async def acount() -> int:
    return await Merchant.objects.acount()


@pytest.fixture(autouse=True)
def tools() -> Iterator[None]:
    names: dict[str, object] = {
        "pooled": pooled,
        "pooled_make": pooled_make,
        "pooled_break": pooled_break,
        "pooled_count": pooled_count,
        "count": count,
        "acount": acount,
    }
    with registered(**names):
        yield
    drop_pool()


def drop_pool() -> None:
    """End the pool's threads, and close their connections."""
    pool = threads._pools.pop(0, None)
    if pool is None:
        return
    count = 0
    # While a thread is still busy, the pool starts another in its place.
    while count != (count := len(pool._threads)):
        all_at_once = threading.Barrier(count)

        def close(all_at_once: threading.Barrier = all_at_once) -> None:
            all_at_once.wait(60)
            connections.close_all()

        for closing in [pool.submit(close) for _ in range(count)]:
            closing.result()
    pool.shutdown()


LONG = 600.0  # an age that no test reaches, even on a busy machine


@contextmanager
def connection_age(seconds: float | None, **more: Any) -> Iterator[None]:
    """Set CONN_MAX_AGE for every thread: these settings are those of each new connection."""
    before = {name: connection.settings_dict[name] for name in ("CONN_MAX_AGE", *more)}
    connections.settings["default"].update(CONN_MAX_AGE=seconds, **more)
    connection.settings_dict.update(CONN_MAX_AGE=seconds, **more)
    try:
        yield
    finally:
        connections.settings["default"].update(before)
        connection.settings_dict.update(before)


def run_sync(code: str) -> ExecutionResult:
    return get_codemode().run(code)


def run_async(code: str) -> ExecutionResult:
    async def run() -> ExecutionResult:
        try:
            return await get_codemode().run_async(code)
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(run())


HALVES = pytest.mark.parametrize("run", [run_sync, run_async])
MANY = "import asyncio, threading\nfrom concurrent.futures import ThreadPoolExecutor\n"
GATHERED = f"{MANY}with ThreadPoolExecutor(8) as t: list(t.map(lambda _: pooled(0.02), range(24)))"


@pytest.fixture
def mine(transactional_db: None) -> int:
    """Return the number of connections without any of the tools': this thread's own."""
    drop_pool()
    asyncio.run(sync_to_async(connections.close_all)())
    Merchant.objects.count()
    # PostgreSQL counts a connection for a moment after its client has closed it.
    assert settled(1) == 1
    return 1


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the pool to one thread; of several, any idle one may run the next tool."""
    drop_pool()
    monkeypatch.setattr(threads, "MAX_POOL_THREADS", 1)


class TestPool:
    """Tools with ``thread_sensitive=False``: each has a pool thread and its connection."""

    @HALVES
    def test_none_of_its_connections_is_left(self, mine: int, run: Any) -> None:
        value_of(run(GATHERED))
        assert settled(mine) == mine

    @HALVES
    def test_no_connection_is_left_after_a_tool_that_broke_it(self, mine: int, run: Any) -> None:
        assert run("pooled_break()").status == "failed"
        value_of(run("pooled()"))
        assert settled(mine) == mine

    @HALVES
    def test_with_an_age_they_stay_and_are_used_again(
        self, mine: int, one_thread: None, run: Any
    ) -> None:
        with connection_age(LONG):
            first = value_of(run("pooled()"))
            assert settled(mine + 1) == mine + 1
            assert value_of(run("pooled()")) == first
            assert settled(mine + 1) == mine + 1
            drop_pool()

    def test_a_connection_past_its_age_is_not_used(self, mine: int, one_thread: None) -> None:
        used: list[Any] = []

        @tool(thread_sensitive=False)
        def use() -> None:
            Merchant.objects.count()
            used.append((connections["default"], connection.connection))

        with connection_age(LONG), registered(use=use):
            value_of(run_sync("use()"))
            assert settled(mine + 1) == mine + 1
            wrapper, old = used[0]
            wrapper.close_at = time.monotonic()
            if is_postgresql():
                terminate_others()
            value_of(run_sync("use()"))
            assert used[1][0] is wrapper
            assert used[1][1] is not old
            drop_pool()

    def test_one_that_the_server_has_ended_costs_nothing_with_health_checks(
        self, mine: int, one_thread: None
    ) -> None:
        if not is_postgresql():
            pytest.skip("SQLite has no server that could end a connection")
        with connection_age(LONG, CONN_HEALTH_CHECKS=True):
            value_of(run_sync("pooled()"))
            terminate_others()
            value_of(run_sync("pooled()"))
            drop_pool()

    def test_and_one_failed_call_without(self, mine: int, one_thread: None) -> None:
        if not is_postgresql():
            pytest.skip("SQLite has no server that could end a connection")
        with connection_age(LONG):
            value_of(run_sync("pooled()"))
            terminate_others()
            assert run_sync("pooled()").status == "failed"
            value_of(run_sync("pooled()"))
            drop_pool()

    def test_the_pool_is_bounded_and_so_are_its_connections(self, mine: int) -> None:
        code = f"{MANY}with ThreadPoolExecutor(30) as t: list(t.map(lambda _: pooled(0.01), range(90)))"
        with connection_age(LONG):
            workers = [threading.Thread(target=lambda: value_of(run_sync(code))) for _ in range(3)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert mine < open_connections() <= mine + threads.MAX_POOL_THREADS
            drop_pool()
        assert settled(mine) == mine


def terminate_others() -> None:
    """End all other connections to the test database, as a restart of the server does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert settled(1) == 1


@pytest.mark.parametrize("age", [0, 60, None])
class TestInARunningLoop:
    """``execute()`` in a coroutine, which works in a thread with that thread's own connection."""

    def test_the_thread_leaves_no_connection(self, mine: int, age: float | None) -> None:
        async def run() -> list[int]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                return [value_of(run_sync("count() + await acount()")) for _ in range(5)]

        with connection_age(age):
            assert asyncio.run(run()) == [0] * 5
            assert settled(mine) == mine


class TestOfTheCaller:
    @HALVES
    def test_a_run_opens_no_other_connection(self, mine: int, run: Any) -> None:
        seen: list[int] = []
        with registered(look=lambda: seen.append(open_connections())):
            value_of(
                run(
                    "import asyncio\ncount()\nlook()\nawait asyncio.gather(acount(), acount())\nlook()"
                )
            )
        # Here the asynchronous half runs sync code on asgiref's thread, not on this one.
        assert set(seen) == {mine + (run is run_async)}
        assert settled(mine) == mine

    @HALVES
    def test_a_persistent_connection_survives_its_runs(self, mine: int, run: Any) -> None:
        with connection_age(LONG):
            before = connection.connection
            value_of(run("count()\npooled()"))
            assert connection.connection is before
            assert count() == 0
            drop_pool()

    def test_many_runs_leave_no_connection(self, mine: int) -> None:
        for _ in range(20):
            value_of(run_sync("count() + await acount()\npooled()"))
        assert settled(mine) == mine


class ReleaseTests(TestCase):
    def test_a_connection_in_a_transaction_is_left_alone(self) -> None:
        Merchant.objects.create(slug="a", name="a", currency="EUR")
        connection.close_at = 0
        try:
            release_connections()
        finally:
            connection.close_at = None
        assert connection.connection is not None
        assert count() == 1

    def test_pooled_tools_see_committed_rows_only_and_leave_the_test_s_connection(self) -> None:
        Merchant.objects.create(slug="a", name="a", currency="EUR")
        assert value_of(run_sync("pooled_count()")) == 0
        assert count() == 1

    async def test_pooled_tools_of_an_asynchronous_test_see_committed_rows_only(self) -> None:
        await Merchant.objects.acreate(slug="a", name="a", currency="EUR")
        code = "[pooled_count(), count(), await acount()]"
        assert value_of(await get_codemode().run_async(code)) == [0, 1, 1]
        assert await Merchant.objects.acount() == 1


class ReleaseOutsideTests(TransactionTestCase):
    def test_a_connection_past_its_age_is_closed(self) -> None:
        count()
        connection.close_at = 0
        release_connections()
        assert connection.connection is None
