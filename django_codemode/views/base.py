"""The base of the views: permission, context, offered tools and timeout of an execution."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.http.request import UnreadablePostError
from django.views import View

from codemode.core.codemode import Codemode
from codemode.core.context import RuntimeContext
from codemode.core.plain_functions import call_plain
from codemode.errors import ConfigurationError
from django_codemode._requests.execution import Execution, prepare_execution
from django_codemode._requests.rates import count_execution
from django_codemode.conf import get_settings
from django_codemode.context import as_context, provide
from django_codemode.payload import ExecutePayload, parse_payload, result_as_json
from django_codemode.permissions import require_permission
from django_codemode.refusals import RefusalError, not_configured
from django_codemode.shared import get_codemode

__all__ = ["CodemodeView", "refusal_response"]


class CodemodeView(View):
    """Base class of the views, with refusals in JSON and hooks that a project overrides.

    The hooks are synchronous and may query the database, in every view.
    """

    permission_required: str | Collection[str] = "django_codemode.execute_code"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer the request, or refuse it in JSON."""
        try:
            return super().dispatch(request, *args, **kwargs)
        except RefusalError as refusal:
            return self.refuse(request, refusal)
        except ConfigurationError as error:
            return self.refuse(request, not_configured(error))

    def refuse(self, request: HttpRequest, refusal: RefusalError) -> HttpResponseBase:
        """Return the response that refuses a request."""
        return refusal_response(refusal)

    def get_codemode(self) -> Codemode:
        """Return the Codemode that executes. Raises ConfigurationError."""
        return get_codemode()

    def check_permission(self, request: HttpRequest) -> None:
        """Raise RefusalError unless the request's user may execute code."""
        require_permission(getattr(request, "user", None), self.permission_required)

    def get_context(self, request: HttpRequest) -> Mapping[str, Any]:
        """Return the context for the tools: the middleware's, else CONTEXT_PROVIDER's.

        The context is a mapping of names to values, such as a RuntimeContext.
        The provider is called again if ``request.user`` has changed since,
        because ``check_permission`` checks the new user.
        """
        context: RuntimeContext | None = getattr(request, "codemode_context", None)
        seen = getattr(request, "codemode_user", None)
        if context is None or seen is not getattr(request, "user", None):
            return provide(request)
        return context

    def get_tools(self, request: HttpRequest) -> Iterable[str] | None:
        """Return the names of the tools that this view offers; None for all.

        A request may narrow the selection. Permissions of tools always apply.
        """
        return None

    def get_execution_timeout(self, request: HttpRequest) -> float:
        """Return the longest timeout that a request may set, in seconds; also the default."""
        return self.get_codemode().client.limits.execution_timeout

    def get_rate_limit(self, request: HttpRequest) -> str | None:
        """Return how often the request's user may execute, such as ``"60/minute"``."""
        return get_settings().rate_limit

    def read_payload(self, request: HttpRequest) -> ExecutePayload:
        """Return the payload of the request's JSON body. Raises RefusalError."""
        return parse_payload(read_body(request))

    def context_of(self, request: HttpRequest) -> RuntimeContext:
        """Return ``get_context()`` as a RuntimeContext. Raises ConfigurationError."""
        return as_context(self.get_context(request), self.get_context)

    def prepare(self, request: HttpRequest) -> Execution:
        """Check the permission, the rate and the payload. Raises RefusalError."""
        call_plain(self.check_permission, request)
        count_execution(_who(request), self.get_rate_limit(request))
        return prepare_execution(
            self.read_payload(request),
            codemode=self.get_codemode(),
            context=self.context_of(request),
            offered=self.get_tools(request),
            longest=self.get_execution_timeout(request),
        )


def read_body(request: HttpRequest) -> bytes:
    """Return the body of a JSON request of bounded size. Raises RefusalError."""
    content_type = request.content_type or ""
    if content_type != "application/json":
        raise RefusalError(
            "not_json",
            f"the Content-Type is {content_type[:100]!r}; expected application/json",
            status=415,
        )
    limit = get_settings().max_request_bytes
    djangos: int | None = django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if djangos is not None:
        limit = min(limit, djangos)
    body = b""
    if _declared_length(request) <= limit:
        try:
            # A body of undeclared length may be huge; request.body would read all of it.
            body = request.body if hasattr(request, "_body") else request.read(limit + 1)
        except UnreadablePostError as error:
            raise RefusalError("unreadable_body", f"the body could not be read: {error}") from error
    if len(body) > limit or _declared_length(request) > limit:
        raise RefusalError("body_too_large", f"the body has more than {limit:,} bytes", status=413)
    # For hooks that read request.body.
    vars(request)["_body"] = body
    return body


def refusal_response(refusal: RefusalError) -> HttpResponse:
    """Return the JSON response that refuses a request."""
    result = refusal.result
    body = {
        "error": {"code": refusal.code, "message": str(refusal)},
        "result": None if result is None else result_as_json(result),
    }
    retry_after = refusal.retry_after
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JsonResponse(body, status=refusal.status, headers=headers)


def _who(request: HttpRequest) -> str:
    """Return the key by which executions are counted: the user or, without one, the address."""
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return f"user {user.pk}"
    return f"address {request.META.get('REMOTE_ADDR', '')}"


def _declared_length(request: HttpRequest) -> int:
    try:
        return int(request.headers.get("Content-Length") or 0)
    except ValueError:
        return 0
