"""The view that executes code for a program that speaks JSON."""

from __future__ import annotations

import logging
import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.views import View

from codemode.core.codemode import Codemode
from codemode.core.context import use_context
from codemode.core.result import ExecutionResult
from codemode.errors import (
    ClientClosedError,
    ConfigurationError,
    ExecutorBusyError,
    ExecutorClientError,
    ExecutorConnectionError,
    ExecutorDeadlineError,
    ExecutorRequestError,
    ValueEncodingError,
)
from django_codemode.conf import get_settings
from django_codemode.context import provide
from django_codemode.payload import BadRequestError, ExecutePayload, parse_payload, result_as_json
from django_codemode.shared import get_codemode

__all__ = ["ExecuteView"]

logger = logging.getLogger(__name__)


class ExecuteView(View):
    """Execute the code of a POST request and answer with the whole outcome as JSON.

    The body is ``{"code": …, "inputs": …, "available_tools": …,
    "execution_timeout": …}``; all but ``code`` may be left out. Tools run in
    the request's own context, thread, connection and transaction. The answer's
    status is 200 whenever the code has run, even when it failed; else the body
    is ``{"error": {"code": …, "message": …}, "result": …}`` with the partial
    record, if there is one. Derive from it to change who may execute what.
    """

    http_method_names = ["post", "options"]
    permission_required = "django_codemode.execute_code"

    def get_codemode(self) -> Codemode:
        """Return the Codemode that executes. Raises ConfigurationError."""
        return get_codemode()

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Check who asks and what, execute, and answer."""
        try:
            self.check_permission(request)
            payload = parse_payload(_read_body(request))
        except BadRequestError as refusal:
            return _refuse(refusal.status, refusal.code, str(refusal))
        with _context_of(request):
            return self._execute(payload)

    def check_permission(self, request: HttpRequest) -> None:
        """Raise BadRequestError unless the request's user may execute code."""
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated:
            raise BadRequestError("not_authenticated", "log in to execute code", status=401)
        if not user.has_perm(self.permission_required):
            raise BadRequestError(
                "not_permitted",
                f"executing code takes the permission {self.permission_required}",
                status=403,
            )

    def _execute(self, payload: ExecutePayload) -> HttpResponse:
        codemode = self.get_codemode()
        try:
            _check_for(codemode, payload)
            result = codemode.run(
                payload.code,
                inputs=payload.inputs,
                available_tools=payload.available_tools,
                execution_timeout=payload.execution_timeout,
            )
        except BadRequestError as refusal:
            return _refuse(refusal.status, refusal.code, str(refusal))
        except (ConfigurationError, ValueEncodingError) as error:
            # The settings are known to be right by now: it is about the inputs.
            return _refuse(400, "invalid_inputs", str(error))
        except ExecutorClientError as error:
            return _executor_failed(error)
        return JsonResponse(result_as_json(result))


def _read_body(request: HttpRequest) -> bytes:
    content_type = request.content_type or ""
    if content_type != "application/json":
        raise BadRequestError(
            "not_json",
            f"the Content-Type is {content_type[:100]!r}; expected application/json",
            status=415,
        )
    limit = get_settings().max_request_bytes
    too_large = BadRequestError(
        "body_too_large", f"the body has more than {limit:,} bytes", status=413
    )
    if _declared_length(request) > limit:
        raise too_large
    try:
        body = request.body
    except RequestDataTooBig as error:
        raise too_large from error
    except UnreadablePostError as error:
        raise BadRequestError("unreadable_body", f"the body could not be read: {error}") from error
    if len(body) > limit:
        raise too_large
    return body


def _declared_length(request: HttpRequest) -> int:
    try:
        return int(request.headers.get("Content-Length") or 0)
    except ValueError:
        return 0


def _context_of(request: HttpRequest) -> AbstractContextManager[Any]:
    if hasattr(request, "codemode_context"):
        return nullcontext()  # CodemodeMiddleware is around this request.
    return use_context(provide(request))


def _check_for(codemode: Codemode, payload: ExecutePayload) -> None:
    """Check what depends on the registry and on the limits."""
    try:
        codemode.registry.select(payload.available_tools)
    except ConfigurationError as error:
        raise BadRequestError("unknown_tool", str(error)) from error
    longest = codemode.client.limits.execution_timeout
    if payload.execution_timeout is not None and payload.execution_timeout > longest:
        raise BadRequestError(
            "invalid_execution_timeout",
            f"'execution_timeout' is {payload.execution_timeout:g} seconds; "
            f"a request may ask for {longest:g} at most",
        )


def _executor_failed(error: ExecutorClientError) -> HttpResponse:
    if isinstance(error, ExecutorRequestError):
        return _refuse(400, "refused_by_executor", str(error))
    # The message may name hosts of the inner network: it is for the log only.
    logger.error("The executor failed: %s", error, exc_info=error)
    result = error.result
    if isinstance(error, ExecutorBusyError):
        retry_after = max(1, math.ceil(error.retry_after))
        return _refuse(503, "busy", "no sandbox is free; try again later", retry_after=retry_after)
    if isinstance(error, ExecutorDeadlineError):
        return _refuse(504, "executor_timeout", "the executor did not answer in time", result)
    if result is None and isinstance(error, ExecutorConnectionError | ClientClosedError):
        # Nothing has run, so that trying again is safe.
        return _refuse(503, "unavailable", "the executor cannot be reached", retry_after=1)
    return _refuse(502, "executor_failed", "the executor failed; the log has the details", result)


def _refuse(
    status: int,
    code: str,
    message: str,
    result: ExecutionResult | None = None,
    *,
    retry_after: int | None = None,
) -> HttpResponse:
    body = {
        "error": {"code": code, "message": message},
        "result": None if result is None else result_as_json(result),
    }
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JsonResponse(body, status=status, headers=headers)
