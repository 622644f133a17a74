"""The views: code in, JSON or a stream of events out. Subclass them, or wrap them."""

from __future__ import annotations

from django_codemode.views.base import CodemodeView
from django_codemode.views.execute import AsyncExecuteView, ExecuteView
from django_codemode.views.health import HealthView
from django_codemode.views.stream import StreamView
from django_codemode.views.tools import ToolsView

__all__ = [
    "AsyncExecuteView",
    "CodemodeView",
    "ExecuteView",
    "HealthView",
    "StreamView",
    "ToolsView",
]
