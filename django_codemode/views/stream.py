"""The view that executes code and streams its events."""

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
    """View that executes the code of a POST request and streams its events as they happen.

    The events are server-sent events. The body and the refusals are those of
    ExecuteView. Once the checks have passed, the status is 200, and the last
    event is ``completed``, with the whole outcome, or ``error``. The response is
    sent after the view has returned, so tools run outside of any transaction of
    the request.
    """

    http_method_names = ["post", "options"]
    heartbeat = HEARTBEAT_SECONDS

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """Return the view as a function, exempt from ``ATOMIC_REQUESTS``."""
        return non_atomic(super().as_view(**initkwargs))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Check the request, and stream its execution."""
        execution = self.prepare(request)
        with use_context(execution.context):
            return stream_response(
                request, execution.stream(), heartbeat=self.heartbeat, describe=self.describe
            )

    def describe(self, event: Event) -> dict[str, Any]:
        """Return the data that the stream sends for an event.

        This method cannot query the database. Under ASGI it runs in the loop, or
        in a thread that is not the one for sync code.
        """
        return event_as_json(event)
