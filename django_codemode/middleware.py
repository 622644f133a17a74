"""The middleware that gives each request its RuntimeContext."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from codemode.core.context import RuntimeContext, use_context
from django_codemode.context import aprovide, provide

__all__ = ["CodemodeMiddleware", "GetResponse"]

GetResponse = (
    Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]
)


class CodemodeMiddleware:
    """Middleware that runs each request in the RuntimeContext of ``CONTEXT_PROVIDER``.

    Belongs after AuthenticationMiddleware. Works in synchronous and in
    asynchronous stacks. Stores the context as ``request.codemode_context``, and
    always restores the former context. The body of a streaming response runs in
    the request's context too.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.async_mode = iscoroutinefunction(get_response)
        if self.async_mode:
            # Marks the instance, because Django inspects that and not __call__.
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.async_mode:
            return self.__acall__(request)
        get_response = cast("Callable[[HttpRequest], HttpResponseBase]", self.get_response)
        context = provide(request)
        _remember(request, context)
        with use_context(context):
            return _bound(get_response(request), context)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        get_response = cast(
            "Callable[[HttpRequest], Awaitable[HttpResponseBase]]", self.get_response
        )
        context = await aprovide(request)
        _remember(request, context)
        with use_context(context):
            return _bound(await get_response(request), context)


def _remember(request: HttpRequest, context: RuntimeContext) -> None:
    # Through vars(), because the request class declares no such attributes.
    vars(request)["codemode_context"] = context
    vars(request)["codemode_user"] = getattr(request, "user", None)  # as it is now, and not loaded


def _bound(response: HttpResponseBase, context: RuntimeContext) -> HttpResponseBase:
    """Make a streaming body and the response's close() run in the context too."""
    if not isinstance(response, StreamingHttpResponse):
        return response
    if getattr(response, "file_to_stream", None) is not None:
        return response  # a plain file: wrapping it would disable the server's fast path
    content = response.streaming_content

    def close_in_context() -> None:
        # The response, this function and the body refer to each other. The cycle is
        # broken here, so that an unfinished body ends now and not at a later
        # garbage collection.
        vars(response).pop("close", None)
        with use_context(context):
            response.close()
        response.streaming_content = ()

    vars(response)["close"] = close_in_context
    if isinstance(content, AsyncIterator):
        response.streaming_content = _asteps(content, context)
    else:
        response.streaming_content = _steps(iter(content), context)
    return response


def _steps(content: Iterator[bytes], context: RuntimeContext) -> Iterator[bytes]:
    # The context is set around each step, never across a yield: between two steps
    # the server's own code runs in the same thread.
    while True:
        with use_context(context):
            try:
                chunk = next(content)
            except StopIteration:
                return
        yield chunk


async def _asteps(content: AsyncIterator[bytes], context: RuntimeContext) -> AsyncIterator[bytes]:
    try:
        while True:
            with use_context(context):
                try:
                    chunk = await anext(content)
                except StopAsyncIteration:
                    return
            yield chunk
    finally:
        aclose = getattr(content, "aclose", None)
        if aclose is not None:
            with use_context(context):
                await aclose()
