from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.dispatch import Signal
from django.test import Client

from codemode.core.hooks import Execution
from django_codemode import get_codemode
from django_codemode.shared import shared
from django_codemode.signals import execution_finished, execution_started, tool_called
from shop.models import Merchant


def listen(signal: Signal) -> Iterator[list[dict[str, Any]]]:
    received: list[dict[str, Any]] = []

    def receive(**kwargs: Any) -> None:
        received.append(kwargs)

    signal.connect(receive)
    yield received
    signal.disconnect(receive)
    assert shared.registry.hooks == ()
    assert shared.registry.observers == ()


@pytest.fixture
def calls() -> Iterator[list[dict[str, Any]]]:
    yield from listen(tool_called)


@pytest.fixture
def begins() -> Iterator[list[dict[str, Any]]]:
    yield from listen(execution_started)


@pytest.fixture
def ends(begins: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    received: list[dict[str, Any]] = []

    def receive(**kwargs: Any) -> None:
        received.append(kwargs)

    execution_finished.connect(receive)
    yield received
    execution_finished.disconnect(receive)


def test_nothing_is_watched_without_a_receiver() -> None:
    assert shared.registry.hooks == ()
    assert shared.registry.observers == ()


class TestToolCalled:
    def test_each_call_is_sent_with_its_record_and_context(
        self, calls: list[dict[str, Any]]
    ) -> None:
        with shared.registry.context(tenant_id="acme"):
            result = get_codemode().run("testapp.lazy(); await testapp.awhoami()")

        assert result.ok
        assert [call["record"].name for call in calls] == ["testapp.lazy", "testapp.awhoami"]
        assert {call["record"].outcome for call in calls} == {"completed"}
        assert {call["execution_id"] for call in calls} == {result.execution_id}
        assert {call["context"]["tenant_id"] for call in calls} == {"acme"}
        assert calls[0]["tool"] is shared.registry.tools["testapp.lazy"]

    async def test_calls_of_a_task_are_sent_too(self, calls: list[dict[str, Any]]) -> None:
        results = await asyncio.gather(
            *(get_codemode().run_async("await testapp.awhoami()") for _ in range(3))
        )

        assert {call["execution_id"] for call in calls} == {one.execution_id for one in results}

    def test_a_direct_call_sends_tool_called(self, calls: list[dict[str, Any]]) -> None:
        with shared.registry.context(tenant_id="acme"):
            get_codemode().call_tool("testapp.awhoami")
            asyncio.run(get_codemode().call_tool_async("testapp.lazy"))

        assert [call["record"].name for call in calls] == ["testapp.awhoami", "testapp.lazy"]
        assert len({call["execution_id"] for call in calls}) == 2
        assert {call["context"]["tenant_id"] for call in calls} == {"acme"}

    def test_a_call_that_fails_is_sent(self, calls: list[dict[str, Any]]) -> None:
        def broken() -> int:
            raise LookupError("no")

        shared.registry.register_tool("testapp_broken", broken)
        try:
            get_codemode().run("testapp_broken()")
        finally:
            shared.registry.unregister_tool("testapp_broken")

        assert calls[0]["record"].outcome == "failed"
        assert calls[0]["record"].error == "LookupError: no"

    def test_a_receiver_that_fails_changes_nothing(
        self, calls: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(**_kwargs: Any) -> None:
            raise LookupError("a receiver failed")

        tool_called.connect(fail)
        try:
            with caplog.at_level(logging.ERROR, logger="django.dispatch"):
                assert get_codemode().run("testapp.lazy()").ok
        finally:
            tool_called.disconnect(fail)

        assert "a receiver failed" in caplog.text
        assert len(calls) == 1


class TestExecutions:
    def test_begin_and_end_are_sent_once_with_the_outcome(
        self, begins: list[dict[str, Any]], ends: list[dict[str, Any]]
    ) -> None:
        with shared.registry.context(tenant_id="acme"):
            result = get_codemode().run("testapp.lazy()\n1/0")

        (begin,), (end,) = begins, ends
        assert begin["sender"] is end["sender"] is Execution
        assert begin["execution"] is end["execution"]
        assert begin["execution"].code == "testapp.lazy()\n1/0"
        assert begin["execution_id"] == end["execution_id"] == result.execution_id
        assert begin["context"] == end["context"] == {"tenant_id": "acme"}
        assert end["result"] is result
        assert end["error"] is None

    async def test_receivers_may_use_the_database_even_for_a_task(
        self, ends: list[dict[str, Any]]
    ) -> None:
        threads: list[int] = []

        def receive(**_kwargs: Any) -> None:
            threads.append(threading.get_ident())

        execution_started.connect(receive)
        try:
            await get_codemode().run_async("1")
        finally:
            execution_started.disconnect(receive)

        assert threads == [await sync_to_async(threading.get_ident)()]
        assert len(ends) == 1

    @pytest.mark.django_db
    def test_a_receiver_writes_in_the_requests_transaction(self, client: Client) -> None:
        def receive(*, execution_id: str, **_kwargs: Any) -> None:
            Merchant.objects.create(slug=execution_id, name="told", currency="EUR")

        execution_finished.connect(receive)
        try:
            answer = client.post(
                "/run/", {"code": "testapp.slugs()"}, content_type="application/json"
            )
        finally:
            execution_finished.disconnect(receive)

        assert answer.status_code == 200
        assert Merchant.objects.filter(name="told").count() == 1

    def test_a_receiver_that_fails_changes_nothing(
        self, ends: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(**_kwargs: Any) -> None:
            raise LookupError("a receiver failed")

        execution_started.connect(fail)
        try:
            with caplog.at_level(logging.ERROR, logger="django.dispatch"):
                assert get_codemode().run("1").ok
        finally:
            execution_started.disconnect(fail)

        assert "a receiver failed" in caplog.text
        assert len(ends) == 1
