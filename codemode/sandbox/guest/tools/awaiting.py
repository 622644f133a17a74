"""Values of synchronous tools where code awaits them.

``await report("x")`` evaluates the call of a synchronous tool first, and then
awaits a plain value. Such values are remembered by their ``id`` and turned into
coroutines that return them: by the builtin that the compiler puts around awaits,
and by the functions of asyncio that take awaitables. Any other plain value
raises what Python raises.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.runners
import asyncio.tasks
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["PlainValues"]

_iscoroutine = asyncio.iscoroutine
_isfuture = asyncio.isfuture
_ensure_future = asyncio.ensure_future


class PlainValues:
    """The values that synchronous tools returned.

    A value whose memory another object took over counts as well: its await gives
    the object, where Python would raise TypeError.
    """

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self.remember = self._ids.add

    def returned(self, value: Any) -> Any:
        """Return the value, and remember it."""
        self.remember(id(value))
        return value

    def awaitable(self, value: Any) -> Any:
        """Return a coroutine for a value of a synchronous tool, and anything else as it is."""
        if id(value) not in self._ids or _iscoroutine(value) or _isfuture(value):
            return value
        return _give(value)

    def install(self) -> None:
        """Let the functions of asyncio that take awaitables take these values too."""
        for name in ("ensure_future", "wait_for"):
            self._replace(name, self._first)
        for name in ("as_completed", "wait"):
            self._replace(name, self._many)
        self._replace("gather", self._each)
        for owner, name in (
            (asyncio.base_events.BaseEventLoop, "create_task"),
            (asyncio.runners.Runner, "run"),
        ):
            setattr(owner, name, self._method(getattr(owner, name)))

    def _replace(self, name: str, wrap: Callable[[Callable[..., Any]], Any]) -> None:
        original = getattr(asyncio.tasks, name)
        function = wrap(original)
        if inspect.iscoroutinefunction(original):
            inspect.markcoroutinefunction(function)
        setattr(asyncio.tasks, name, function)
        setattr(asyncio, name, function)

    def _first(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if args:
                args = (self.awaitable(args[0]), *args[1:])
            return function(*args, **kwargs)

        return call

    def _method(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(owner: Any, coro: Any, *args: Any, **kwargs: Any) -> Any:
            return function(owner, self.awaitable(coro), *args, **kwargs)

        return call

    def _many(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(fs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
            if isinstance(fs, list | tuple):
                fs = [self._task(one) for one in fs]
            return function(fs, *args, **kwargs)

        return call

    def _each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*coros_or_futures: Any, **kwargs: Any) -> Any:
            return function(*map(self.awaitable, coros_or_futures), **kwargs)

        return call

    def _task(self, value: Any) -> Any:
        awaitable = self.awaitable(value)
        return awaitable if awaitable is value else _ensure_future(awaitable)


async def _give(value: Any) -> Any:
    return value
