"""Execution as another user: who may, as whom, and in which context."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest

from codemode.core.context import RuntimeContext
from codemode.errors import ConfigurationError
from django_codemode.permissions import has_permission
from django_codemode.refusals import RefusalError

__all__ = ["PERMISSION", "acting_as", "may_act", "named_after_actor", "user_to_act_as"]

PERMISSION = "django_codemode.execute_as_user"


def may_act(actor: Any) -> bool:
    """Return whether a user may execute code as other users. May query the database."""
    return bool(getattr(actor, "is_active", False)) and has_permission(actor, PERMISSION)


def user_to_act_as(actor: Any, username: str) -> Any:
    """Return the user of that name. Queries the database.

    Raises RefusalError if the actor may not execute as others, if no active
    user has the name, and if the user is a superuser and the actor is not.
    """
    if not may_act(actor):
        raise RefusalError(
            "not_permitted",
            f"executing code as another user requires the permission {PERMISSION}",
            status=403,
        )
    model = get_user_model()
    user = model._default_manager.filter(**{model.USERNAME_FIELD: username}).first()
    if user is None or not user.is_active:
        raise RefusalError(
            "unknown_user",
            f"there is no active user {username[:100]!r}; expected the name by which the user "
            "logs in",
        )
    if getattr(user, "is_superuser", False) and not getattr(actor, "is_superuser", False):
        raise RefusalError(
            "not_permitted",
            f"{username[:100]!r} is a superuser: only a superuser may execute code as one",
            status=403,
        )
    return user


def acting_as(request: HttpRequest, user: Any) -> HttpRequest:
    """Return a copy of a request whose user is another one, for a context provider.

    The session, the headers and everything else stay those of the request.
    """

    async def auser() -> Any:
        return user

    acting: Any = object.__new__(type(request))
    vars(acting).update(vars(request), user=user, _cached_user=user, _acached_user=user)
    acting.auser = auser
    return acting  # type: ignore[no-any-return]  # of the request's own type


def named_after_actor(context: RuntimeContext, actor: Any, user: Any) -> RuntimeContext:
    """Return the context of a user with ``real_user`` added, the user who executes.

    Raises ConfigurationError if the context is not that user's.
    """
    if getattr(context.get("user"), "pk", None) != user.pk:
        raise ConfigurationError(
            "CODEMODE['CONTEXT_PROVIDER'] did not return the request's user as 'user', so that "
            "code cannot be executed as another user"
        )
    return context.merged(real_user=actor)
