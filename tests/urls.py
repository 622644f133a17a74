from __future__ import annotations

from django.urls import include, path

from django_codemode.views import AsyncExecuteView, ExecuteView
from tests.testapp import views

urlpatterns = [
    path("codemode/", include("django_codemode.urls")),
    path("aexecute/", AsyncExecuteView.as_view()),
    path("atomic/", ExecuteView.as_view(atomic=True)),
    path("run/", views.run),
    path("arun/", views.arun),
    path("context/", views.context),
    path("acontext/", views.acontext),
    path("fail/", views.fail),
    path("stream/", views.stream),
    path("astream/", views.astream),
    path("endless/", views.endless),
]
