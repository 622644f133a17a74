"""The limit of unanswered calls, by number and by bytes."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections import deque
from collections.abc import Callable

__all__ = ["CallWindow"]

_allocate_lock = threading.Lock


class _Waiter:
    __slots__ = ("size", "wake", "woken")

    def __init__(self, size: int) -> None:
        self.size = size
        self.wake: Callable[[], object]
        self.woken = False


class CallWindow:
    """A semaphore for threads and for coroutines of any number of event loops.

    While no call is unanswered, a call of any size has room. Otherwise
    ``most_bytes`` limits the total size of the calls, as in the executor.

    A waiter is woken and then takes the free room itself. Room handed to a
    coroutine would be lost while its loop is blocked, perhaps by a thread's
    call that waits for that very room. Threads are therefore woken first, and
    with them the first waiter of each loop.
    """

    def __init__(self, count: int, most_bytes: int) -> None:
        self._most = self._free = count
        self._most_bytes = most_bytes
        self._bytes = 0
        self._queues: dict[AbstractEventLoop | None, deque[_Waiter]] = {None: deque()}
        # Reentrant: a finalizer that calls a tool may run while this thread holds the lock.
        self._lock = threading.RLock()
        self.on_room: Callable[[], object] | None = None
        """Called when a call has given back its room."""

    def try_take(self, size: int) -> bool:
        """Take room for a call of ``size`` bytes, if there is some; return whether there was."""
        with self._lock:
            if not self._has_room(size):
                return False
            self._use(size)
            return True

    def take(self, size: int) -> None:
        """Take room for a call of ``size`` bytes; wait in this thread until there is some."""
        with self._lock:
            if self._has_room(size):
                self._use(size)
                return
            waiter = self._queue(None, size)
            awake = _arm(waiter)
        try:
            while True:
                awake.acquire()
                with self._lock:
                    if self._take_woken(None, waiter):
                        return
                    awake = _arm(waiter)
        except BaseException:
            self._leave(None, waiter)
            raise

    async def take_async(self, size: int) -> None:
        """Take room for a call of ``size`` bytes; await it."""
        loop = get_running_loop()
        with self._lock:
            if loop not in self._queues and self._has_room(size):
                self._use(size)
                return
            waiter = self._queue(loop, size)
            awake = _arm_async(waiter, loop)
            self._wake_first()
        try:
            while True:
                await awake
                with self._lock:
                    if self._take_woken(loop, waiter):
                        return
                    awake = _arm_async(waiter, loop)
        except BaseException:
            self._leave(loop, waiter)
            raise

    def give(self, size: int) -> None:
        """Give back the room of a call of ``size`` bytes."""
        with self._lock:
            self._free += 1
            self._bytes -= size
            self._wake_first()
        if self.on_room is not None:
            self.on_room()

    def _has_room(self, size: int) -> bool:
        return self._free == self._most or (
            self._free > 0 and self._bytes + size <= self._most_bytes
        )

    def _use(self, size: int) -> None:
        self._free -= 1
        self._bytes += size

    def _queue(self, owner: AbstractEventLoop | None, size: int) -> _Waiter:
        waiter = _Waiter(size)
        self._queues.setdefault(owner, deque()).append(waiter)
        return waiter

    def _take_woken(self, owner: AbstractEventLoop | None, waiter: _Waiter) -> bool:
        waiter.woken = False
        if not self._has_room(waiter.size):
            return False
        self._use(waiter.size)
        self._leave(owner, waiter)
        return True

    def _leave(self, owner: AbstractEventLoop | None, waiter: _Waiter) -> None:
        """Leave the queue, and wake the waiters that are first now."""
        with self._lock:
            queue = self._queues.get(owner)
            if queue is not None and waiter in queue:
                queue.remove(waiter)
                if not queue and owner is not None:
                    del self._queues[owner]
            self._wake_first()

    def _wake_first(self) -> None:
        if not self._free:
            return
        for owner, queue in list(self._queues.items()):
            if not queue or queue[0].woken or not self._has_room(queue[0].size):
                continue
            queue[0].woken = True
            try:
                queue[0].wake()
            except RuntimeError:
                # The loop was closed: its coroutines no longer wait.
                del self._queues[owner]


def _arm(waiter: _Waiter) -> threading.Lock:
    awake = _allocate_lock()
    awake.acquire()
    waiter.wake = awake.release
    return awake


def _arm_async(waiter: _Waiter, loop: AbstractEventLoop) -> Future[None]:
    awake: Future[None] = loop.create_future()

    def resolve() -> None:
        if not awake.done():
            awake.set_result(None)

    waiter.wake = lambda: loop.call_soon_threadsafe(resolve)
    return awake
