from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from codemode.core.context import get_current_context
from django_codemode import get_codemode

# What the bodies and clean-ups of streaming responses saw, in order.
seen: list[str | None] = []


def current_request_id() -> str | None:
    context = get_current_context()
    return None if context is None else context.get("request_id")


@csrf_exempt
def run(request: HttpRequest) -> JsonResponse:
    result = get_codemode().run(json.loads(request.body)["code"])
    return JsonResponse({"value": result.value, "error": result.error and result.error.message})


@csrf_exempt
@transaction.non_atomic_requests
async def arun(request: HttpRequest) -> JsonResponse:
    result = await get_codemode().run_async(json.loads(request.body)["code"])
    return JsonResponse({"value": result.value, "error": result.error and result.error.message})


def context(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(current_request_id()))


@transaction.non_atomic_requests
async def acontext(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(current_request_id()))


def fail(request: HttpRequest) -> HttpResponse:
    raise LookupError("the view failed")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[str]:
        try:
            for _ in range(2):
                seen.append(current_request_id())
                yield f"{current_request_id()}\n"
        finally:
            seen.append(current_request_id())

    return StreamingHttpResponse(body())


@transaction.non_atomic_requests
async def astream(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[str]:
        try:
            for _ in range(2):
                seen.append(current_request_id())
                yield f"{current_request_id()}\n"
        finally:
            seen.append(current_request_id())

    return StreamingHttpResponse(body())


@transaction.non_atomic_requests
async def endless(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[str]:
        try:
            while True:
                yield f"{current_request_id()}\n"
                await asyncio.sleep(0.01)
        finally:
            seen.append(f"ended in {current_request_id()}")

    return StreamingHttpResponse(body())
