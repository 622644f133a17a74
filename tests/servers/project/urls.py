from __future__ import annotations

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from tests.servers.project import views

urlpatterns = [
    path("probe/", views.probe),
    path("aprobe/", views.aprobe),
    path("fail/", views.fail),
    path("execute/", csrf_exempt(views.Execute.as_view())),
    path("aexecute/", csrf_exempt(views.aexecute)),
    path("events/", csrf_exempt(views.Events.as_view())),
    path("stream/", views.stream),
    path("astream/", views.astream),
    path("endless/", views.endless),
    path("background/", views.background),
    path("abackground/", views.abackground),
    path("process/", views.process),
]
