"""The rows of the matrix: each way in which a program may execute code, for several tenants."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import httpx
from asgiref.sync import async_to_sync, sync_to_async
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from codemode import ExecutionResult, get_current_context
from django_codemode import get_codemode
from tests.concurrency.places import Place, ahere, beating, here, leave_no_connection

__all__ = ["STYLES", "Style", "Visit"]


@dataclass(frozen=True, kw_only=True)
class Visit:
    """The outcome of one tenant's execution, and the place of its caller."""

    tenant: str
    place: Place
    loop: int | None
    value: Any
    error: str | None
    context_after: str | None

    @classmethod
    def of(cls, tenant: str, place: Place, loop: int | None, result: ExecutionResult) -> Visit:
        context = get_current_context()
        return cls(
            tenant=tenant,
            place=place,
            loop=loop,
            value=result.value,
            error=None if result.error is None else result.error.message,
            context_after=None if context is None else context.get("tenant_id"),
        )


def visit(tenant: str, code: str) -> Visit:
    """Execute code from a thread that has the tenant's context."""
    place = here()
    result = get_codemode().run(code)
    return Visit.of(tenant, place, None, result)


async def avisit(tenant: str, code: str) -> Visit:
    """Execute code from a task that has the tenant's context."""
    place = await ahere()
    result = await get_codemode().run_async(code)
    return Visit.of(tenant, place, id(asyncio.get_running_loop()), result)


@contextmanager
def a_thread_for(tenant: str) -> Iterator[None]:
    """Enter a thread that has nothing of other tenants, and leave nothing in it."""
    assert get_current_context() is None
    get_codemode().with_context(tenant_id=tenant)
    try:
        yield
    finally:
        get_codemode().registry.clear_context()
        leave_no_connection()


def in_threads(work: Callable[[str], Visit], tenants: list[str]) -> list[Visit]:
    """Call a function for each tenant at once, each in a new thread."""
    # A pool's worker might serve two tenants. The barrier keeps each worker busy with one.
    barrier = threading.Barrier(len(tenants))

    def one(tenant: str) -> Visit:
        barrier.wait(60)
        return work(tenant)

    with ThreadPoolExecutor(len(tenants)) as pool:
        return list(pool.map(one, tenants))


async def in_tasks(
    work: Callable[[str], Coroutine[Any, Any, Visit]], tenants: list[str]
) -> list[Visit]:
    """Await a function for each tenant at once, each in a task, in a loop with a heartbeat."""
    async with beating():
        return await asyncio.gather(*(work(tenant) for tenant in tenants))


# A caller's thread


def plain_threads(tenants: list[str], code: str) -> list[Visit]:
    def work(tenant: str) -> Visit:
        with a_thread_for(tenant):
            return visit(tenant, code)

    return in_threads(work, tenants)


def thread_pool(tenants: list[str], code: str) -> list[Visit]:
    """Serve all tenants by two threads, with the context in which each job was submitted."""

    def work(tenant: str) -> Visit:
        try:
            return visit(tenant, code)
        finally:
            leave_no_connection()

    codemode = get_codemode()
    with ThreadPoolExecutor(2) as pool:
        jobs = []
        for tenant in tenants:
            with codemode.registry.context(tenant_id=tenant):
                jobs.append(pool.submit(contextvars.copy_context().run, work, tenant))
        return [job.result() for job in jobs]


def shared_thread(tenants: list[str], code: str) -> list[Visit]:
    """Run sync code by sync_to_async outside of requests: all on one thread."""

    async def work(tenant: str) -> Visit:
        get_codemode().with_context(tenant_id=tenant)
        return await sync_to_async(visit)(tenant, code)

    return asyncio.run(in_tasks(work, tenants))


# A caller's loop


def one_loop(tenants: list[str], code: str) -> list[Visit]:
    async def work(tenant: str) -> Visit:
        get_codemode().with_context(tenant_id=tenant)
        return await avisit(tenant, code)

    return asyncio.run(in_tasks(work, tenants))


def loops_in_threads(tenants: list[str], code: str) -> list[Visit]:
    def work(tenant: str) -> Visit:
        (only,) = one_loop([tenant], code)
        return only

    return in_threads(work, tenants)


def loop_after_loop(tenants: list[str], code: str) -> list[Visit]:
    return [done for tenant in tenants for done in one_loop([tenant], code)]


def by_async_to_sync(tenants: list[str], code: str) -> list[Visit]:
    async def beaten(tenant: str) -> Visit:
        async with beating():
            return await avisit(tenant, code)

    def work(tenant: str) -> Visit:
        with a_thread_for(tenant):
            return async_to_sync(beaten)(tenant)

    return in_threads(work, tenants)


def inside_a_loop(tenants: list[str], code: str) -> list[Visit]:
    """Call the synchronous execute() in coroutines, which blocks their loop."""

    async def work(tenant: str) -> Visit:
        get_codemode().with_context(tenant_id=tenant)
        place = await ahere()
        result = get_codemode().run(code)
        return Visit.of(tenant, place, id(asyncio.get_running_loop()), result)

    return asyncio.run(in_tasks(work, tenants))


# Requests, through all of Django; the middleware sets the context


@csrf_exempt
def view(request: HttpRequest) -> JsonResponse:
    return JsonResponse(asdict(visit(request.headers["X-Tenant-ID"], request.body.decode())))


@csrf_exempt
@transaction.non_atomic_requests
async def aview(request: HttpRequest) -> JsonResponse:
    return JsonResponse(asdict(await avisit(request.headers["X-Tenant-ID"], request.body.decode())))


@csrf_exempt
def loop_view(request: HttpRequest) -> JsonResponse:
    """Execute code in a loop of the view's own, in the thread for sync code."""
    place = here()

    async def main() -> Visit:
        result = await get_codemode().run_async(request.body.decode())
        tenant = request.headers["X-Tenant-ID"]
        return Visit.of(tenant, place, id(asyncio.get_running_loop()), result)

    return JsonResponse(asdict(asyncio.run(main())))


urlpatterns = [
    path("view/", view),
    path("aview/", aview),
    path("loop-view/", loop_view),
]


def answered(answer: httpx.Response) -> Visit:
    assert answer.status_code == 200, answer.text
    told = json.loads(answer.content)
    return Visit(**{**told, "place": Place(*told["place"])})


def wsgi(url: str) -> Callable[[list[str], str], list[Visit]]:
    def visit_all(tenants: list[str], code: str) -> list[Visit]:
        transport = httpx.WSGITransport(get_wsgi_application())

        def work(tenant: str) -> Visit:
            with httpx.Client(transport=transport, base_url="http://testserver") as client:
                got = answered(client.post(url, content=code, headers={"X-Tenant-ID": tenant}))
            assert get_current_context() is None
            return got

        return in_threads(work, tenants)

    return visit_all


def asgi(url: str) -> Callable[[list[str], str], list[Visit]]:
    def visit_all(tenants: list[str], code: str) -> list[Visit]:
        application: Any = get_asgi_application()  # both typed differently
        transport = httpx.ASGITransport(application)

        async def work(tenant: str) -> Visit:
            async with httpx.AsyncClient(
                transport=transport, base_url="http://testserver", timeout=60
            ) as client:
                got = await client.post(url, content=code, headers={"X-Tenant-ID": tenant})
            assert get_current_context() is None
            return answered(got)

        return asyncio.run(in_tasks(work, tenants))

    return visit_all


@dataclass(frozen=True, kw_only=True)
class Style:
    """One way to execute code.

    ``half`` is what carries the execution: the caller's thread, the caller's loop, or a worker
    thread where a loop runs in the caller's thread. ``beats`` is true when the caller has a loop
    that must stay alive, and false when that loop is blocked by design. ``outer`` is true when this
    loop is not the one that carries the execution.
    """

    name: str
    half: Literal["sync", "async", "worker"]
    beats: bool | None
    visit_all: Callable[[list[str], str], list[Visit]]
    outer: bool = False


STYLES = [
    Style(name="sync view, WSGI", half="sync", beats=None, visit_all=wsgi("/view/")),
    Style(name="async view, WSGI", half="async", beats=None, visit_all=wsgi("/aview/")),
    Style(name="sync view, ASGI", half="sync", beats=True, visit_all=asgi("/view/")),
    Style(name="async view, ASGI", half="async", beats=True, visit_all=asgi("/aview/")),
    Style(
        name="asyncio.run, ASGI",
        half="async",
        beats=True,
        outer=True,
        visit_all=asgi("/loop-view/"),
    ),
    Style(name="asgiref's shared thread", half="sync", beats=True, visit_all=shared_thread),
    Style(name="plain threads", half="sync", beats=None, visit_all=plain_threads),
    Style(name="thread pool", half="sync", beats=None, visit_all=thread_pool),
    Style(name="tasks of one loop", half="async", beats=True, visit_all=one_loop),
    Style(name="loops in threads", half="async", beats=True, visit_all=loops_in_threads),
    Style(name="asyncio.run again and again", half="async", beats=True, visit_all=loop_after_loop),
    Style(name="async_to_sync", half="async", beats=True, visit_all=by_async_to_sync),
    Style(name="execute() in a loop", half="worker", beats=False, visit_all=inside_a_loop),
]
