"""The page of the playground, and the stream of events while its code runs."""

from __future__ import annotations

from contextlib import closing
from typing import Any, cast

from django.conf import settings as django_settings
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase
from django.http.request import HttpHeaders
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils.translation import get_language, override

from codemode.core.context import RuntimeContext, use_context
from codemode.core.events import Event, ExecutionCompleted, ExecutionStarted
from codemode.core.plain_functions import call_plain
from codemode.core.result import ExecutionResult
from codemode.errors import ConfigurationError, ExecutorClientError, ValueEncodingError
from django_codemode._requests.execution import Execution
from django_codemode.conf import get_settings
from django_codemode.payload import ExecutePayload, check_payload
from django_codemode.playground.csp import allow_data_pictures
from django_codemode.playground.presentation import present
from django_codemode.playground.shown_context import shown_context
from django_codemode.playground.timeline import MAX_BARS, Timeline
from django_codemode.refusals import RefusalError, refusal_of
from django_codemode.views import CodemodeView, StreamView

__all__ = ["PlaygroundStreamView", "PlaygroundView"]

_SCRIPTS = [
    f"django_codemode/playground/{name}.js"
    for name in ("highlight", "editor", "events", "timeline", "history", "playground")
]


class _OfTheAdmin(CodemodeView):
    """Base of the playground's views, for those who may use an admin site and execute code."""

    admin_site: AdminSite | None = None

    def check_permission(self, request: HttpRequest) -> None:
        """Raise RefusalError unless the user may use the admin site and execute code."""
        super().check_permission(request)
        if self.admin_site is not None and not self.admin_site.has_permission(request):
            raise RefusalError(
                "not_permitted", "the playground is for users of the admin", status=403
            )


class PlaygroundView(_OfTheAdmin):
    """View of the page, which runs the code of its form for browsers without JavaScript."""

    http_method_names = ["get", "post", "head", "options"]
    stream_url = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer with the page, or deny it to a user without permission."""
        try:
            call_plain(self.check_permission, request)
        except RefusalError as refusal:
            return self._denied(request, refusal)
        return super().dispatch(request, *args, **kwargs)

    def refuse(self, request: HttpRequest, refusal: RefusalError) -> HttpResponseBase:
        """Show the refusal on the page, without tools and context, which could not be computed."""
        return self._render(request, status=refusal.status, refusal=str(refusal))

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show the page."""
        return self._page(request, self.context_of(request))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Run the code and show the page with its outcome."""
        timeline = Timeline()
        try:
            execution = self.prepare(request)
            result = self._run(execution, timeline)
        except RefusalError as refusal:
            return self._refused(request, refusal)
        return self._page(
            request,
            execution.context,
            bars=timeline.bars(result),
            more_calls=max(0, len(result.tool_calls) - MAX_BARS),
            **outcome_of(result),
        )

    def read_payload(self, request: HttpRequest) -> ExecutePayload:
        """Return the payload of the form. Raises RefusalError."""
        code = _code_of(request)
        limit = get_settings().max_request_bytes
        if len(code.encode(errors="surrogatepass")) > limit:
            raise RefusalError(
                "body_too_large", f"the code has more than {limit:,} bytes", status=413
            )
        return check_payload({"code": code})

    def _run(self, execution: Execution, timeline: Timeline) -> ExecutionResult:
        events = execution.codemode.stream(execution.code, **execution.arguments)
        try:
            with use_context(execution.context), closing(events):
                for event in events:
                    timeline.note(event)
                    if isinstance(event, ExecutionCompleted):
                        return event.result
        except (ConfigurationError, ExecutorClientError, ValueEncodingError) as error:
            raise refusal_of(error) from error
        raise AssertionError("the stream of an execution ended without its result")

    def _denied(self, request: HttpRequest, refusal: RefusalError) -> HttpResponseBase:
        site = self.admin_site
        if site is None or not site.has_permission(request):
            raise PermissionDenied(str(refusal)) from refusal
        variables = {**site.each_context(request), "title": "Playground", "refusal": str(refusal)}
        template = "django_codemode/playground/denied.html"
        return TemplateResponse(request, template, variables, status=refusal.status)

    def _refused(self, request: HttpRequest, refusal: RefusalError) -> HttpResponseBase:
        context = self.context_of(request)
        page = self._page(request, context, status=refusal.status, refusal=str(refusal))
        if refusal.retry_after is not None:
            page.headers["Retry-After"] = str(refusal.retry_after)
        return page

    def _page(
        self, request: HttpRequest, context: RuntimeContext, *, status: int = 200, **variables: Any
    ) -> HttpResponseBase:
        registry = self.get_codemode().registry
        tools = registry.visible(registry.select(self.get_tools(request)), context)
        return self._render(
            request,
            status=status,
            tools=[tools[name] for name in sorted(tools)],
            context=shown_context(context),
            **variables,
        )

    def _render(self, request: HttpRequest, *, status: int, **variables: Any) -> HttpResponseBase:
        site = self.admin_site.each_context(request) if self.admin_site is not None else {}
        response = TemplateResponse(
            request,
            "django_codemode/playground/page.html",
            {
                **site,
                "title": "Playground",
                "scripts": _SCRIPTS,
                "code": _code_of(request),
                "stream_url": self.stream_url,
                "ends_at_once": isinstance(request, ASGIRequest),
                "csrf_header": HttpHeaders.parse_header_name(django_settings.CSRF_HEADER_NAME),
                # Several people may share a browser, and a browser may show several sites.
                "history_key": f"django_codemode.playground.{request.path}.{_user_id(request)}",
                **variables,
            },
            status=status,
        )
        allow_data_pictures(response)
        return response


class PlaygroundStreamView(_OfTheAdmin, StreamView):
    """StreamView that adds the run's context, and the result as the page shows it."""

    def prepare(self, request: HttpRequest) -> Execution:
        """Check the request, and note the context here, where users may be loaded."""
        execution = super().prepare(request)
        self._context = shown_context(execution.context)
        self._language = get_language()
        return execution

    def describe(self, event: Event) -> dict[str, Any]:
        """Add the ``context`` to ``started`` and the ``html`` of the result to ``completed``."""
        data = super().describe(event)
        if isinstance(event, ExecutionStarted):
            data["context"] = self._context
        if isinstance(event, ExecutionCompleted):
            with override(self._language):  # the rendering thread may have another one
                data["html"] = render_to_string(
                    "django_codemode/playground/outcome.html", outcome_of(event.result)
                )
        return data


def outcome_of(result: ExecutionResult) -> dict[str, Any]:
    """Return the variables of the template that shows an outcome."""
    return {
        "result": result,
        "shown": present(result.value) if result.ok else None,
        "text": result.for_model(),
        "cpu_ms": result.usage.cpu_seconds * 1000,
    }


def _code_of(request: HttpRequest) -> str:
    # Browsers end the lines of a form field with CRLF.
    return request.POST.get("code", "").replace("\r\n", "\n")


def _user_id(request: HttpRequest) -> str:
    return str(cast("Any", request).user.pk)
