from __future__ import annotations

from django.urls import path

from assistant import views

app_name = "assistant"
urlpatterns = [
    path("", views.page, name="page"),
    path("ask/", views.ask, name="ask"),
    path("person/", views.change_person, name="person"),
]
