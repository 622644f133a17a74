"""Unanswered calls, and the answers to them."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop
from typing import Protocol

__all__ = ["LOST", "NO_MEMORY", "Call", "NumberedCall", "Outcome", "TaskCall", "ThreadCall"]

_allocate_lock = threading.Lock

Outcome = tuple[int, bytes]
"""The kind of an answer's frame and its body, or one of the two kinds below."""

LOST = 0
"""The run ended before the answer came."""

NO_MEMORY = -1
"""The answer did not fit into the memory that was left."""


class Call(Protocol):
    """A call that has a waiter."""

    run: int
    size: int  # bytes of arguments

    def finish(self, outcome: Outcome) -> None:
        """Pass the answer to the waiter; only the first answer counts."""


class NumberedCall(Call, Protocol):
    """A call that knows its number."""

    number: int


class ThreadCall:
    """A call that a thread waits for."""

    __slots__ = ("answered", "outcome", "run", "size")

    def __init__(self, run: int, size: int) -> None:
        self.run = run
        self.size = size
        self.outcome: Outcome | None = None
        self.answered = _allocate_lock()
        self.answered.acquire()

    def finish(self, outcome: Outcome) -> None:
        """Pass the answer to the thread."""
        if self.outcome is None:
            self.outcome = outcome
            self.answered.release()


class TaskCall:
    """A call that a coroutine waits for."""

    __slots__ = ("future", "loop", "outcome", "run", "size")

    def __init__(self, run: int, size: int, loop: AbstractEventLoop) -> None:
        self.run = run
        self.size = size
        self.loop = loop
        self.future = loop.create_future()
        self.outcome: Outcome | None = None

    def finish(self, outcome: Outcome) -> None:
        """Pass the answer to the coroutine, from any thread."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        try:
            self.loop.call_soon_threadsafe(self._resolve)
        except Exception:  # noqa: BLE001  # a loop closed or broken by the code must not end the reader
            return

    def _resolve(self) -> None:
        if not self.future.done():
            self.future.set_result(self.outcome)
