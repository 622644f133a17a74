from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from django_codemode import get_codemode
from django_codemode.shared import shared
from django_codemode.signals import tool_called


@pytest.fixture
def calls() -> Iterator[list[dict[str, Any]]]:
    received: list[dict[str, Any]] = []

    def receive(**kwargs: Any) -> None:
        received.append(kwargs)

    tool_called.connect(receive)
    yield received
    tool_called.disconnect(receive)
    assert shared.registry.hooks == ()


def test_nothing_watches_the_calls_while_nobody_listens() -> None:
    assert shared.registry.hooks == ()


def test_each_call_is_told_with_its_record_and_context(calls: list[dict[str, Any]]) -> None:
    with shared.registry.context(tenant_id="acme"):
        result = get_codemode().run("testapp.lazy(); await testapp.awhoami()")

    assert result.ok
    assert [call["record"].name for call in calls] == ["testapp.lazy", "testapp.awhoami"]
    assert {call["record"].outcome for call in calls} == {"completed"}
    assert {call["execution_id"] for call in calls} == {result.execution_id}
    assert {call["context"]["tenant_id"] for call in calls} == {"acme"}
    assert calls[0]["tool"] is shared.registry.tools["testapp.lazy"]


async def test_calls_of_a_task_are_told_too(calls: list[dict[str, Any]]) -> None:
    results = await asyncio.gather(
        *(get_codemode().run_async("await testapp.awhoami()") for _ in range(3))
    )

    assert {call["execution_id"] for call in calls} == {one.execution_id for one in results}


def test_a_call_that_fails_is_told(calls: list[dict[str, Any]]) -> None:
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
    calls: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
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
