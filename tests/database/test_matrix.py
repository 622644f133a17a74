"""The transaction that a tool is in, by who executes the code and what kind of tool it is.

``python -m tests.database`` prints this as a table, for both databases.
"""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, transaction
from django.http import HttpRequest, JsonResponse
from django.test import AsyncClient, Client, TestCase, override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from codemode import ExecutionResult, tool
from django_codemode import get_codemode
from shop.models import Merchant
from tests.database.connections import registered, value_of

SAME = "the caller's"
OWN = "its own"


def write(slug: str) -> None:
    Merchant.objects.create(slug=slug, name=slug, currency="EUR")


# The tools: each returns whether it sees the caller's row, and writes a row where it can.


def see() -> bool:
    write("by a tool")
    return Merchant.objects.filter(slug="uncommitted").exists()


async def asee() -> bool:
    await Merchant.objects.acreate(slug="by a tool", name="x", currency="EUR")
    return await Merchant.objects.filter(slug="uncommitted").aexists()


@tool(thread_sensitive=False)
def pooled_see() -> bool:
    return Merchant.objects.filter(slug="uncommitted").exists()


def glance() -> bool:
    return Merchant.objects.filter(slug="uncommitted").exists()


async def aglance() -> bool:
    return await Merchant.objects.filter(slug="uncommitted").aexists()


def nested() -> bool:
    return agreed(get_codemode().run(GLANCES))


async def anested() -> bool:
    return agreed(await get_codemode().run_async(GLANCES))


GLANCES = "[glance(), await aglance()]"


def agreed(result: ExecutionResult) -> bool:
    seen: set[bool] = set(value_of(result))
    assert len(seen) == 1
    return seen.pop()


TOOLS = {
    "sync": "see()",
    "async ORM": "await asee()",
    "sync that executes code": "nested()",
    "async that executes code": "await anested()",
    "thread_sensitive=False": "pooled_see()",
}
READING = {"see()": "glance()", "await asee()": "await aglance()"}

# The callers: each has written a row that is not committed, and rolls everything back at the end.


def atomic_block(code: str) -> Any:
    with transaction.atomic():
        write("uncommitted")
        value = value_of(get_codemode().run(code))
        transaction.set_rollback(True)
    return value


def atomic_block_async_half(code: str) -> Any:
    with transaction.atomic():
        write("uncommitted")
        value = value_of(async_to_sync(get_codemode().run_async)(code))
        transaction.set_rollback(True)
    return value


def on_the_thread_for_sync_code(code: str) -> Any:
    async def main() -> Any:
        return await sync_to_async(atomic_block)(code)

    return in_a_loop(main())


def coroutine_in_an_atomic_block(code: str) -> Any:
    """Call the synchronous execute() in a running loop, whose tools run in another thread."""

    async def main() -> Any:
        return value_of(get_codemode().run(READING.get(code, code)))

    with transaction.atomic():
        write("uncommitted")
        value = asyncio.run(main())
        transaction.set_rollback(True)
    return value


@csrf_exempt
def view(request: HttpRequest) -> JsonResponse:
    write("uncommitted")
    value = value_of(get_codemode().run(request.body.decode()))
    transaction.set_rollback(True)
    return JsonResponse({"value": value})


URLS = type("Urls", (), {"urlpatterns": [path("", view)]})


@contextmanager
def atomic_requests() -> Iterator[None]:
    settings = [connections.settings["default"], connection.settings_dict]
    for one in settings:
        one["ATOMIC_REQUESTS"] = True
    try:
        with override_settings(ROOT_URLCONF=URLS):
            yield
    finally:
        for one in settings:
            one["ATOMIC_REQUESTS"] = False


def wsgi_request(code: str) -> Any:
    with atomic_requests():
        return Client().post("/", code, content_type="text/plain").json()["value"]


def asgi_request(code: str) -> Any:
    async def main() -> Any:
        answer = await AsyncClient().post("/", code, content_type="text/plain")
        return answer.json()["value"]

    with atomic_requests():
        return in_a_loop(main())


def in_a_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async def main() -> Any:
        try:
            return await coroutine
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(main())


def in_a_test_case(code: str) -> Any:
    class Case(TestCase):
        value: Any = None

        def test(self) -> None:
            write("uncommitted")
            Case.value = value_of(get_codemode().run(code))

    return run_case(Case)


def in_an_async_test_case(code: str) -> Any:
    class Case(TestCase):
        value: Any = None

        async def test(self) -> None:
            await Merchant.objects.acreate(slug="uncommitted", name="x", currency="EUR")
            Case.value = value_of(await get_codemode().run_async(code))

    return run_case(Case)


def run_case(case: Any) -> Any:
    result = unittest.TestResult()
    unittest.TestSuite([case("test")]).run(result)
    assert result.wasSuccessful(), result.failures + result.errors
    return case.value


CALLERS: dict[str, Callable[[str], Any]] = {
    "atomic(), run()": atomic_block,
    "atomic(), async_to_sync(run_async)()": atomic_block_async_half,
    "sync_to_async(a function with atomic())": on_the_thread_for_sync_code,
    "sync view, ATOMIC_REQUESTS, WSGI": wsgi_request,
    "sync view, ATOMIC_REQUESTS, ASGI": asgi_request,
    "test of a TestCase": in_a_test_case,
    "async test of a TestCase": in_an_async_test_case,
    "atomic(), run() in a running loop": coroutine_in_an_atomic_block,
}


@pytest.fixture(autouse=True)
def tools() -> Iterator[None]:
    with registered(
        see=see,
        asee=asee,
        glance=glance,
        aglance=aglance,
        pooled_see=pooled_see,
        nested=nested,
        anested=anested,
    ):
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:execute.. was called inside a running:RuntimeWarning")
@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_tool_is_in_the_callers_transaction_or_has_one_of_its_own(
    caller: str, kind: str, record_property: Callable[[str, object], None]
) -> None:
    own = kind == "thread_sensitive=False" or caller == "atomic(), run() in a running loop"

    sees = CALLERS[caller](TOOLS[kind])

    record_property("cell", (caller, kind, SAME if sees else OWN))
    assert sees is (not own)
    # The rollback of the caller's writes includes the tool's.
    assert not Merchant.objects.exists()
