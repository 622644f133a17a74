"""Calls of hooks, checkers and observers, which must be plain functions.

An awaitable from an asynchronous function is true, and nothing would await it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from codemode.errors import ConfigurationError

__all__ = ["call_plain", "check_plain"]


def call_plain(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of the project and return its value.

    Raises TypeError when the value is awaitable, so that a check that never ran
    does not pass.
    """
    value = function(*args)
    if not inspect.isawaitable(value):
        return value
    if inspect.iscoroutine(value):
        value.close()
    name = getattr(function, "__qualname__", repr(function))
    raise TypeError(f"{name} is asynchronous and was not run; make it a plain function")


def check_plain(owner: object, *methods: str) -> None:
    """Raise ConfigurationError when one of an object's methods is ``async def``."""
    for name in methods:
        if inspect.iscoroutinefunction(getattr(owner, name, None)):
            raise ConfigurationError(
                f"{name}() of {owner!r} is asynchronous and would never run; "
                "make it a plain function: it may use the database"
            )
