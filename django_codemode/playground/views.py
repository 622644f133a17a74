"""The page of the playground, and the stream of events while its code runs."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

from django.conf import settings as django_settings
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase
from django.http.request import HttpHeaders
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import get_language, override

from codemode.core.context import RuntimeContext, use_context
from codemode.core.events import (
    Event,
    ExecutionCompleted,
    ExecutionStarted,
    ToolCallFinished,
    ToolCallStarted,
)
from codemode.core.plain_functions import call_plain
from codemode.core.result import ExecutionResult
from codemode.errors import ConfigurationError, ExecutorClientError, ValueEncodingError
from codemode.wire.profile_packages import PACKAGES_OF_PROFILES
from django_codemode._requests.execution import Execution
from django_codemode.conf import get_settings
from django_codemode.payload import ExecutePayload, check_payload, load_json
from django_codemode.playground.acting import (
    acting_as,
    may_act,
    named_after_actor,
    user_to_act_as,
)
from django_codemode.playground.csp import allow_data_pictures
from django_codemode.playground.form import form_data, taken_text
from django_codemode.playground.outcome import outcome_of, output_of, shown_arguments, summary_of
from django_codemode.playground.shown_context import shown_context
from django_codemode.playground.timeline import MAX_BARS, CallValues, Timeline
from django_codemode.playground.tool_cards import cards_of, starter_code
from django_codemode.refusals import RefusalError, refusal_of
from django_codemode.tool_checks import FIRST_TOOL, where_tools_go
from django_codemode.views import CodemodeView, StreamView
from django_codemode.views.base import read_body

__all__ = ["PlaygroundStreamView", "PlaygroundView"]

logger = logging.getLogger("django_codemode")

_SCRIPTS = [
    f"django_codemode/playground/{name}.js"
    for name in (
        *("highlight", "editor", "completion", "events", "output", "timeline"),
        *("tables", "clipboard", "confirmation", "options", "draft", "history", "playground"),
    )
]


class _OfTheAdmin(CodemodeView):
    """Base of the playground's views, for those who may use an admin site and execute code."""

    admin_site: AdminSite | None = None
    _profile: str = ""
    _acting: Any = None  # the user in whose context the code runs, if not the request's

    def check_permission(self, request: HttpRequest) -> None:
        """Raise RefusalError unless the user may use the admin site and execute code."""
        super().check_permission(request)
        if self.admin_site is not None and not self.admin_site.has_permission(request):
            raise RefusalError(
                "not_permitted", "the playground is for users of the admin", status=403
            )

    def context_of(self, request: HttpRequest) -> RuntimeContext:
        """Return the context of the request, or that of the user as whom the code runs."""
        if self._acting is None:
            return super().context_of(request)
        context = super().context_of(acting_as(request, self._acting))
        return named_after_actor(context, _user_of(request), self._acting)

    def prepare(self, request: HttpRequest) -> Execution:
        """Check the request, with the profile that it asks for."""
        execution = super().prepare(request)
        if self._acting is not None:
            actor, user = _user_of(request).pk, self._acting.pk
            logger.info("User %s executes code as user %s in the playground", actor, user)
        if not self._profile:
            return execution
        return replace(execution, arguments={**execution.arguments, "profile": self._profile})

    def _payload_of(self, request: HttpRequest, data: dict[str, Any]) -> ExecutePayload:
        """Take ``profile`` and ``as_user`` out of the data; return the rest as the payload."""
        self._profile = taken_text(data, "profile")
        username = taken_text(data, "as_user")
        payload = check_payload(data)
        actor = _user_of(request)
        if username and username != actor.get_username():
            self._acting = user_to_act_as(actor, username)
        return payload


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
            output=output_of(result),
            **outcome_of(result),
        )

    def read_payload(self, request: HttpRequest) -> ExecutePayload:
        """Return the payload of the form. Raises RefusalError."""
        return self._payload_of(request, form_data(request, get_settings().max_request_bytes))

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
        advice = None if registry.tools else where_tools_go()
        return self._render(
            request,
            status=status,
            tools=cards_of(tools.values()),
            starter=starter_code(tools.values()),
            advice=advice,
            first_tool=FIRST_TOOL,
            context=shown_context(context),
            **variables,
        )

    def _render(self, request: HttpRequest, *, status: int, **variables: Any) -> HttpResponseBase:
        site = self.admin_site.each_context(request) if self.admin_site is not None else {}
        user = _user_of(request)
        response = TemplateResponse(
            request,
            "django_codemode/playground/page.html",
            {
                **site,
                "title": "Playground",
                "scripts": _SCRIPTS,
                "form": request.POST if request.method == "POST" else None,
                "profiles": sorted(PACKAGES_OF_PROFILES),
                "may_act": may_act(user),
                "stream_url": self.stream_url,
                "curl": _curl_of(request, self.stream_url),
                "ends_at_once": isinstance(request, ASGIRequest),
                "csrf_header": HttpHeaders.parse_header_name(django_settings.CSRF_HEADER_NAME),
                "username": user.get_username(),
                # Several people may share a browser, and a browser may show several sites.
                "history_key": f"django_codemode.playground.{request.path}.{user.pk}",
                **variables,
            },
            status=status,
        )
        allow_data_pictures(response)
        return response


class PlaygroundStreamView(_OfTheAdmin, StreamView):
    """StreamView whose events carry what the page shows, as text and HTML of bounded size."""

    def read_payload(self, request: HttpRequest) -> ExecutePayload:
        """Return the payload of the request's JSON body. Raises RefusalError."""
        return self._payload_of(request, load_json(read_body(request)))

    def prepare(self, request: HttpRequest) -> Execution:
        """Check the request, and note the context here, where users may be loaded."""
        execution = super().prepare(request)
        self._context = shown_context(execution.context)
        self._language = get_language()
        self._values = CallValues()
        return execution

    def describe(self, event: Event) -> dict[str, Any]:
        """Return an event's data, with ``context``, the shown arguments, or the ``html`` to show.

        ``completed`` has no value, output or calls: the page has seen them, or their HTML.
        """
        with override(self._language):  # the rendering thread may have another one
            match event:
                case ExecutionStarted():
                    return {**super().describe(event), "context": self._context}
                case ToolCallStarted():
                    short = replace(event, arguments={})
                    return {
                        **super().describe(short),
                        "arguments": shown_arguments(event.arguments),
                    }
                case ToolCallFinished():
                    return {**super().describe(event), "html": self._values.html(event)}
                case ExecutionCompleted():
                    template = "django_codemode/playground/outcome.html"
                    html = render_to_string(template, outcome_of(event.result))
                    return {**summary_of(event.result), "html": html}
                case _:
                    return super().describe(event)


def _curl_of(request: HttpRequest, stream_url: str) -> dict[str, str]:
    """Return the URL and the names of cookies for a request from a shell, without any secret."""
    try:
        path = reverse("codemode:execute")
    except NoReverseMatch:
        path = stream_url
    return {
        "url": request.build_absolute_uri(path),
        "session": django_settings.SESSION_COOKIE_NAME,
        "csrf": django_settings.CSRF_COOKIE_NAME,
    }


def _user_of(request: HttpRequest) -> Any:
    return cast("Any", request).user
