"""The threads that tools run in when they need not run in the caller's."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from asgiref import sync as asgiref_sync
from asgiref.sync import AsyncToSync, SyncToAsync

__all__ = ["MAX_POOL_THREADS", "adopt_locals", "call_each", "tool_pool"]

logger = logging.getLogger(__name__)

MAX_POOL_THREADS = 32

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None

# asgiref (3.13) hides its Locals, such as Django's active language, from
# threads to which it did not itself move the context. Its own helper moves
# them; an asgiref without it hides nothing.
_move_locals: Callable[[contextvars.Context], None] | None = getattr(
    asgiref_sync, "_restore_context", None
)


def tool_pool() -> ThreadPoolExecutor:
    """Return the pool of this process, made on first use and again after a fork."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(MAX_POOL_THREADS, thread_name_prefix="codemode-tool")
        return _pool


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
    global _lock, _pool
    _lock = threading.Lock()
    _pool = None
    # A thread-sensitive sync tool would wait for ever for the parent's thread.
    SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
