"""The view that executes code and streams what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from codemode.core.context import use_context
from codemode.core.events import Event
from django_codemode.payload import event_as_json
from django_codemode.sse import HEARTBEAT_SECONDS, stream_response
from django_codemode.views.base import CodemodeView
from django_codemode.views.execute import non_atomic

__all__ = ["StreamView"]


class StreamView(CodemodeView):
    """Execute the code of a POST request and answer with server-sent events as they happen.

    The body and the refusals are those of ExecuteView. Once the checks have
    passed, the answer is 200 and its last event is ``completed``, with the
    whole outcome, or ``error``. The body is sent after the view has returned,
    so that tools run outside of any transaction of the request.
    """

    http_method_names = ["post", "options"]
    heartbeat = HEARTBEAT_SECONDS

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """Return the view as a function, marked as one without transactions."""
        return non_atomic(super().as_view(**initkwargs))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Check who asks and what, and stream."""
        execution = self.prepare(request)
        with use_context(execution.context):
            return stream_response(
                request, execution.stream(), heartbeat=self.heartbeat, describe=self.describe
            )

    def describe(self, event: Event) -> dict[str, Any]:
        """Return what the stream tells of an event. It cannot query the database.

        Under ASGI it runs in the loop, or in a thread that nobody else waits for.
        """
        return event_as_json(event)
