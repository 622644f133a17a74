"""Users that are loaded on first use, as in Django's requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.functional import LazyObject, empty

from codemode.core.context import RuntimeContext

__all__ = ["is_unloaded", "user_loader"]


def user_loader(context: RuntimeContext) -> Callable[[], object] | None:
    """Return a function that loads the context's user; None if there is nothing to load.

    An asynchronous tool could not load the user: Django refuses the query in a loop.
    """
    user = context.get("user")
    # Reading any attribute loads the lazy object and the lazy objects that it wraps.
    return (lambda: getattr(user, "pk", None)) if is_unloaded(user) else None


def is_unloaded(user: Any) -> bool:
    """Return whether using the user would load it."""
    while isinstance(user, LazyObject):
        if (user := user.__dict__.get("_wrapped", empty)) is empty:
            return True
    return False
