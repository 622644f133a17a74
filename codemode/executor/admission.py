"""Who may run now: a bounded number of slots and a bounded, fair queue."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

__all__ = ["Admission", "BusyError"]


class BusyError(RuntimeError):
    """Tell that there is no slot in time; ``retry_after`` is advice in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Admission:
    """Hand out ``slots`` slots, to one fairness key after the other.

    Each key has a queue of its own and the keys take turns, so a caller with a
    thousand waiting executions delays another's single one by one slot only.
    """

    def __init__(self, *, slots: int, max_queued: int) -> None:
        self.slots = slots
        self.max_queued = max_queued
        self.running = 0
        self.queued = 0
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def acquire(self, key: str, timeout: float) -> None:
        """Wait for a slot, at most ``timeout`` seconds. Raises BusyError."""
        if self.running < self.slots and not self.queued:
            self.running += 1
            return
        if self.queued >= self.max_queued:
            raise BusyError(
                f"all {self.slots} sandboxes are taken and {self.queued} executions wait already",
                retry_after=1.0,
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append(turn)
        self.queued += 1
        try:
            async with asyncio.timeout(timeout):
                await turn
        except TimeoutError:
            if self._admitted(turn):
                return  # the turn came at the same moment
            raise BusyError(
                f"no sandbox of {self.slots} became free within the queue_timeout of {timeout:g} s",
                retry_after=1.0,
            ) from None
        except asyncio.CancelledError:
            if self._admitted(turn):
                self.release()
            raise
        finally:
            self._leave(key, turn)

    def release(self) -> None:
        """Give a slot back, to whoever's turn it is."""
        self.running -= 1
        while self._queues and self.running < self.slots:
            key, queue = next(iter(self._queues.items()))
            turn = queue.popleft()
            self.queued -= 1
            if queue:
                self._queues.move_to_end(key)
            else:
                del self._queues[key]
            if not turn.done():
                self.running += 1
                turn.set_result(None)

    @staticmethod
    def _admitted(turn: asyncio.Future[None]) -> bool:
        return turn.done() and not turn.cancelled()

    def _leave(self, key: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(key)
        if queue is not None and turn in queue:
            queue.remove(turn)
            self.queued -= 1
            if not queue:
                del self._queues[key]
