"""Calls made in a thread of their own, where no exception of a signal handler arrives.

Python's handlers run in the main thread, between any two of its steps. What they
raise there, such as KeyboardInterrupt or a task queue's time limit, would leave
gRPC's locks held, and whoever takes one next would wait for ever.
"""

from __future__ import annotations

import _thread
import math
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["begin_apart", "call_apart", "take"]

_SIGNAL_SECONDS = 0.2


def begin_apart(function: Callable[[], object]) -> None:
    """Call a function apart, and do not wait for it.

    Not by ``threading.Thread``, whose ``start()`` waits with a lock of its own,
    and is lost in its own records where an exception comes between its steps.
    """
    _thread.start_new_thread(function, ())


def call_apart[T](function: Callable[[], T]) -> T:
    """Call a function apart, and return or raise what it does."""
    outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def call() -> None:
        try:
            outcome.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            outcome.put((None, error))

    begin_apart(call)
    result, error = take(outcome)
    if error is not None:
        raise error
    returned: T = result
    return returned


def take(queue: SimpleQueue[Any], *, within: float = math.inf) -> Any:
    """Return the next item of a queue, waiting so that signal handlers get their turn.

    One that arrives just before a thread begins to wait does not end the waiting.
    Raises Empty where no item comes ``within`` so many seconds.
    """
    until = time.monotonic() + within
    while True:
        try:
            return queue.get(timeout=min(_SIGNAL_SECONDS, max(0.0, until - time.monotonic())))
        except Empty:
            if time.monotonic() >= until:
                raise
