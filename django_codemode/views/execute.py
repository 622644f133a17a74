"""The views that execute code and answer with the whole outcome as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from codemode.core.context import use_context
from codemode.core.result import ExecutionResult
from codemode.errors import ConfigurationError, ExecutorClientError, ValueEncodingError
from django_codemode.payload import result_as_json
from django_codemode.refusals import RefusalError, not_configured, refusal_of
from django_codemode.views.base import CodemodeView

__all__ = ["AsyncExecuteView", "ExecuteView", "non_atomic"]


class ExecuteView(CodemodeView):
    """View that executes the code of a POST request and returns the whole outcome as JSON.

    The body is ``{"code": …, "inputs": …, "available_tools": …,
    "execution_timeout": …}``; all but ``code`` may be left out. Tools run in
    the request's own context, thread, connection and transaction. The status is
    200 whenever the code has run, even when it failed. Otherwise the body is
    ``{"error": {"code": …, "message": …}, "result": …}`` with the partial
    record, if there is one.

    Code that fails still gives an answer, and what its tools wrote is kept, even
    under ``ATOMIC_REQUESTS``, which rolls back only if the view raises. With
    ``atomic``, what the tools wrote is kept only if the code completed, as by
    ``django_codemode.run_atomic`` for the database ``using``.
    """

    http_method_names = ["post", "options"]
    atomic = False
    using = DEFAULT_DB_ALIAS

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Check the request, execute its code, and answer."""
        execution = self.prepare(request)
        try:
            with use_context(execution.context):
                result = execution.run_atomic(self.using) if self.atomic else execution.run()
        except (ConfigurationError, ExecutorClientError, ValueEncodingError) as error:
            raise refusal_of(error) from error
        return _answer(result)


class AsyncExecuteView(CodemodeView):
    """ExecuteView as a task of the server's loop: a client that disconnects ends its sandbox.

    Never runs in a transaction of the request, whatever ``ATOMIC_REQUESTS`` says.
    """

    http_method_names = ["post", "options"]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """Return the view as a function, exempt from ``ATOMIC_REQUESTS``."""
        return non_atomic(super().as_view(**initkwargs))

    async def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Check the request, execute its code, and answer."""
        try:
            execution = await sync_to_async(self.prepare)(request)
        except RefusalError as refusal:
            return self.refuse(request, refusal)
        except ConfigurationError as error:
            return self.refuse(request, not_configured(error))
        try:
            with use_context(execution.context):
                result = await execution.arun()
        except (ConfigurationError, ExecutorClientError, ValueEncodingError) as error:
            return self.refuse(request, refusal_of(error))
        return await sync_to_async(_answer, thread_sensitive=False)(result)


def non_atomic[V: Callable[..., HttpResponseBase | Awaitable[HttpResponseBase]]](view: V) -> V:
    """Exempt a view from ``ATOMIC_REQUESTS``, on every database.

    Raises ImproperlyConfigured for a class that sets ``atomic``.
    """
    kind: Any = getattr(view, "view_class", None)
    if getattr(kind, "atomic", False):
        raise ImproperlyConfigured(
            f"{kind.__qualname__} sets atomic, and its tools run outside of any transaction; "
            "derive from ExecuteView, whose tools share one"
        )
    for alias in connections:
        transaction.non_atomic_requests(using=alias)(view)
    return view


def _answer(result: ExecutionResult) -> HttpResponse:
    return JsonResponse(result_as_json(result))
