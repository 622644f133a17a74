"""Tools run where the request runs: in its thread, its connection and its transaction."""

from __future__ import annotations

import threading
from typing import Any

from django.conf import settings
from django.db import connection, connections
from django.test import TestCase, TransactionTestCase, override_settings

from django_codemode import get_codemode
from shop.models import Merchant

SYNC_TOOL = "testapp.slugs()"
ASYNC_TOOL = "await testapp.aslugs()"
BOTH = "[testapp.slugs(), await testapp.aslugs(), testapp.slugs()]"


def post(client: Any, path: str, code: str) -> Any:
    return client.post(path, {"code": code}, content_type="application/json")


class UncommittedRowTests(TestCase):
    """The test's transaction is open, and another connection would see no row."""

    def setUp(self) -> None:
        Merchant.objects.create(slug="uncommitted", name="x", currency="EUR")

    def test_tools_of_a_sync_view_see_the_row(self) -> None:
        for code in (SYNC_TOOL, ASYNC_TOOL):
            assert post(self.client, "/run/", code).json()["value"] == ["uncommitted"], code
        assert post(self.client, "/run/", BOTH).json()["value"] == [["uncommitted"]] * 3

    def test_tools_of_an_async_view_behind_a_sync_stack_see_the_row(self) -> None:
        for code in (SYNC_TOOL, ASYNC_TOOL):
            assert post(self.client, "/arun/", code).json()["value"] == ["uncommitted"], code

    async def test_tools_of_an_async_view_see_the_row(self) -> None:
        for code in (SYNC_TOOL, ASYNC_TOOL):
            response = await post(self.async_client, "/arun/", code)
            assert response.json()["value"] == ["uncommitted"], code
        response = await post(self.async_client, "/arun/", BOTH)
        assert response.json()["value"] == [["uncommitted"]] * 3

    async def test_tools_of_a_sync_view_in_an_asynchronous_stack_see_the_row(self) -> None:
        for code in (SYNC_TOOL, ASYNC_TOOL):
            response = await post(self.async_client, "/run/", code)
            assert response.json()["value"] == ["uncommitted"], code

    def test_what_a_tool_writes_belongs_to_the_test(self) -> None:
        assert post(self.client, "/run/", "testapp.add('new')").json()["error"] is None
        assert Merchant.objects.filter(slug="new").exists()

    def test_a_sync_tool_runs_in_the_thread_of_the_view(self) -> None:
        where = get_codemode().run("testapp.where()").value
        assert where == {"thread": threading.get_ident(), "atomic": True}


class AtomicRequestTests(TransactionTestCase):
    """Requests in a transaction each, as ATOMIC_REQUESTS makes them."""

    def setUp(self) -> None:
        connection.settings_dict["ATOMIC_REQUESTS"] = True
        self.addCleanup(connection.settings_dict.__setitem__, "ATOMIC_REQUESTS", False)

    def test_tools_of_either_kind_see_what_the_request_has_written(self) -> None:
        code = "testapp.add('mine')\n" + BOTH
        assert post(self.client, "/run/", code).json()["value"] == [["mine"]] * 3
        assert post(self.client, "/run/", "testapp.where()").json()["value"]["atomic"] is True

    async def test_tools_of_an_asynchronous_stack_see_what_the_request_has_written(self) -> None:
        code = "testapp.add('mine')\n" + BOTH
        response = await post(self.async_client, "/run/", code)
        assert response.json()["value"] == [["mine"]] * 3

    def test_a_view_that_raises_takes_back_what_tools_wrote(self) -> None:
        def view(request: Any) -> Any:
            assert get_codemode().run("testapp.add('gone')").ok
            raise LookupError

        from django.urls import path

        urls = type("Urls", (), {"urlpatterns": [path("", view)]})
        with override_settings(ROOT_URLCONF=urls):
            self.client.raise_request_exception = False
            assert self.client.get("/").status_code == 500
        assert not Merchant.objects.exists()

    def test_the_execute_view_is_part_of_the_requests_transaction(self) -> None:
        from django.contrib.auth.models import User

        self.client.force_login(User.objects.create_superuser("root"))
        response = post(self.client, "/codemode/execute/", "testapp.where()['atomic']")
        assert response.json()["value"] is True


class PoolTests(TransactionTestCase):
    def test_a_pooled_tool_runs_elsewhere_and_leaves_no_old_connection(self) -> None:
        opened: list[Any] = []

        def spy() -> int:
            Merchant.objects.count()
            opened.append(connections["default"])
            return threading.get_ident()

        from codemode import tool
        from django_codemode import register_tool
        from django_codemode.shared import shared

        register_tool("testapp_spy", tool(thread_sensitive=False)(spy))
        try:
            result = get_codemode().run("testapp_spy()")
        finally:
            shared.registry.unregister_tool("testapp_spy")

        assert result.ok, result.error
        assert result.value != threading.get_ident()
        assert settings.DATABASES["default"].get("CONN_MAX_AGE", 0) == 0
        assert opened[0].connection is None

    def test_the_callers_own_connection_is_left_open(self) -> None:
        Merchant.objects.count()
        assert get_codemode().run("testapp.pooled()").ok
        assert connection.connection is not None
