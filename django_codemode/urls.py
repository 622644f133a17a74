"""URLs to include: ``path("codemode/", include("django_codemode.urls"))``."""

from __future__ import annotations

from django.urls import path

from django_codemode.views import ExecuteView, HealthView, StreamView, ToolsView

__all__ = ["app_name", "urlpatterns"]

app_name = "codemode"

urlpatterns = [
    path("execute/", ExecuteView.as_view(), name="execute"),
    path("stream/", StreamView.as_view(), name="stream"),
    path("tools/", ToolsView.as_view(), name="tools"),
    path("health/", HealthView.as_view(), name="health"),
]
