"""Two admin sites with the playground, and none of the app's own URLs."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from django_codemode.admin import PlaygroundAdmin
from django_codemode.models import CodePermission

operations = admin.AdminSite(name="operations")
operations.register(CodePermission, PlaygroundAdmin)

urlpatterns = [path("admin/", admin.site.urls), path("operations/", operations.urls)]
