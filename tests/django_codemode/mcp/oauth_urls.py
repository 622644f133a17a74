"""The URLs of a project that issues tokens of OAuth 2 for its own MCP server."""

from __future__ import annotations

from django.urls import include, path
from oauth2_provider.urls import base_urlpatterns, metadata_urlpatterns

# The metadata is found at the root alone, and both parts belong to one namespace.
urlpatterns = [
    path(
        "",
        include(
            (
                [*metadata_urlpatterns, path("o/", include(base_urlpatterns))],
                "oauth2_provider",
            )
        ),
    ),
]
