"""Users that are loaded at their first use, as Django's requests have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.functional import LazyObject, empty

from codemode.core.context import RuntimeContext

__all__ = ["is_unloaded", "user_loader"]


def user_loader(context: RuntimeContext) -> Callable[[], object] | None:
    """Return what loads the context's user; None when there is nothing to load.

    An asynchronous tool could not load it: Django refuses the query in a loop.
    """
    user = context.get("user")
    # Whatever attribute is asked for, a lazy object and those that it wraps have to be there.
    return (lambda: getattr(user, "pk", None)) if is_unloaded(user) else None


def is_unloaded(user: Any) -> bool:
    """Tell whether using the user would load it."""
    while isinstance(user, LazyObject):
        if (user := user.__dict__.get("_wrapped", empty)) is empty:
            return True
    return False
