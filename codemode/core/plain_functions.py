"""Hooks, checkers, observers are plain functions: an awaitable is true, and nobody would wait."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from codemode.errors import ConfigurationError

__all__ = ["call_plain", "check_plain"]


def call_plain(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of the project's and return what it returns.

    Raises TypeError when that is to be awaited, so that a check that never ran
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
