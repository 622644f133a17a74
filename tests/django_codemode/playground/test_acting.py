"""Execution as another user, where a project's own code makes the context."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import RequestFactory

from codemode.core.context import RuntimeContext
from codemode.errors import ConfigurationError
from django_codemode.context import provide
from django_codemode.playground.acting import acting_as, named_after_actor


def request_of(user: User) -> HttpRequest:
    request = RequestFactory().get("/", headers={"X-Request-ID": "of-this-request"})
    request.user = user
    return request


def test_a_provider_gets_the_other_user_whichever_way_it_asks() -> None:
    actor, user = User(pk=1, username="actor"), User(pk=2, username="user")
    request = request_of(actor)
    acting = acting_as(request, user)
    assert acting.user is user
    assert async_to_sync(acting.auser)() is user
    context = provide(acting)
    assert context["user"].pk == 2
    assert context["request_id"] == "of-this-request"
    assert request.user is actor


@pytest.mark.no_retry
@pytest.mark.parametrize(
    "given", [{}, {"user": None}, {"user": User(pk=1)}, {"user": SimpleNamespace()}]
)
def test_a_context_that_is_not_that_users_is_refused(given: dict[str, object]) -> None:
    actor, user = User(pk=1), User(pk=2)
    with pytest.raises(ConfigurationError, match="did not return the request's user"):
        named_after_actor(RuntimeContext(given), actor, user)


def test_the_context_names_the_real_user_too() -> None:
    actor, user = User(pk=1), User(pk=2)
    context = named_after_actor(RuntimeContext({"user": user, "n": 1}), actor, user)
    assert dict(context.items()) == {"user": user, "n": 1, "real_user": actor}
