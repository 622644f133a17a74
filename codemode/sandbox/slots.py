"""How many calls may be unanswered at once."""

from __future__ import annotations

import threading
from asyncio import get_running_loop
from collections import deque
from collections.abc import Callable

__all__ = ["Slots"]


class _Ticket:
    """A place in the queue; ``wake`` is called once, when its slot is there."""

    __slots__ = ("wake",)

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake


class Slots:
    """Be a fair semaphore for threads and coroutines of any event loop at once."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: deque[_Ticket] = deque()
        # Reentrant: a finalizer that calls a tool may run inside the few lines it guards.
        self._lock = threading.RLock()

    def take(self) -> None:
        """Take a slot, waiting in this thread for one."""
        awake = threading.Lock()
        ticket = self._take_or_queue(awake.release, awake)
        if ticket is None:
            return
        try:
            awake.acquire()
        except BaseException:
            self._withdraw(ticket)
            raise

    async def take_async(self) -> None:
        """Take a slot, awaiting one."""
        if self._take_if_free():
            return
        loop = get_running_loop()
        awake = loop.create_future()

        def resolve() -> None:
            if not awake.done():
                awake.set_result(None)

        ticket = self._take_or_queue(lambda: loop.call_soon_threadsafe(resolve))
        if ticket is None:
            return
        try:
            await awake
        except BaseException:
            self._withdraw(ticket)
            raise

    def give(self) -> None:
        """Give a slot back, or hand it to whoever waits longest."""
        while True:
            with self._lock:
                if not self._queue:
                    self._free += 1
                    return
                ticket = self._queue.popleft()
            try:
                ticket.wake()
            except RuntimeError:
                # Its event loop was closed: the slot is for the next in line.
                continue
            return

    def _take_if_free(self) -> bool:
        with self._lock:
            if self._free and not self._queue:
                self._free -= 1
                return True
            return False

    def _take_or_queue(
        self, wake: Callable[[], object], locked: threading.Lock | None = None
    ) -> _Ticket | None:
        with self._lock:
            if self._take_if_free():
                return None
            if locked is not None:
                locked.acquire()
            ticket = _Ticket(wake)
            self._queue.append(ticket)
            return ticket

    def _withdraw(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket in self._queue:
                self._queue.remove(ticket)
                return
        # It was handed a slot in the meantime.
        self.give()
