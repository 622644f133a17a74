"""One execution's share of the threads in which the tools of all executions run."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from codemode.core._dispatch.threads import MAX_POOL_THREADS, tool_pool

__all__ = ["MAX_SHARE_THREADS", "PoolShare"]

MAX_SHARE_THREADS = MAX_POOL_THREADS // 4


class PoolShare(Executor):
    """A share of the pool, in which at most ``MAX_SHARE_THREADS`` functions run at once.

    Further functions wait here, out of the way of other executions: the slow
    tools of one execution leave threads for the tools of the others.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._lock = threading.Lock()
        self._at_work = 0
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit[**P, R](self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a function in the pool when its turn comes, unless its future is cancelled first."""
        future: Future[R] = Future()
        with self._lock:
            self._waiting.append((future, partial(fn, *args, **kwargs)))
        self._go_on()
        return future

    def _go_on(self) -> None:
        with self._lock:
            if self._at_work == MAX_SHARE_THREADS or not self._waiting:
                return
            self._at_work += 1
            future, function = self._waiting.popleft()
        try:
            tool_pool(self._depth).submit(self._run, future, function)
        except BaseException:  # the interpreter is shutting down
            self._done()
            raise

    def _run(self, future: Future[Any], function: Callable[[], Any]) -> None:
        try:
            if future.set_running_or_notify_cancel():
                try:
                    result = function()
                except BaseException as error:  # noqa: BLE001 - passed on by the future
                    future.set_exception(error)
                else:
                    future.set_result(result)
        finally:
            self._done()
            self._go_on()

    def _done(self) -> None:
        with self._lock:
            self._at_work -= 1
