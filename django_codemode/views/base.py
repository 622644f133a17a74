"""What the views share: who may execute, in which context, with which tools and for how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.http.request import UnreadablePostError
from django.views import View

from codemode.core.codemode import Codemode
from codemode.core.context import RuntimeContext
from codemode.errors import ConfigurationError
from django_codemode.conf import get_settings
from django_codemode.context import provide
from django_codemode.payload import ExecutePayload, parse_payload, result_as_json
from django_codemode.permissions import require_permission
from django_codemode.rates import count_execution
from django_codemode.refusals import RefusalError
from django_codemode.shared import get_codemode

__all__ = ["CodemodeView", "Execution", "refusal_response"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Hold what a request may have executed, checked: ready for ``Codemode.run`` and ``stream``."""

    codemode: Codemode
    context: RuntimeContext
    code: str
    arguments: dict[str, Any]


class CodemodeView(View):
    """Be the base of the views: refuse in JSON, and ask the hooks that a project overrides.

    Hooks are synchronous and may query the database, in every view.
    """

    permission_required = "django_codemode.execute_code"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, or say in JSON why not."""
        try:
            return super().dispatch(request, *args, **kwargs)
        except RefusalError as refusal:
            return refusal_response(refusal)

    def get_codemode(self) -> Codemode:
        """Return the Codemode that executes. Raises ConfigurationError."""
        return get_codemode()

    def check_permission(self, request: HttpRequest) -> None:
        """Raise RefusalError unless the request's user may execute code."""
        require_permission(getattr(request, "user", None), self.permission_required)

    def get_context(self, request: HttpRequest) -> RuntimeContext:
        """Return the context for the tools: the middleware's, else CONTEXT_PROVIDER's."""
        context: RuntimeContext | None = getattr(request, "codemode_context", None)
        return provide(request) if context is None else context

    def get_tools(self, request: HttpRequest) -> Iterable[str] | None:
        """Return the names of the tools that this view offers; None for all.

        A request may narrow them. Permissions of tools hold in any case.
        """
        return None

    def get_execution_timeout(self, request: HttpRequest) -> float:
        """Return the most seconds that a request may ask for, and gets unless it does."""
        return self.get_codemode().client.limits.execution_timeout

    def get_rate_limit(self, request: HttpRequest) -> str | None:
        """Return how often the request's user may execute, such as ``"60/minute"``."""
        return get_settings().rate_limit

    def read_payload(self, request: HttpRequest) -> ExecutePayload:
        """Return what the request asks for, of its JSON body. Raises RefusalError."""
        return parse_payload(read_body(request))

    def prepare(self, request: HttpRequest) -> Execution:
        """Check who asks and what. Raises RefusalError."""
        self.check_permission(request)
        count_execution(_who(request), self.get_rate_limit(request))
        payload = self.read_payload(request)
        codemode = self.get_codemode()
        context = self.get_context(request)
        return Execution(
            codemode=codemode,
            context=context,
            code=payload.code,
            arguments={
                "inputs": payload.inputs,
                "available_tools": choose_tools(
                    codemode, context, self.get_tools(request), payload.available_tools
                ),
                "execution_timeout": choose_timeout(payload, self.get_execution_timeout(request)),
            },
        )


def choose_tools(
    codemode: Codemode,
    context: RuntimeContext,
    offered: Iterable[str] | None,
    requested: list[str] | None,
) -> list[str] | None:
    """Return the tools of a run: those offered, narrowed to those requested; None for all.

    Raises RefusalError, in words that name no tool which the user may not see.
    """
    registry = codemode.registry
    within = registry.select(offered)
    if requested is None:
        return None if offered is None else list(within)
    chosen: list[str] = []
    for name in requested:
        try:
            below = registry.select([name]).keys() & within.keys()
        except ConfigurationError:
            below = set()
        if not below:
            close = get_close_matches(name, registry.visible(within, context), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise RefusalError(
                "unknown_tool", f"'available_tools' has {name[:100]!r}, which is no tool{hint}"
            )
        chosen += below
    return chosen


def choose_timeout(payload: ExecutePayload, longest: float) -> float:
    """Return the seconds of a run. Raises RefusalError for more than it may ask for."""
    wanted = payload.execution_timeout
    if wanted is not None and wanted > longest:
        raise RefusalError(
            "invalid_execution_timeout",
            f"'execution_timeout' is {wanted:g} seconds; a request may ask for {longest:g} at most",
        )
    return longest if wanted is None else wanted


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
    too_large = RefusalError(
        "body_too_large", f"the body has more than {limit:,} bytes", status=413
    )
    if _declared_length(request) > limit:
        raise too_large
    try:
        body = request.body
    except RequestDataTooBig as error:
        raise too_large from error
    except UnreadablePostError as error:
        raise RefusalError("unreadable_body", f"the body could not be read: {error}") from error
    if len(body) > limit:
        raise too_large
    return body


def refusal_response(refusal: RefusalError) -> HttpResponse:
    """Return the JSON answer that refuses a request."""
    result = refusal.result
    body = {
        "error": {"code": refusal.code, "message": str(refusal)},
        "result": None if result is None else result_as_json(result),
    }
    retry_after = refusal.retry_after
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JsonResponse(body, status=refusal.status, headers=headers)


def _who(request: HttpRequest) -> str:
    """Return whose executions are counted together: a user's, or those of an address."""
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return f"user {user.pk}"
    return f"address {request.META.get('REMOTE_ADDR', '')}"


def _declared_length(request: HttpRequest) -> int:
    try:
        return int(request.headers.get("Content-Length") or 0)
    except ValueError:
        return 0
