"""The view that reports whether the executor answers."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from codemode.core.executor_info import ExecutorInfo
from codemode.core.plain_functions import call_plain
from codemode.errors import ConfigurationError
from django_codemode.health import executor_info
from django_codemode.refusals import RefusalError, not_configured
from django_codemode.views.base import CodemodeView

__all__ = ["HealthView"]


class HealthView(CodemodeView):
    """View that answers 200 if the executor answers, else 503.

    Details are only for users who may execute code. The view is cheap and open
    to everybody: a request takes at most ``timeout`` seconds, and concurrent
    requests share one request to the executor.
    """

    http_method_names = ["get", "head", "options"]
    timeout = 2.0

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask the executor, and report."""
        info = self._info()
        body: dict[str, Any] = {"status": "unavailable" if info is None else "ok"}
        if info is not None and self._may_know(request):
            body["executor"] = _described(info)
        status = 503 if info is None else 200
        return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})

    def _info(self) -> ExecutorInfo | None:
        try:
            return executor_info(self.get_codemode(), self.timeout)
        except ConfigurationError as error:
            not_configured(error)
            return None

    def _may_know(self, request: HttpRequest) -> bool:
        try:
            call_plain(self.check_permission, request)
        except RefusalError:
            return False
        return True


def _described(info: ExecutorInfo) -> dict[str, Any]:
    return {
        "version": info.executor_version,
        "protocol_version": info.protocol_version,
        "python_version": info.python_version,
        "isolation": info.isolation,
        "max_concurrency": info.max_concurrency,
        "max_queued": info.max_queued,
    }
