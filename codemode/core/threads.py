"""The threads beside a loop: the one for sync code, those of the tools, and those for values."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref import sync as asgiref_sync
from asgiref.local import Local
from asgiref.sync import AsyncToSync, SyncToAsync, sync_to_async

__all__ = [
    "MAX_POOL_THREADS",
    "UNWIND_SECONDS",
    "adopt_locals",
    "call_each",
    "off_loop",
    "on_sync_thread",
    "sync_thread_waits_here",
    "tool_pool",
]

logger = logging.getLogger(__name__)

UNWIND_SECONDS = 5.0
"""How long the end of a run waits for what was cancelled, or for a thread that is held."""

MAX_POOL_THREADS = 32

# They compute, so that more of them than cores gain little.
_MAX_VALUE_THREADS = 2 + (os.cpu_count() or 1)

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}
_values: ThreadPoolExecutor | None = None

# asgiref (3.13) hides its Locals, such as Django's active language, from
# threads to which it did not itself move the context. Its own helper moves
# them; an asgiref without it hides nothing.
_move_locals: Callable[[contextvars.Context], None] | None = getattr(
    asgiref_sync, "_restore_context", None
)


def tool_pool(depth: int = 0) -> ThreadPoolExecutor:
    """Return the pool of this process for one depth of nested executions.

    Each depth has its own: a tool that executes code keeps its thread and waits
    for tools one deeper. It is made on first use and again after a fork.
    """
    with _lock:
        if depth not in _pools:
            _pools[depth] = ThreadPoolExecutor(MAX_POOL_THREADS, thread_name_prefix="codemode-tool")
        return _pools[depth]


async def off_loop[R](function: Callable[..., R], *args: Any) -> R:
    """Call a function that takes long and waits for no run, with the context copied.

    Its threads are our own. The loop's default executor is the project's, whose
    threads may be busy for long, or wait for the very run that needs one.
    """
    global _values
    with _lock:
        if _values is None:
            _values = ThreadPoolExecutor(_MAX_VALUE_THREADS, thread_name_prefix="codemode-values")
        threads = _values
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(threads, context.run, function, *args)


async def on_sync_thread[R](function: Callable[..., R], *args: Any) -> R:
    """Call a function on the thread for sync code, from a task.

    Raises RuntimeError where that thread waits for this very loop.
    """
    if sync_thread_waits_here():
        raise RuntimeError(
            "sync code would wait for ever here: its thread runs this event loop, started by "
            "asyncio.run() in a sync view or by sync_to_async(); call execute() there, or "
            "async_to_sync(codemode.execute_async)(...)"
        )
    return await _sync_call(function, *args)


def sync_thread_waits_here() -> bool:
    """Tell whether the thread for sync code is this very one, and so waits for this loop."""
    return threading.current_thread() in _sync_threads()


@sync_to_async
def _sync_call[R](function: Callable[..., R], *args: Any) -> R:
    return function(*args)


def _sync_threads() -> Collection[threading.Thread]:
    """Return the threads of the executor to which asgiref sends the sync code of this task."""
    executor: object = getattr(AsyncToSync.executors, "current", None)
    if executor is None:
        request = SyncToAsync.thread_sensitive_context.get(None)
        if request is None:
            executor = SyncToAsync.single_thread_executor
        else:
            executor = SyncToAsync.context_to_thread_executor.get(request)
    if not isinstance(executor, ThreadPoolExecutor):
        return ()  # those of other kinds serve from where they were made
    # A thread is started before it is noted; whoever starts it holds the lock until it is.
    with executor._shutdown_lock:
        return tuple(executor._threads)


def adopt_locals() -> None:
    """Make the Locals in the current context, captured in another thread, visible in this one."""
    if _move_locals is not None:
        # Which thread runs sync code is this thread's own affair.
        executor = getattr(AsyncToSync.executors, "current", None)
        _move_locals(contextvars.copy_context())
        AsyncToSync.executors.current = executor


def call_each(functions: Iterable[Callable[[], object]]) -> None:
    """Call functions that tidy up in this thread; one that fails is logged and stops nothing."""
    for function in tuple(functions):
        try:
            function()
        except Exception:
            logger.exception("%r failed in thread %s", function, threading.current_thread().name)


def _forget_threads() -> None:
    """Drop what the fork left behind: executors whose threads are in the parent only."""
    global _lock, _values
    _lock = threading.Lock()
    _pools.clear()
    _values = None
    # A thread-sensitive sync tool would wait for ever for a thread of the parent:
    # the shared one, that of a request, or one that waits for async_to_sync().
    SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)
    SyncToAsync.context_to_thread_executor.clear()
    SyncToAsync.deadlock_context.set(False)
    # Another one, because a thread of the parent may hold the lock of this.
    AsyncToSync.executors = Local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
