"""The playground in the admin, registered for the model that carries the permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from django_codemode.models import CodePermission
from django_codemode.permissions import has_permission
from django_codemode.playground.views import PlaygroundStreamView, PlaygroundView

__all__ = ["PlaygroundAdmin"]

if TYPE_CHECKING:  # Django's class is generic for type checkers alone.
    ModelAdmin = admin.ModelAdmin[CodePermission]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(CodePermission)
class PlaygroundAdmin(ModelAdmin):
    """The playground as an admin page, in the place of a model's list.

    The page is for users of the admin site who have
    ``django_codemode.execute_code``. Other users neither see nor reach it. A
    project with several admin sites registers this class with those that need it.
    """

    page_view = PlaygroundView
    stream_view = PlaygroundStreamView

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of the page, named as the list that it replaces, and of its stream."""
        names = f"{self.opts.app_label}_{self.opts.model_name}"
        stream = self.stream_view.as_view(admin_site=self.admin_site)
        return [
            path("", never_cache(csrf_protect(self._page)), name=f"{names}_changelist"),
            # Not wrapped in admin_view(): a script needs a refusal in JSON, not the login page.
            path("stream/", csrf_protect(stream), name=f"{names}_stream"),
        ]

    def _page(self, request: HttpRequest) -> HttpResponseBase:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_stream"
        stream_url = reverse(name, current_app=self.admin_site.name)
        view = self.page_view.as_view(admin_site=self.admin_site, stream_url=stream_url)
        if not request.user.is_authenticated:
            view = self.admin_site.admin_view(view)  # redirects to the login page
        return view(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the index of the admin shows the playground to the user."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may execute code."""
        return has_permission(request.user, self.page_view.permission_required)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: there is nothing to add."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: there is nothing to change."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: there is nothing to delete."""
        return False
