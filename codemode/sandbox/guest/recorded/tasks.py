"""Tasks and futures whose order in sets replays, and which know their path.

Sets iterate by hash, and the hash of a task is its address, which differs in
each process. Those of a recorded run are numbered instead.
"""

from __future__ import annotations

import asyncio
import asyncio.futures
import asyncio.tasks
import functools
import inspect
from typing import Any

from codemode.sandbox.guest.recorded.lines import current_line, current_path

__all__ = ["install"]

_isfuture = asyncio.isfuture
_iscoroutine = asyncio.iscoroutine
_isawaitable = inspect.isawaitable
_init_task = asyncio.Task.__init__


class RecordedFuture(asyncio.Future[Any]):
    """A future that is numbered on its line."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.recorded_number = current_line().number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.recorded_number


class RecordedTask(asyncio.Task[Any], RecordedFuture):
    """A task that is numbered on its line, and has a path of its own."""

    def __init__(self, coro: Any, **options: Any) -> None:
        path = current_path()
        self.recorded_number = path.line.number()
        self.recorded_path = path.task()
        if options.get("name") is None:
            line = path.line
            line.tasks += 1
            options["name"] = f"Task-{line.tasks}"
        try:
            _init_task(self, coro, **options)
        finally:
            # An eager task raises within this frame: its traceback must not keep the task.
            del self, coro

    def __hash__(self) -> int:
        return self.recorded_number


def install() -> None:
    """Let asyncio make these tasks and futures."""
    RecordedFuture.__name__ = RecordedFuture.__qualname__ = "Future"
    RecordedTask.__name__ = RecordedTask.__qualname__ = "Task"
    for module in (asyncio, asyncio.futures):
        setattr(module, "Future", RecordedFuture)  # noqa: B010  # a type, for the type checker
    for module in (asyncio, asyncio.tasks):
        setattr(module, "Task", RecordedTask)  # noqa: B010  # likewise
        setattr(module, "as_completed", _ordered(asyncio.as_completed))  # noqa: B010  # likewise
        setattr(  # noqa: B010  # likewise
            module, "eager_task_factory", asyncio.create_eager_task_factory(RecordedTask)
        )
    gathering: Any = getattr(asyncio.tasks, "_GatheringFuture", None)
    if gathering is not None:
        gathering.__hash__ = _hash_of_gathering


def _hash_of_gathering(future: Any) -> int:
    number: int | None = getattr(future, "recorded_number", None)
    if number is None:
        number = future.recorded_number = current_line().number()
    return number


def _ordered(function: Any) -> Any:
    """Return ``as_completed`` for coroutines in their order: it puts them into a set."""
    ensure_future = asyncio.ensure_future  # which also takes values of synchronous tools

    @functools.wraps(function)
    def call(fs: Any, *args: Any, **kwargs: Any) -> Any:
        if not (_isfuture(fs) or _iscoroutine(fs)):
            tasks: dict[Any, Any] = {}
            fs = [_task_of(one, tasks, ensure_future) for one in fs]
        return function(fs, *args, **kwargs)

    return call


def _task_of(one: Any, tasks: dict[Any, Any], ensure_future: Any) -> Any:
    """Return the future of an awaitable, the same each time that it is given."""
    if _isfuture(one):
        return one
    if not _isawaitable(one):  # a value of a synchronous tool, which may be given by several
        return ensure_future(one)
    if one not in tasks:
        tasks[one] = ensure_future(one)
    return tasks[one]
