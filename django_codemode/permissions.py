"""Permission checks: Django's permissions of the user decide who may execute and call tools."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final, cast, final

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user, get_user_model
from django.http import HttpRequest

from codemode.core.context import RuntimeContext
from codemode.core.plain_functions import call_plain
from codemode.errors import ConfigurationError
from codemode.tools import Tool
from django_codemode.refusals import RefusalError

__all__ = [
    "SYSTEM",
    "DjangoPermissionChecker",
    "System",
    "has_permission",
    "reload_user",
    "require_permission",
]


@final
class System:
    """The type of ``SYSTEM``, the one actor that may call every tool.

    The system is not a user: code that asks it for a permission gets an
    AttributeError.
    """

    __slots__ = ()
    _instance: System | None = None

    def __new__(cls) -> System:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "django_codemode.SYSTEM"

    def __reduce__(self) -> str:
        return "SYSTEM"


SYSTEM: Final = System()
"""Put this in a RuntimeContext as ``user`` to act as the system, above all permissions.

Only ``codemode_exec`` without ``--user`` sets it, and the project's own code.
"""


class DjangoPermissionChecker:
    """The permission checker of tools, which decides by the context's ``user``.

    A tool's ``permission`` is a Django permission (``"shop.add_refund"``),
    several permissions, all of which are needed, or a callable that takes the
    RuntimeContext and the user and returns a bool. Without a user, and for an
    anonymous or inactive user, access is denied. May query the database.
    """

    def allows(self, tool: Tool, context: RuntimeContext | None) -> bool:
        """Return whether the context's user may see and call the tool."""
        if tool.permission is None:
            return True
        user = None if context is None else context.get("user")
        if user is SYSTEM:
            return True
        if context is None or user is None:
            return False
        if not (getattr(user, "is_authenticated", False) and getattr(user, "is_active", False)):
            return False
        return _decide(tool.permission, context, user)


def require_permission(user: Any, permission: str | Collection[str]) -> None:
    """Raise RefusalError unless the user is logged in, active and has a Django permission.

    If several are named, all are needed. May query the database. Raises
    ConfigurationError if none is named.
    """
    if user is None or not user.is_authenticated:
        raise RefusalError("not_authenticated", "log in to execute code", status=401)
    # A project's backend may grant permissions to inactive users, who may still not execute.
    if not (getattr(user, "is_active", False) and has_permission(user, permission)):
        named = permission if isinstance(permission, str) else " and ".join(permission)
        raise RefusalError(
            "not_permitted", f"executing code requires the permission {named}", status=403
        )


def has_permission(user: Any, permission: str | Collection[str]) -> bool:
    """Return whether a user has a Django permission, or all of several. May query the database.

    Raises ConfigurationError if none is named, which would admit everybody.
    """
    if not permission:
        raise ConfigurationError(
            f"the permission is {permission!r}; expected a name such as 'shop.add_refund', "
            "or several of them"
        )
    needed = [permission] if isinstance(permission, str) else permission
    return all(user.has_perm(one) for one in needed)


def reload_user(scope: Mapping[str, Any]) -> Any:
    """Return the user of an ASGI scope, reloaded from the database; None if nobody is logged in.

    A websocket lives long. Since it was opened, the user may have been
    deactivated or lost permissions, and a user who logged in through the
    scope's session may have logged out. Queries the database.
    """
    user = scope.get("user")
    if user is None or not user.is_authenticated:
        return None
    model = get_user_model()
    if not isinstance(user, model):
        return user  # the project's own type, not its user model
    session = scope.get("session")
    fresh: Any
    if session is not None and session.get(SESSION_KEY) == user._meta.pk.value_to_string(user):
        engine = import_module(settings.SESSION_ENGINE)
        request = SimpleNamespace(session=engine.SessionStore(session.session_key))
        fresh = get_user(cast("HttpRequest", request))
        return fresh if fresh.is_authenticated else None
    # Something else, such as a token, identified the user, whatever the session says.
    fresh = model._default_manager.filter(pk=user.pk).first()
    return fresh if fresh is not None and fresh.is_active else None


def _decide(
    permission: str | Iterable[str] | Callable[[RuntimeContext, Any], bool],
    context: RuntimeContext,
    user: Any,
) -> bool:
    if isinstance(permission, str):
        return bool(user.has_perm(permission))
    if callable(permission):
        return bool(call_plain(permission, context, user))
    return bool(user.has_perms(tuple(permission)))
