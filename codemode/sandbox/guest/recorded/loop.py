"""The event loop of a recorded run, which takes in the outside in an order that replays.

It runs what is ready until nothing is. Only then it takes in one thing from
outside: the answer of a call, a timer, the end of a thread's work. Each is a
step of the record. In a replay the loop takes them in that order, whenever they
really come.

A loop that never rests, such as ``while not task.done(): await sleep(0)``, takes
things in after a number of rounds, which is then part of the step.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import concurrent.futures
import heapq
import re
import threading
from asyncio import Handle, TimerHandle
from collections.abc import Callable
from contextvars import Context
from math import ceil
from typing import Any, NoReturn

from codemode.sandbox.guest.recorded.lines import Line, current_line, current_path
from codemode.sandbox.guest.recorded.record import HeldCall, Record
from codemode.sandbox.guest.recorded.refusals import LoopWithoutDescriptors
from codemode.sandbox.guest.recorded.steps import Step

__all__ = ["CLOCK_BASE", "RecordedLoop", "follow"]

CLOCK_BASE = 1_000
"""What the monotonic clocks show at the start of a recorded run, in seconds."""

_ROUNDS_WITHOUT_REST = 200
_MAX_TIMERS = 100  # in a step
_NUMBER = re.compile(r"[0-9]{1,18}")

_get_ident = threading.get_ident
_allocate_lock = threading.Lock
_call_soon = asyncio.base_events.BaseEventLoop.call_soon
_Pool = concurrent.futures.ThreadPoolExecutor
_add_done_callback = concurrent.futures.Future.add_done_callback


class RecordedLoop(LoopWithoutDescriptors):
    """An event loop without descriptors: it knows calls, timers, threads and nothing else."""

    record: Record
    """Of the one run of this process; set on the class."""
    first_held: Callable[[], HeldCall | None]
    """Returns the call that has been held longest; set on the class."""

    _ready: Any
    _stopping: bool
    _thread_id: int | None

    def __init__(self, selector: object = None) -> None:
        """Take a selector as loops of the standard library do; there is nothing to select."""
        super().__init__()
        self._line: Line = current_line()
        self._arrived: dict[str, tuple[Handle, asyncio.Future[Any] | None]] = {}
        self._arriving = _allocate_lock()
        self._asleep = False
        self._alarm = _allocate_lock()
        self._alarm.acquire()
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._timer_of: dict[int, TimerHandle] = {}
        self._timer_numbers = 0
        self._timer_first = False
        self._rounds = 0

    def time(self) -> float:
        """Return the clock of the line, in seconds."""
        return CLOCK_BASE + self.record.look().now / 1e6

    def run_forever(self) -> None:
        """Run until ``stop()``, on the line of the current thread."""
        self._line = current_line()
        super().run_forever()

    # What comes from outside

    def post(
        self, name: str, callback: Callable[..., object], future: asyncio.Future[Any] | None = None
    ) -> None:
        """Take in a callback from outside, unless its future is done by then. Any thread may call.

        Its name is the same in each replay.
        """
        self._post(name, Handle(callback, (), self, None), future)

    def _post(self, name: str, handle: Handle, future: asyncio.Future[Any] | None) -> None:
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        with self._arriving:
            self._arrived[name] = (handle, future)
            if self._asleep:
                self._asleep = False
                self._alarm.release()
        self.record.waiting.note()

    def withdraw(self, name: str) -> None:
        """Forget what has come by this name and was not taken in."""
        with self._arriving:
            self._arrived.pop(name, None)

    def call_soon_threadsafe[*Ts](
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        """Call back in the loop; from another thread it is a step of the record."""
        line = current_line()
        if line is self._line:
            return _call_soon(self, callback, *args, context=context)
        handle = Handle(callback, args, self, context)
        self._post(line.message(), handle, None)
        return handle

    def run_in_executor[*Ts, T](
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Run a function in a pool; its end is a step of the record."""
        self._check_closed()
        if executor is None:
            executor = self._default_executor
            if executor is None:
                executor = _Pool(thread_name_prefix="asyncio")
                self._default_executor = executor
        return follow(executor.submit(func, *args), self)

    _default_executor: _Pool | None
    _check_closed: Callable[[], None]

    # Timers

    def call_at[*Ts](
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        """Call back at a time of this loop's clock."""
        if when is None:
            raise TypeError("when cannot be None")
        self._check_closed()
        timer = TimerHandle(when, callback, args, self, context)
        self._timer_numbers += 1
        # Ties are broken by the number: asyncio's own heap breaks them by its history.
        heapq.heappush(self._timers, (when, self._timer_numbers, timer))
        self._timer_of[self._timer_numbers] = timer
        return timer

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Do nothing: cancelled timers are dropped when they are first in the heap."""

    def _first_timer(self) -> tuple[float, int, TimerHandle] | None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            del self._timer_of[heapq.heappop(timers)[1]]
        return timers[0] if timers else None

    # Rounds

    def _run_once(self) -> None:
        ready = self._ready
        upcoming = self._line.upcoming
        if upcoming:
            step = upcoming[0]
            if not ready:
                if not self._stopping:
                    self._repeat(step)
            elif step.rounds and step.rounds == self._rounds and step.kind in "et":
                self._repeat(step)
        elif not ready:
            if not self._stopping:
                self._take(rest=True)
        elif self._rounds >= _ROUNDS_WITHOUT_REST and self.record.is_used_up:
            # Before, the record has no step because the loop took nothing in.
            self._take(rest=False)
        self._rounds += 1
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
        handle = None  # so that the last one is not kept while the loop rests

    def _taken(self, kind: str, name: str, *handles: Handle, until: int = 0) -> None:
        self.record.step(
            self._line, kind, name, until=until, rounds=self._rounds if self._ready else 0
        )
        self._rounds = 0
        self._ready.extend(handles)

    def _repeat(self, step: Step) -> None:
        """Take in what the record has next, when it comes."""
        if step.kind == "t" and (numbers := [*map(int, _NUMBER.findall(step.argument))]):
            timers = [self._timer_of.pop(number, None) for number in numbers]
            fired = [timer for timer in timers if timer is not None and not timer.cancelled()]
            if len(fired) != len(numbers):
                self._diverge()
            self._timers = [one for one in self._timers if one[1] in self._timer_of]
            heapq.heapify(self._timers)
            self._taken("t", step.argument, *fired)
            return
        if step.kind != "e" or bool(step.rounds) != bool(self._ready):
            self._diverge()
        name = step.argument
        if name not in self._arrived:
            self.record.wait(lambda: name in self._arrived, self._diverge)
        with self._arriving:
            handle, _ = self._arrived.pop(name)
        self._taken("e", name, handle)

    def _take(self, *, rest: bool) -> None:
        """Take in one thing from outside; wait for one when the loop is at rest."""
        while True:
            # By turns, so that neither timers nor answers wait for an endless row of the others.
            self._timer_first = not self._timer_first
            if self._timer_first and self._take_timer():
                return
            if self._take_arrived():
                return
            if not self._timer_first and self._take_timer():
                return
            if not rest:
                return
            if self.record.held:
                self._wait_held()
            else:
                self._sleep()

    def _take_arrived(self) -> bool:
        while True:
            with self._arriving:
                if not self._arrived:
                    return False
                name = self.record.first_known(self._arrived) or next(iter(self._arrived))
                handle, future = self._arrived.pop(name)
            # What comes for a future that is done is no step: in a replay it may never come.
            if not handle.cancelled() and (future is None or not future.done()):
                self._taken("e", name, handle)
                return True

    def _take_timer(self) -> bool:
        """Take in the timers that are due, all at once as other loops do."""
        first = self._first_timer()
        if first is None:
            return False
        now = max(self.record.real(), self._line.now)
        until = 0.0
        fired: dict[str, TimerHandle] = {}
        while first is not None and len(fired) < _MAX_TIMERS:
            when, number, timer = first
            due = (when - CLOCK_BASE) * 1e6  # in microseconds; a timer may be set to infinity
            if due > now:
                break
            heapq.heappop(self._timers)
            del self._timer_of[number]
            until, fired[str(number)] = due, timer
            first = self._first_timer()
        if not fired:
            return False
        self._taken("t", ",".join(fired), *fired.values(), until=ceil(until))
        return True

    def _wait_held(self) -> None:
        """Wait while calls are held: for an event, a timer, or for all of the record to come."""
        record = self.record

        def ready() -> bool:
            return bool(self._arrived) or not record.held

        if self._first_timer() is not None and record.waiting.has_other_lines:
            # The record of this line ends before the timer, and others still have calls to make.
            self._sleep()
        else:
            record.wait(ready, self._diverge)

    def _sleep(self) -> None:
        first = self._first_timer()
        seconds = -1.0
        if first is not None:
            until = (first[0] - CLOCK_BASE) - self.record.real() / 1e6
            seconds = min(max(until, 0.0), threading.TIMEOUT_MAX)
        with self._arriving:
            if self._arrived:
                return
            self._asleep = True
        if self._alarm.acquire(timeout=seconds):
            return
        with self._arriving:
            if self._asleep:
                self._asleep = False
            else:
                self._alarm.acquire()

    def _diverge(self) -> NoReturn:
        held = type(self).first_held()
        if held is not None and self.record.held:
            self.record.diverge("new_call", held)
        self.record.diverge("missing")

    # What a loop of the standard library has

    def _process_events(self, event_list: Any) -> None:
        """Do nothing: there are no descriptors."""

    def _write_to_self(self) -> None:
        """Do nothing: ``post`` wakes the loop."""


def follow(
    work: concurrent.futures.Future[Any], loop: asyncio.AbstractEventLoop
) -> asyncio.Future[Any]:
    """Return a future of the loop for the end of a pool's work."""
    future = loop.create_future()
    if not isinstance(loop, RecordedLoop):
        return asyncio.futures.wrap_future(work, loop=loop)
    name = getattr(work, "recorded_name", None) or current_path().thread()

    def settle() -> None:
        if future.done():
            return
        if work.cancelled():
            future.cancel()
        elif (error := work.exception()) is not None:
            future.set_exception(_of_asyncio(error))
        else:
            future.set_result(work.result())

    def ended(_: object) -> None:
        if not loop.is_closed():
            loop.post(name, settle, future)
        loop.record.waiting.end_work()

    def cancelled(_: object) -> None:
        if future.cancelled():
            work.cancel()

    future.add_done_callback(cancelled)
    # From here to its end, something is to come: a line that is over comes to its end before that.
    loop.record.waiting.begin_work()
    _add_done_callback(work, ended)
    return future


def _of_asyncio(error: BaseException) -> BaseException:
    """Return the exception of a pool's work as one of asyncio, which has some of its own."""
    kinds: dict[type[BaseException], type[BaseException]] = {
        concurrent.futures.CancelledError: asyncio.CancelledError,
        concurrent.futures.InvalidStateError: asyncio.InvalidStateError,
    }
    kind = kinds.get(type(error))
    return error if kind is None else kind(*error.args).with_traceback(error.__traceback__)
