"""Two admin sites with the playground, and none of the app's own URLs."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import path

from django_codemode.admin import PlaygroundAdmin
from django_codemode.models import CodePermission
from django_codemode.playground.views import PlaygroundStreamView, PlaygroundView


class OperationsPage(PlaygroundView):
    def get_tools(self, request: HttpRequest) -> list[str]:
        return ["list_orders"]


class OperationsStream(PlaygroundStreamView):
    def get_tools(self, request: HttpRequest) -> list[str]:
        return ["list_orders"]


class OperationsAdmin(PlaygroundAdmin):
    page_view = OperationsPage
    stream_view = OperationsStream


operations = admin.AdminSite(name="operations")
operations.register(CodePermission, OperationsAdmin)

urlpatterns = [path("admin/", admin.site.urls), path("operations/", operations.urls)]
