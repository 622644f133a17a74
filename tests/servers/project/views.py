from __future__ import annotations

import asyncio
import contextvars
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from codemode.core.result import ExecutionResult
from codemode.errors import ConfigurationError
from django_codemode import get_codemode
from django_codemode.payload import result_as_json
from django_codemode.views import ExecuteView, StreamView
from tests.servers.project.identity import identity, note

CHUNKS = 3
AFTER_THE_RESPONSE = 0.05

_background: set[asyncio.Task[None]] = set()


def answer(request: HttpRequest, **more: Any) -> JsonResponse:
    """Answer with what the server's own code saw before this request, and more."""
    return JsonResponse({"before": before(request), **more})


def before(request: HttpRequest) -> str | None:
    scope = getattr(request, "scope", None)
    seen: str | None = request.META["codemode.before"] if scope is None else scope["before"]
    return seen


def probe(request: HttpRequest) -> HttpResponse:
    first = identity()
    time.sleep(0)  # lets other threads and greenlets run here
    return answer(request, seen=[first, identity()])


async def aprobe(request: HttpRequest) -> HttpResponse:
    first = identity()
    await asyncio.sleep(0)
    return answer(request, seen=[first, identity()])


def fail(request: HttpRequest) -> HttpResponse:
    raise LookupError("the view failed")


class Execute(ExecuteView):
    """A view that lets anybody execute code: only tests can reach this server."""

    def check_permission(self, request: HttpRequest) -> None:
        """Permit it."""


class Events(StreamView):
    """A view that lets anybody follow the code that it executes."""

    def check_permission(self, request: HttpRequest) -> None:
        """Permit it."""


async def aexecute(request: HttpRequest) -> HttpResponse:
    asked = json.loads(request.body)
    try:
        result = await get_codemode().run_async(
            asked["code"],
            inputs=asked["inputs"],
            execution_timeout=asked.get("execution_timeout"),
        )
    except ConfigurationError as error:
        return JsonResponse({"refused": str(error)})
    return JsonResponse(result_as_json(result))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    execute = "execute" in request.GET

    def body() -> Iterator[str]:
        for number in range(CHUNKS):
            seen = (
                whoami(get_codemode().run("whoami()")) if execute and not number else [identity()]
            )
            time.sleep(0)
            yield json.dumps([*seen, identity()]) + "\n"

    return StreamingHttpResponse(body())


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    execute = "execute" in request.GET

    async def body() -> AsyncIterator[str]:
        for number in range(CHUNKS):
            if execute and not number:
                seen = whoami(await get_codemode().run_async("await awhoami()"))
            else:
                seen = [identity()]
            await asyncio.sleep(0)
            yield json.dumps([*seen, identity()]) + "\n"

    return StreamingHttpResponse(body())


async def endless(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[str]:
        mine = identity()
        try:
            while True:
                yield f"{identity()}\n"
                await asyncio.sleep(0.01)
        finally:
            note({"kind": "endless", "expected": mine, "seen": [identity()]})

    return StreamingHttpResponse(body())


def background(request: HttpRequest) -> HttpResponse:
    """Answer at once and continue in a thread, with a copy of the request's context."""
    mine = identity()

    def work() -> None:
        time.sleep(AFTER_THE_RESPONSE)
        seen = [identity(), *whoami(get_codemode().run("whoami()")), identity()]
        note({"kind": "background", "expected": mine, "seen": seen})

    threading.Thread(target=contextvars.copy_context().run, args=(work,)).start()
    return answer(request, seen=[mine])


async def abackground(request: HttpRequest) -> HttpResponse:
    """Answer at once and continue in a task."""
    mine = identity()

    async def work() -> None:
        await asyncio.sleep(AFTER_THE_RESPONSE)
        result = await get_codemode().run_async("whoami() + await awhoami()")
        note(
            {
                "kind": "background",
                "expected": mine,
                "seen": [identity(), *whoami(result), identity()],
            }
        )

    task = asyncio.create_task(work())
    _background.add(task)
    task.add_done_callback(_background.discard)
    return answer(request, seen=[mine])


def process(request: HttpRequest) -> HttpResponse:
    """Return the id of this process, and that of its embedded executor."""
    embedded = get_codemode().client.embedded
    return answer(request, pid=os.getpid(), executor=embedded.pid if embedded else None)


def whoami(result: ExecutionResult) -> list[str | None]:
    seen: list[str | None] = result.value if result.status == "completed" else [repr(result.error)]
    return seen
