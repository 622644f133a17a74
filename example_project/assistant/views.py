"""The assistant's page, and the stream of events that answers a question."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseForbidden,
)
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from assistant.choice import choose_model
from assistant.conversation import Conversation
from assistant.events import describe
from assistant.people import PEOPLE, log_in
from assistant.repertoire import REPERTOIRE
from django_codemode import get_codemode
from django_codemode.sse import stream_response

__all__ = ["ask", "change_person", "page"]

LONGEST_QUESTION = 500  # characters
# Pictures that code has drawn are shown from memory, as blobs.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """Show the page; in the demonstration, a visitor begins as the first of the people."""
    if not request.user.is_authenticated:
        if not settings.DEBUG:
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        log_in(request, PEOPLE[0])
    variables = {
        "model": choose_model(),
        "questions": [script.question for script in REPERTOIRE],
        "longest": LONGEST_QUESTION,
        "people": PEOPLE if settings.DEBUG else (),
        "tools": " ".join(get_codemode().permitted_tools()),
    }
    response = render(request, "assistant/page.html", variables)
    response.headers["Content-Security-Policy"] = POLICY
    return response


@require_POST
def ask(request: HttpRequest) -> HttpResponseBase:
    """Answer a question with server-sent events.

    The code of the answer runs in the context of this request: as its user, for
    its merchant.
    """
    if not request.user.has_perm("django_codemode.execute_code"):
        return HttpResponseForbidden(
            "You may not execute code here. Reload the page: you may have been logged out.",
            content_type="text/plain",
        )
    question = request.POST.get("question", "").strip()
    if not 0 < len(question) <= LONGEST_QUESTION:
        return HttpResponseBadRequest(
            f"The question has {len(question):,} characters; expected 1 to {LONGEST_QUESTION}.",
            content_type="text/plain",
        )
    return stream_response(request, Conversation(choose_model(), question), describe=describe)


@require_POST
def change_person(request: HttpRequest) -> HttpResponse:
    """Go on as another of the people. There is no such view without DEBUG."""
    chosen = [one for one in PEOPLE if one.username == request.POST.get("username")]
    if not settings.DEBUG or not chosen:
        raise Http404
    log_in(request, chosen[0])
    return redirect("assistant:page")
