"""The view that lists the tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from codemode.catalogue import catalogue_of
from codemode.core.plain_functions import call_plain
from codemode.errors import ConfigurationError
from codemode.tools import Tool
from django_codemode.payload import tool_as_json
from django_codemode.refusals import RefusalError
from django_codemode.views.base import CodemodeView

__all__ = ["ToolsView"]


class ToolsView(CodemodeView):
    """View that lists the tools that the request's user may call, sorted by name.

    ``catalogue`` has them as a model reads them, within the ``max_tokens`` of
    the query string, if it has any.
    """

    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Check the permission, and list the tools."""
        call_plain(self.check_permission, request)
        registry = self.get_codemode().registry
        offered = registry.select(self.get_tools(request))
        tools = registry.visible(offered, self.context_of(request))
        body = {
            "tools": [tool_as_json(tools[name]) for name in sorted(tools)],
            "catalogue": _catalogue(tools, request.GET.get("max_tokens")),
        }
        return JsonResponse(body, headers={"Cache-Control": "private"})  # it is this user's


def _catalogue(tools: Mapping[str, Tool], max_tokens: str | None) -> dict[str, Any]:
    if max_tokens is not None and not re.fullmatch("[0-9]{1,9}", max_tokens):
        raise RefusalError(
            "invalid_max_tokens",
            f"max_tokens is {max_tokens[:100]!r}; expected a whole number of tokens above 0",
        )
    try:
        return asdict(
            catalogue_of(tools, max_tokens=None if max_tokens is None else int(max_tokens))
        )
    except ConfigurationError as error:
        raise RefusalError("invalid_max_tokens", str(error)) from error
