"""The threads beside a loop: one for sync code, others for tools, and others for values."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any

from asgiref import sync as asgiref_sync
from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.local import Local
from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext, sync_to_async

__all__ = [
    "MAX_POOL_THREADS",
    "UNWIND_SECONDS",
    "adopt_locals",
    "call_each",
    "off_loop",
    "on_sync_thread",
    "sync_code_here",
    "tool_pool",
]

logger = logging.getLogger("codemode.core")

UNWIND_SECONDS = 5.0
"""Seconds that the end of a run waits for cancelled tools, or for a thread that is held."""

MAX_POOL_THREADS = 32

# These threads compute, so having more of them than cores gains little.
_MAX_VALUE_THREADS = 2 + (os.cpu_count() or 1)

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}
_values: ThreadPoolExecutor | None = None

# asgiref (3.13) hides its Locals, such as Django's active language, from
# threads to which it did not itself move the context. Its own helper moves
# the Locals; an asgiref without that helper hides nothing.
_move_locals: Callable[[contextvars.Context], None] | None = getattr(
    asgiref_sync, "_restore_context", None
)


def tool_pool(depth: int = 0) -> ThreadPoolExecutor:
    """Return the pool of this process for one depth of nested executions.

    Each depth has its own pool: a tool that executes code keeps its thread, and
    waits for tools one level deeper. A pool is made on first use, and again
    after a fork.
    """
    with _lock:
        if depth not in _pools:
            _pools[depth] = ThreadPoolExecutor(MAX_POOL_THREADS, thread_name_prefix="codemode-tool")
        return _pools[depth]


async def off_loop[R](function: Callable[..., R], *args: Any) -> R:
    """Call, off the loop, a slow function that waits for no run; copy the context.

    The threads are our own. The loop's default executor belongs to the project:
    its threads may be busy for long, or wait for the very run that needs a thread.
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

    If ``asyncio.run()`` in sync code has made that thread run this very loop,
    the function is called at once, and the loop waits.
    """
    if _sync_thread_is_here():
        return _without_loop(function, *args)
    return await _sync_call(function, *args)


def sync_code_here() -> AbstractAsyncContextManager[object]:
    """Return a block for a task of the project, in which its sync code finds its thread.

    Without the block, asgiref would let the sync code wait for ever where that
    thread runs this very loop.
    """
    if _sync_thread_is_here():
        return ThreadSensitiveContext(executor=_HereExecutor())
    return nullcontext()


class _HereExecutor(Executor):
    """An Executor that runs functions in the thread of the running loop, which waits meanwhile."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._outer = getattr(SyncToAsync.threadlocal, "main_event_loop", None)

    def submit[**P, R](self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: Future[R] = Future()
        function: Callable[[], R] = partial(self._on_outer_loop(fn), *args, **kwargs)
        if threading.get_ident() == self._thread:
            _fulfil(future, function)
        else:
            self._loop.call_soon_threadsafe(_fulfil, future, function)
        return future

    def _on_outer_loop[**P, R](self, handler: Callable[P, R]) -> Callable[P, R]:
        """Return asgiref's handler, bound to the outer loop, because the running loop waits.

        The handler's first argument is the loop that async_to_sync() in the sync
        code will use.
        """
        if isinstance(handler, partial) and handler.args[:1] == (self._loop,) and self._outer:
            return partial(handler.func, self._outer, *handler.args[1:], **handler.keywords)
        return handler


def _fulfil[R](future: Future[R], function: Callable[[], R]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = _without_loop(function)
    except BaseException as error:  # noqa: BLE001 - passed on by the future
        future.set_exception(error)
    else:
        future.set_result(result)


def _without_loop[**P, R](function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call sync code in the thread of a running loop as if none ran there.

    Django, asgiref and asyncio refuse sync code in a thread whose loop runs,
    because the loop stands still meanwhile. This loop would wait in any case,
    for this very thread.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        _leave_task(loop, task)
    asyncio._set_running_loop(None)
    try:
        return function(*args, **kwargs)
    finally:
        asyncio._set_running_loop(loop)
        if task is not None:
            _enter_task(loop, task)


def _sync_thread_is_here() -> bool:
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
    if isinstance(executor, CurrentThreadExecutor):
        return (executor._work_thread,)
    if not isinstance(executor, ThreadPoolExecutor):
        return ()  # an Executor of ours, which reaches its thread itself
    # A thread is started before it is noted in ``_threads``. The thread that starts it
    # holds the lock until then.
    with executor._shutdown_lock:
        return tuple(executor._threads)


def adopt_locals() -> None:
    """Make the Locals in the current context, captured in another thread, visible in this one."""
    if _move_locals is not None:
        # The choice of the thread for sync code must stay this thread's own.
        executor = getattr(AsyncToSync.executors, "current", None)
        _move_locals(contextvars.copy_context())
        AsyncToSync.executors.current = executor


def call_each(functions: Iterable[Callable[[], object]]) -> None:
    """Call functions that tidy up in this thread; log a failure and go on."""
    for function in tuple(functions):
        try:
            function()
        except Exception:
            logger.exception("%r failed in thread %s", function, threading.current_thread().name)


def _forget_threads() -> None:
    """Drop what a fork leaves behind: thread pools whose threads exist only in the parent."""
    global _lock, _values
    _lock = threading.Lock()
    _pools.clear()
    _values = None
    # A thread-sensitive sync tool would wait for ever for a thread of the parent:
    # the shared one, that of a request, or one that waits for async_to_sync().
    SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)
    SyncToAsync.context_to_thread_executor.clear()
    SyncToAsync.deadlock_context.set(False)
    # A new Local, because a thread of the parent may hold the lock of the old one.
    AsyncToSync.executors = Local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
