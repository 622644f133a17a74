"""Executions whose writes are kept only when the code completed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import IntegrityError, connection, connections, transaction
from django.test import AsyncClient, Client

from codemode import ExecutionResult, tool
from codemode.errors import ConfigurationError
from django_codemode import run_atomic
from django_codemode.views import AsyncExecuteView, StreamView
from shop.models import Customer
from tests.database.connections import registered
from tests.database.merchants import amake, committed, make, make_and_tell, make_twice, slugs

pytestmark = pytest.mark.django_db(transaction=True)

TOOLS = ["make", "amake", "make_twice", "ask_wrongly", "make_orphan", "make_and_tell", "nested"]
BOTH = "make('a')\nawait amake('b')\n"


def ask_wrongly() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


def make_orphan(slug: str) -> None:
    make(slug)
    Customer.objects.create(merchant_id=10**6, name="of no merchant")


@tool(thread_sensitive=False)
def pooled(slug: str) -> None:
    make(slug)


def nested(code: str) -> str:
    return run_atomic(code, available_tools=["make"]).status


@pytest.fixture(autouse=True)
def tools() -> Iterator[None]:
    committed.clear()
    with registered(
        make=make,
        amake=amake,
        make_twice=make_twice,
        ask_wrongly=ask_wrongly,
        make_orphan=make_orphan,
        make_and_tell=make_and_tell,
        nested=nested,
        pooled=pooled,
    ):
        yield


@pytest.fixture
async def shared_thread() -> AsyncIterator[None]:
    """Close the connection of asgiref's thread, where pytest's async tests use the ORM."""
    yield
    await sync_to_async(connections.close_all)()


def run(code: str, **more: Any) -> ExecutionResult:
    return run_atomic(code, available_tools=TOOLS, **more)


class TestRunAtomic:
    def test_what_tools_of_either_kind_wrote_is_kept_when_the_code_completes(self) -> None:
        result = run(BOTH + "make_and_tell(c)\n42", inputs={"c": "c"})
        assert (result.status, result.value) == ("completed", 42)
        assert (slugs(), committed) == (["a", "b", "c"], ["c"])
        assert not connection.in_atomic_block

    @pytest.mark.parametrize(
        ("ending", "status"),
        [
            ("1/0", "failed"),
            ("object()", "failed"),
            ("import os; os._exit(1)", "crashed"),
            ("import time; time.sleep(60)", "timeout"),
            ("bytes(2**34)", "limit"),
        ],
    )
    def test_it_is_taken_back_however_else_the_code_ends(self, ending: str, status: str) -> None:
        # A busy machine may need longer until the code reaches its end.
        for timeout in (1.0, 10.0) if status == "timeout" else (30.0,):
            result = run(f"{BOTH}make_and_tell('c')\n{ending}", execution_timeout=timeout)
            assert (slugs(), committed) == ([], [])
            if [call.outcome for call in result.tool_calls] == ["completed"] * 3:
                break
        assert result.status == status
        assert not connection.in_atomic_block

    def test_it_is_taken_back_when_the_executor_fails(self, settings: Any) -> None:
        settings.CODEMODE = {"EXECUTOR_URL": "unix:/nonexistent/socket", "CONNECT_TIMEOUT": 0}
        from codemode.errors import ExecutorClientError

        with transaction.atomic():
            make("before")
            with pytest.raises(ExecutorClientError):
                run("1")
        assert slugs() == ["before"]

    def test_within_a_transaction_it_is_a_savepoint(self) -> None:
        with transaction.atomic():
            make("before")
            assert not run("make('a')\n1/0").ok
            assert run("make('b')").ok
            assert slugs() == ["b", "before"]
            transaction.set_rollback(True)
        assert slugs() == []

    def test_a_tool_may_execute_so_too(self) -> None:
        result = run("make('a')\n[nested('make(\"b\")'), nested('make(\"c\"); 1/0')]")
        assert result.value == ["completed", "failed"]
        assert slugs() == ["a", "b"]

    def test_a_transaction_that_a_tool_has_broken_is_no_success(self) -> None:
        result = run("make('a')\ntry:\n    make_twice('b')\nexcept Exception:\n    pass\n'fine'")
        assert result.error is not None
        assert (result.status, result.value) == ("failed", None)
        assert result.error.type == "TransactionManagementError"
        assert "was taken back" in result.error.message
        assert [call.outcome for call in result.tool_calls] == ["completed", "failed"]
        assert slugs() == []

    def test_a_transaction_broken_only_in_the_database_is_no_success_on_postgresql(self) -> None:
        # The query bypasses the ORM, so Django does not notice the error. SQLite continues.
        result = run("make('a')\ntry:\n    ask_wrongly()\nexcept Exception:\n    pass")
        assert [call.outcome for call in result.tool_calls] == ["completed", "failed"]
        assert result.ok is (connection.vendor != "postgresql")
        assert slugs() == (["a"] if result.ok else [])

    def test_a_constraint_that_fails_at_the_commit_is_a_failure(self) -> None:
        result = run("make_orphan('a')\n'fine'")
        assert result.error is not None
        assert (result.status, result.value) == ("failed", None)
        assert result.error.type == "IntegrityError"
        assert "was taken back" in result.error.message
        assert slugs() == []

    def test_an_error_outside_the_code_is_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from django_codemode import get_codemode

        def fail(*_args: Any, **_more: Any) -> ExecutionResult:
            make("a")
            raise IntegrityError("of an observer")

        monkeypatch.setattr(get_codemode(), "run", fail)
        with pytest.raises(IntegrityError, match="of an observer"):
            run("1")
        assert slugs() == []


class TestRefusals:
    def test_a_pooled_tool_is_named_and_nothing_runs(self) -> None:
        with pytest.raises(ConfigurationError, match=r"the tools .*pooled.* outside of the tran"):
            run_atomic("make('a')", available_tools=["make", "pooled"])
        assert slugs() == []

    def test_a_pooled_tool_that_the_user_may_not_call_does_not_matter(self) -> None:
        secret = tool(name="pooled_secret", permission="shop.add_refund", thread_sensitive=False)
        with registered(pooled_secret=secret(lambda: None)):
            assert run_atomic("1", available_tools=["make", "pooled_secret"]).ok

    @pytest.mark.usefixtures("shared_thread")
    async def test_in_a_loop_it_is_refused_and_on_the_thread_for_sync_code_it_works(self) -> None:
        with pytest.raises(SynchronousOnlyOperation, match=r"await sync_to_async\(run_atomic\)"):
            run("make('a')")
        assert await sync_to_async(slugs)() == []
        assert (await sync_to_async(run)("make('a')\n1/0")).status == "failed"
        assert (await sync_to_async(run)(BOTH)).ok
        assert await sync_to_async(slugs)() == ["a", "b"]

    @pytest.mark.usefixtures("shared_thread")
    async def test_a_run_in_a_thread_of_its_own_has_that_threads_transaction(self) -> None:
        def in_a_thread(code: str) -> str:
            try:
                return run(code).status
            finally:
                connection.close()

        assert await asyncio.to_thread(in_a_thread, BOTH + "1/0") == "failed"
        assert await asyncio.to_thread(in_a_thread, "make('c')\nawait amake('d')") == "completed"
        assert await sync_to_async(slugs)() == ["c", "d"]


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root")


def body(code: str, tools: list[str] | None = None) -> dict[str, Any]:
    data = {"code": code, "available_tools": TOOLS if tools is None else tools}
    return {"data": data, "content_type": "application/json"}


class TestView:
    @pytest.fixture(params=[False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
    def atomic_requests(self, request: pytest.FixtureRequest) -> Iterator[bool]:
        connection.settings_dict["ATOMIC_REQUESTS"] = request.param
        yield request.param
        connection.settings_dict["ATOMIC_REQUESTS"] = False

    def test_an_atomic_view_keeps_only_the_writes_of_code_that_completed(
        self, root: User, client: Client, atomic_requests: bool
    ) -> None:
        client.force_login(root)
        answer = client.post("/atomic/", **body(BOTH + "1/0"))
        assert (answer.status_code, answer.json()["status"]) == (200, "failed")
        assert slugs() == []
        assert client.post("/atomic/", **body(BOTH)).json()["status"] == "completed"
        assert slugs() == ["a", "b"]

    def test_a_view_that_is_not_atomic_keeps_writes_even_when_the_code_fails(
        self, root: User, client: Client, atomic_requests: bool
    ) -> None:
        client.force_login(root)
        answer = client.post("/codemode/execute/", **body(BOTH + "1/0"))
        assert (answer.status_code, answer.json()["status"]) == (200, "failed")
        assert slugs() == ["a", "b"]

    @pytest.mark.usefixtures("shared_thread")
    async def test_an_atomic_view_works_in_an_asynchronous_stack(
        self, root: User, async_client: AsyncClient
    ) -> None:
        await async_client.aforce_login(root)
        arguments = body(BOTH + "1/0")
        assert (await async_client.post("/atomic/", **arguments)).json()["status"] == "failed"
        assert await sync_to_async(slugs)() == []
        assert (await async_client.post("/atomic/", **body(BOTH))).json()["status"] == "completed"
        assert await sync_to_async(slugs)() == ["a", "b"]

    def test_a_pooled_tool_among_those_offered_is_named_in_the_log_alone(
        self, root: User, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.force_login(root)
        answer = client.post("/atomic/", **body("1", ["make", "pooled"]))
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "not_configured"
        assert "pooled have thread_sensitive=False" in caplog.text.replace("tools ", "")

    @pytest.mark.parametrize("kind", [AsyncExecuteView, StreamView])
    def test_a_view_whose_tools_share_no_transaction_cannot_be_atomic(self, kind: Any) -> None:
        derived: Any = type("AtomicView", (kind,), {"atomic": True})
        with pytest.raises(ImproperlyConfigured, match="AtomicView sets atomic"):
            derived.as_view()
        with pytest.raises(TypeError):
            kind.as_view(atomic=True)
