"""Admission control: a bounded number of slots and a bounded, fair wait queue."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Admission", "BusyError", "Slot"]

_FIRST_ADVICE = 1.0
_LEAST_ADVICE = 0.1
_MOST_ADVICE = 60.0
_WEIGHT_OF_THE_LAST = 0.1


class BusyError(RuntimeError):
    """The refusal of an execution that gets no slot; ``retry_after`` is advice in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(slots=True, eq=False)
class _Turn:
    key: str
    size: int
    within: str
    admitted: asyncio.Future[bool]  # False: displaced by the turn of another key

    @property
    def came(self) -> bool:
        return self.admitted.done() and not self.admitted.cancelled() and self.admitted.result()


class _Line:
    """The waiting executions of one key, in order of arrival."""

    __slots__ = ("bytes", "turns")

    def __init__(self) -> None:
        self.turns: deque[_Turn] = deque()
        self.bytes = 0


class Slot:
    """The right to one sandbox, until ``release()``.

    ``execution_id`` names the execution that runs in the sandbox. ``within``
    names the execution whose tool waits for that one, or is empty.
    """

    def __init__(self, admission: Admission, key: str, within: str) -> None:
        self.key = key
        self.within = within
        self.execution_id = ""
        self._admission: Admission | None = admission
        self._since = time.monotonic()
        admission._holders.add(self)

    def release(self) -> None:
        """Give the slot back, to the next waiting execution. Idempotent."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission._holders.discard(self)
            admission._released(self.key, time.monotonic() - self._since)


class Admission:
    """A distributor of ``slots`` slots, fair between keys.

    Each key has its own line. A free slot goes to the key that holds the fewest
    slots, and keys that hold equally few take turns. So a caller with a thousand
    waiting executions delays a single execution of another caller by only one
    slot. When the queue is full, the key with the largest share of it makes room
    for a key with a smaller share: no caller is refused because of another
    caller's flood.

    An execution that another execution's tool requests is refused when waiting
    cannot succeed: when each holder of a slot that it could take also waits for
    such an execution. Otherwise all of them would wait until they time out.

    ``max_queued_bytes`` bounds the bytes of the waiting executions and,
    separately, the bytes of those that are still arriving. ``slots_per_key``
    bounds the slots of one key, even when others are free.
    """

    def __init__(
        self,
        *,
        slots: int,
        max_queued: int,
        max_queued_bytes: int,
        slots_per_key: int | None = None,
    ) -> None:
        self.slots = slots
        self.slots_per_key = slots if slots_per_key is None else slots_per_key
        self.max_queued = max_queued
        self.max_queued_bytes = max_queued_bytes
        self.running = 0
        self.queued = 0
        self.queued_bytes = 0
        self.arriving_bytes = 0
        self._running_of: Counter[str] = Counter()
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._holders: set[Slot] = set()
        self._held: float | None = None

    async def acquire(self, key: str, timeout: float, size: int = 0, within: str = "") -> Slot:
        """Wait at most ``timeout`` seconds for a slot, with a request of ``size`` bytes.

        ``within`` is the execution whose tool makes the request, or empty.
        Raises BusyError.
        """
        if not self.would_wait(key):
            self._count(key)
            return Slot(self, key, within)
        if within and self._waits_in_vain(key, within):
            raise BusyError(
                f"each sandbox of {self._sandboxes()} is held by an execution whose tool waits for "
                "another execution, as this one's does: raise max_concurrency, or nest less",
                self.advice(),
            )
        self._make_room(key, size)
        turn = _Turn(key, size, within, asyncio.get_running_loop().create_future())
        self._append(turn)
        try:
            async with asyncio.timeout(timeout):
                await turn.admitted
        except TimeoutError:
            if not turn.came:  # else the slot came at the same moment
                raise BusyError(
                    f"no sandbox of {self._sandboxes()} became free within the queue_timeout of "
                    f"{timeout:g} s",
                    self.advice(),
                ) from None
        except asyncio.CancelledError:
            if turn.came:
                Slot(self, key, within).release()
            raise
        finally:
            self._leave(turn)
        if not turn.came:
            raise self._full()
        return Slot(self, key, within)

    def would_wait(self, key: str) -> bool:
        """Return whether another execution of this key would have to wait for a slot.

        This is True even when a slot is free, if the key holds all that it may.
        """
        return self.running >= self.slots or not self._may_hold_more(key)

    def _waits_in_vain(self, key: str, within: str) -> bool:
        """Return whether no slot can become free for a request of this execution's tool."""
        if self.running > len(self._holders):
            return False  # a waiting task was given a slot and has not resumed yet
        stuck = {turn.within for line in self._lines.values() for turn in line.turns} | {within}
        stuck.discard("")
        outer = {slot.execution_id: slot.within for slot in self._holders}
        waiting = list(stuck)
        while waiting:
            above = outer.get(waiting.pop())
            if above and above not in stuck:
                stuck.add(above)
                waiting.append(above)
        free = [slot.key for slot in self._holders if slot.execution_id not in stuck]
        return not free or (not self._may_hold_more(key) and key not in free)

    @contextlib.contextmanager
    def arrival(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that counts the bytes of a request that arrives in parts.

        The function raises BusyError when all arriving requests together have
        more than ``max_queued_bytes``.
        """
        arrived = 0

        def add(size: int) -> None:
            nonlocal arrived
            if self.arriving_bytes + size > self.max_queued_bytes:
                raise BusyError(
                    f"executions with {self.arriving_bytes} bytes are arriving at once; "
                    f"max_queued_bytes is {self.max_queued_bytes}",
                    self.advice(),
                )
            arrived += size
            self.arriving_bytes += size

        try:
            yield add
        finally:
            self.arriving_bytes -= arrived

    def advice(self) -> float:
        """Return in how many seconds to retry: when all that wait now should have begun."""
        if self._held is None:
            return _FIRST_ADVICE
        pace = self._held / self.slots
        return min(max(pace * (self.queued + 1), _LEAST_ADVICE), _MOST_ADVICE)

    def _may_hold_more(self, key: str) -> bool:
        return self._running_of[key] < self.slots_per_key

    def _sandboxes(self) -> str:
        return (
            f"{self.slots} ({self.slots_per_key} to each caller)"
            if self.slots_per_key < self.slots
            else f"{self.slots}"
        )

    def _count(self, key: str) -> None:
        self.running += 1
        self._running_of[key] += 1

    def _released(self, key: str, held: float) -> None:
        former = held if self._held is None else self._held
        self._held = former + _WEIGHT_OF_THE_LAST * (held - former)
        self.running -= 1
        self._running_of[key] -= 1
        if not self._running_of[key]:
            del self._running_of[key]
        while self.running < self.slots:
            waiting = [name for name in self._lines if self._may_hold_more(name)]
            if not waiting:
                return
            # Of keys that hold equally few, min() takes the first: the lines are in turn order.
            chosen = min(waiting, key=lambda name: self._running_of[name])
            turn = self._lines[chosen].turns[0]
            self._remove(turn)
            if chosen in self._lines:
                self._lines.move_to_end(chosen)
            if not turn.admitted.done():
                self._count(chosen)
                turn.admitted.set_result(True)

    def _make_room(self, key: str, size: int) -> None:
        """Displace the last turns of keys with a larger share, or raise BusyError."""
        mine = self._share(self._lines.get(key), more=1, size=size)
        displaced: list[_Turn] = []
        while self.queued >= self.max_queued or self.queued_bytes + size > self.max_queued_bytes:
            longest = max(self._lines.values(), key=self._share, default=None)
            if longest is None or self._share(longest) <= mine:
                for turn in reversed(displaced):
                    self._append(turn)
                raise self._full()
            displaced.append(longest.turns[-1])
            self._remove(longest.turns[-1])
        for turn in displaced:
            if not turn.admitted.done():
                turn.admitted.set_result(False)

    def _share(self, line: _Line | None, *, more: int = 0, size: int = 0) -> float:
        """Return how much of the queue a key takes, by count or by bytes, whichever is more."""
        waiting, carried = (len(line.turns), line.bytes) if line is not None else (0, 0)
        return max(
            (waiting + more) / max(1, self.max_queued),
            (carried + size) / max(1, self.max_queued_bytes),
        )

    def _full(self) -> BusyError:
        return BusyError(
            f"all {self._sandboxes()} sandboxes are taken and {self.queued} executions wait "
            f"already, with {self.queued_bytes} bytes (max_queued={self.max_queued}, "
            f"max_queued_bytes={self.max_queued_bytes})",
            self.advice(),
        )

    def _append(self, turn: _Turn) -> None:
        line = self._lines.setdefault(turn.key, _Line())
        line.turns.append(turn)
        line.bytes += turn.size
        self.queued += 1
        self.queued_bytes += turn.size

    def _remove(self, turn: _Turn) -> None:
        line = self._lines[turn.key]
        line.turns.remove(turn)
        line.bytes -= turn.size
        if not line.turns:
            del self._lines[turn.key]
        self.queued -= 1
        self.queued_bytes -= turn.size

    def _leave(self, turn: _Turn) -> None:
        line = self._lines.get(turn.key)
        if line is not None and turn in line.turns:
            self._remove(turn)
