"""Tools in the caller's transaction: what is rolled back, what stays, and who sees which rows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, transaction
from django.test import AsyncClient, TestCase, TransactionTestCase

from codemode import ExecutionResult, tool
from django_codemode import get_codemode
from shop.models import Merchant
from tests.database.connections import is_postgresql, registered, value_of
from tests.database.merchants import amake, committed, make, make_and_tell, make_twice, slugs


def make_then_fail(slug: str) -> None:
    make(slug)
    raise LookupError("after the row was written")


async def amake_twice_in_a_savepoint(slug: str) -> None:
    await sync_to_async(transaction.atomic(make_twice))(slug)


def rename(old: str, new: str) -> None:
    Merchant.objects.filter(slug=old).update(slug=new)


def lock(slug: str) -> str:
    return Merchant.objects.select_for_update().get(slug=slug).name


def set_name(slug: str, name: str) -> None:
    Merchant.objects.filter(slug=slug).update(name=name)


@pytest.fixture(autouse=True)
def tools() -> Iterator[None]:
    committed.clear()
    with registered(
        make=make,
        amake=amake,
        make_then_fail=make_then_fail,
        make_whole=tool(transaction.atomic(make_then_fail)),
        make_twice=make_twice,
        make_twice_in_a_savepoint=tool(transaction.atomic(make_twice)),
        amake_twice_in_a_savepoint=amake_twice_in_a_savepoint,
        make_and_tell=make_and_tell,
        rename=rename,
        lock=lock,
        set_name=set_name,
    ):
        yield


def run_sync(code: str) -> ExecutionResult:
    return get_codemode().run(code)


def run_async(code: str) -> ExecutionResult:
    """Run by the asynchronous half, from sync code, as a sync view might."""
    return async_to_sync(get_codemode().run_async)(code)


def call_sync(name: str, arguments: dict[str, Any]) -> Any:
    return get_codemode().call_tool(name, arguments)


def call_async(name: str, arguments: dict[str, Any]) -> Any:
    return async_to_sync(get_codemode().call_tool_async)(name, arguments)


HALVES = pytest.mark.parametrize("run", [run_sync, run_async])


class RolledBackError(Exception):
    pass


@pytest.mark.django_db(transaction=True)
class TestAtomicAroundARun:
    """The ``atomic`` block around ``run()``, which includes the tools, whichever half carries the
    run.
    """

    @HALVES
    @pytest.mark.parametrize("call", ["make('a')", "await amake('a')"])
    def test_a_rollback_takes_back_what_tools_wrote(self, run: Any, call: str) -> None:
        with pytest.raises(RolledBackError), transaction.atomic():
            value_of(run(call))
            assert slugs() == ["a"]
            raise RolledBackError
        assert slugs() == []

    @pytest.mark.parametrize("call", [call_sync, call_async])
    @pytest.mark.parametrize("name", ["make", "amake"])
    def test_a_rollback_takes_back_what_a_direct_call_wrote(self, call: Any, name: str) -> None:
        with pytest.raises(RolledBackError), transaction.atomic():
            call(name, {"slug": "a"})
            assert slugs() == ["a"]
            raise RolledBackError
        assert slugs() == []

    @HALVES
    @pytest.mark.parametrize("call", ["make('a')", "await amake('a')"])
    def test_a_commit_keeps_it(self, run: Any, call: str) -> None:
        with transaction.atomic():
            value_of(run(call))
        assert slugs() == ["a"]

    @HALVES
    def test_without_one_each_statement_is_committed_at_once(self, run: Any) -> None:
        result = run("make('a')\nawait amake('b')\nmake_then_fail('c')")
        assert result.status == "failed"
        assert slugs() == ["a", "b", "c"]
        assert not connection.in_atomic_block

    @HALVES
    def test_code_that_fails_takes_nothing_back_by_itself(self, run: Any) -> None:
        with transaction.atomic():
            assert run("make('a')\n1/0").status == "failed"
        assert slugs() == ["a"]

    def test_execute_raises_for_such_code_and_takes_it_back(self) -> None:
        from codemode import ExecutionError

        with pytest.raises(ExecutionError), transaction.atomic():
            get_codemode().execute("make('a')\n1/0")
        assert slugs() == []

    @HALVES
    @pytest.mark.parametrize(
        "ending", ["import time; time.sleep(60)", "while True: pass", "import os; os._exit(1)"]
    )
    def test_code_that_is_stopped_leaves_the_transaction_usable(
        self, run: Any, ending: str
    ) -> None:
        # A busy machine may need longer until the code reaches its end.
        for timeout in (0.5, 4, 30):
            with transaction.atomic(), get_limits(execution_timeout=timeout):
                result = run(f"make('a')\nawait amake('b')\n{ending}")
                assert result.status in ("timeout", "crashed")
                if [call.outcome for call in result.tool_calls] == ["completed"] * 2:
                    make("c")
                    break
                transaction.set_rollback(True)
        assert slugs() == ["a", "b", "c"]

    def test_each_run_of_a_session_is_in_the_transaction_around_it(self) -> None:
        with get_codemode().session() as session:
            with pytest.raises(RolledBackError), transaction.atomic():
                value_of(session.run("make('a')"))
                raise RolledBackError
            with transaction.atomic():
                value_of(session.run("make('b')"))
            value_of(session.run("make('c')"))
        assert slugs() == ["b", "c"]


def get_limits(**limits: Any) -> Any:
    from django.test import override_settings

    return override_settings(CODEMODE={"LIMITS": limits})


@pytest.mark.django_db(transaction=True)
class TestSavepoints:
    """Savepoints of tools: a tool gets one only when it asks for it by ``transaction.atomic``."""

    @HALVES
    def test_a_tool_that_fails_keeps_what_it_had_written(self, run: Any) -> None:
        with transaction.atomic():
            assert value_of(run(catching("make_then_fail('a')"))) == "LookupError"
        assert slugs() == ["a"]

    @HALVES
    def test_a_tool_that_is_atomic_is_all_or_nothing(self, run: Any) -> None:
        with transaction.atomic():
            assert value_of(run(catching("make_whole('a')") + "\nmake('b')")) == "LookupError"
        assert slugs() == ["b"]
        assert run("make_whole('c')").status == "failed"
        assert slugs() == ["b"]

    @HALVES
    @pytest.mark.parametrize(
        "call", ["make_twice_in_a_savepoint('a')", "await amake_twice_in_a_savepoint('a')"]
    )
    def test_an_error_of_the_database_within_a_savepoint_leaves_the_transaction_usable(
        self, run: Any, call: str
    ) -> None:
        with transaction.atomic():
            assert value_of(run(catching(call) + "\nmake('b')")) == "IntegrityError"
            make("c")
        assert slugs() == ["b", "c"]

    @HALVES
    def test_without_a_savepoint_an_error_of_the_database_breaks_the_whole_transaction(
        self, run: Any
    ) -> None:
        with transaction.atomic():
            make("before")
            result = run(catching("make_twice('a')") + "\nmake('b')")
        assert result.status == "failed"
        assert "An error occurred in the current transaction" in result.error.message
        # Everything is rolled back, and the connection works after the block.
        assert slugs() == []
        make("z")


def catching(call: str) -> str:
    """Return code that catches a tool's error, and whose value is the error's name."""
    return (
        f"result = None\ntry:\n    {call}\nexcept ToolError as error:\n"
        "    result = error.type if hasattr(error, 'type') else str(error)"
    )


@pytest.mark.django_db(transaction=True)
class TestOnCommit:
    @HALVES
    def test_it_runs_after_the_transaction_around_the_run(self, run: Any) -> None:
        with transaction.atomic():
            value_of(run("make_and_tell('a')"))
            assert committed == []
        assert committed == ["a"]

    @HALVES
    def test_it_does_not_run_when_that_is_rolled_back(self, run: Any) -> None:
        with pytest.raises(RolledBackError), transaction.atomic():
            value_of(run("make_and_tell('a')"))
            raise RolledBackError
        assert committed == []

    @HALVES
    def test_without_a_transaction_on_commit_runs_at_once(self, run: Any) -> None:
        value_of(run("make_and_tell('a')"))
        assert committed == ["a"]


@pytest.mark.django_db(transaction=True)
class TestLocks:
    def test_a_row_that_a_tool_has_locked_stays_locked_until_the_transaction_ends(self) -> None:
        if not is_postgresql():
            pytest.skip("SQLite has no row locks: select_for_update() does nothing there")
        make("stock")
        set_name("stock", "40")
        code = "left = int(lock('stock'))\nimport time; time.sleep(0.02)\nset_name('stock', str(left - 1))"
        codemode = get_codemode()

        def take(_: int) -> None:
            try:
                with transaction.atomic():
                    value_of(codemode.run(code))
            finally:
                connections.close_all()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(take, range(24)))
        assert Merchant.objects.get(slug="stock").name == "16"

    @HALVES
    def test_a_row_may_be_locked_by_one_tool_and_changed_by_the_next(self, run: Any) -> None:
        make("stock")
        with transaction.atomic():
            value_of(run("lock('stock')\nset_name('stock', '7')"))
        assert Merchant.objects.get(slug="stock").name == "7"

    @HALVES
    def test_locking_without_a_transaction_is_refused(self, run: Any) -> None:
        if not is_postgresql():
            pytest.skip("SQLite has no row locks: Django does not ask for a transaction there")
        make("stock")
        result = run("lock('stock')")
        assert "cannot be used outside of a transaction" in result.error.message


class InATestCase(TestCase):
    """Tests inside the transaction of a TestCase, which stays whole."""

    def test_on_commit_is_captured(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            value_of(run_sync("make_and_tell('a')"))
            assert committed == []
        assert len(callbacks) == 1
        assert committed == ["a"]

    def test_a_tool_that_fails_in_a_savepoint_leaves_the_transaction_usable(self) -> None:
        for run in (run_sync, run_async):
            result = run(catching("make_twice_in_a_savepoint('a')"))
            assert value_of(result) == "IntegrityError"
        assert slugs() == []
        make("b")

    async def test_a_run_works_in_the_test_s_own_loop(self) -> None:
        value_of(await get_codemode().run_async("make('a')\nawait amake('b')"))
        assert [one.slug async for one in Merchant.objects.order_by("slug")] == ["a", "b"]

    async def test_concurrent_runs_share_the_test_s_connection(self) -> None:
        codemode = get_codemode()
        await asyncio.gather(
            *(codemode.run_async(f"make('s{n}')\nawait amake('a{n}')") for n in range(8))
        )
        assert await Merchant.objects.acount() == 16


class InATransactionTestCase(TransactionTestCase):
    def test_rows_are_committed_for_everybody(self) -> None:
        value_of(run_sync("make('a')\nawait amake('b')"))
        found: list[str] = []

        def look() -> None:
            found.extend(slugs())
            connections.close_all()

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert found == ["a", "b"]

    async def test_rows_of_an_asynchronous_run_are_committed_for_everybody(self) -> None:
        value_of(await get_codemode().run_async("make('a')\nawait amake('b')"))
        assert await sync_to_async(slugs)() == ["a", "b"]


@pytest.fixture
async def shared_thread() -> AsyncIterator[None]:
    """Close the connection of asgiref's thread, where pytest's async tests use the ORM."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("shared_thread")
class TestInAnAsyncTest:
    async def test_an_async_test_sees_the_writes_of_its_tools(self) -> None:
        value_of(await get_codemode().run_async("make('a')\nawait amake('b')"))
        assert [one.slug async for one in Merchant.objects.order_by("slug")] == ["a", "b"]

    @pytest.mark.parametrize("path", ["/run/", "/arun/"])
    async def test_the_async_client_s_views_see_the_test_s_rows(
        self, path: str, async_client: AsyncClient
    ) -> None:
        await amake("mine")
        response = await async_client.post(
            path,
            {"code": "make('a')\nawait amake('b')\n[testapp.slugs(), await testapp.aslugs()]"},
            content_type="application/json",
        )
        assert response.json()["value"] == [["a", "b", "mine"]] * 2

    async def test_the_thread_for_sync_code_may_hold_a_transaction_around_a_run(self) -> None:
        """In a coroutine, ``atomic`` belongs in a function that runs on that thread as a whole."""

        def work() -> list[str]:
            with transaction.atomic():
                value_of(run_sync("make('a')\nawait amake('b')"))
                found = slugs()
                transaction.set_rollback(True)
            return found

        assert await sync_to_async(work)() == ["a", "b"]
        assert await Merchant.objects.acount() == 0
