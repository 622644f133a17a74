"""The cancelling of a call's task, once and from any thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

__all__ = ["cancel_once", "canceller"]


def cancel_once(task: asyncio.Task[Any]) -> None:
    """Cancel a task, unless it already unwinds.

    A second cancellation would interrupt the task's ``finally`` blocks.
    """
    if not task.cancelling():
        task.cancel()


def canceller() -> Callable[[], object]:
    """Return a function that cancels the current task, from any thread."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing runs any more
            loop.call_soon_threadsafe(cancel_once, task)

    return cancel
