"""The view that lists the tools."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from codemode.core.plain_functions import call_plain
from django_codemode.payload import tool_as_json
from django_codemode.views.base import CodemodeView

__all__ = ["ToolsView"]


class ToolsView(CodemodeView):
    """View that lists the tools that the request's user may call, sorted by name."""

    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Check the permission, and list the tools."""
        call_plain(self.check_permission, request)
        registry = self.get_codemode().registry
        offered = registry.select(self.get_tools(request))
        tools = registry.visible(offered, self.context_of(request))
        body = {"tools": [tool_as_json(tools[name]) for name in sorted(tools)]}
        return JsonResponse(body, headers={"Cache-Control": "private"})  # it is this user's
