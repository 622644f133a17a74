"""Calls in a separate thread, where no exception of a signal handler arrives.

Python runs signal handlers in the main thread, between any two of its steps. An
exception that a handler raises there, such as KeyboardInterrupt or a task
queue's time limit, would leave gRPC's locks held. The next thread to take such
a lock would wait for ever.
"""

from __future__ import annotations

import _thread
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["begin_apart", "call_apart", "take"]

_SIGNAL_SECONDS = 0.2


def begin_apart(function: Callable[[], object]) -> None:
    """Call a function in a separate thread, and do not wait for it.

    ``threading.Thread`` is not used: its ``start()`` waits on a lock, and an
    exception between its steps leaves its own records wrong.
    """
    _thread.start_new_thread(function, ())


def call_apart[T](
    function: Callable[[], T],
    *,
    begun_within: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> T:
    """Call a function in a separate thread, and return or raise what it does.

    The thread is started, but not waited for, in a block of ``begun_within``.
    """
    outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def call() -> None:
        try:
            outcome.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            outcome.put((None, error))

    with begun_within():
        begin_apart(call)
    result, error = take(outcome)
    if error is not None:
        raise error
    returned: T = result
    return returned


def take(queue: SimpleQueue[Any], *, within: float = math.inf) -> Any:
    """Return the next item of a queue, and let signal handlers run during the wait.

    The wait is split, because a signal that arrives just before a wait begins
    does not end that wait. Raises Empty when no item comes ``within`` so many
    seconds.
    """
    until = time.monotonic() + within
    while True:
        try:
            return queue.get(timeout=min(_SIGNAL_SECONDS, max(0.0, until - time.monotonic())))
        except Empty:
            if time.monotonic() >= until:
                raise
