"""The calls of a recorded run: answered from its record, held, or sent with a label."""

from __future__ import annotations

import contextlib
import threading
from asyncio import AbstractEventLoop, get_running_loop
from collections import deque
from collections.abc import Callable

from codemode.sandbox.guest.frame_socket import FrameSocket
from codemode.sandbox.guest.pending_calls import Outcome
from codemode.sandbox.guest.recorded.lines import current_line, current_path
from codemode.sandbox.guest.recorded.loop import RecordedLoop
from codemode.sandbox.guest.recorded.record import BY_HOST, NEVER, HeldCall, Record

__all__ = ["RecordedCalls"]

_allocate_lock = threading.Lock


class _TaskCall:
    """A call that a coroutine waits for, and that may not have been sent yet."""

    def __init__(
        self,
        run: int,
        label: str,
        name: bytes,
        arguments: bytes,
        loop: AbstractEventLoop,
        record: Record,
    ) -> None:
        self.run = run
        self.label = label
        self.name = name
        self.arguments = arguments
        self.size = len(arguments)
        self.loop = loop
        self.future = loop.create_future()
        self.outcome: Outcome | None = None
        self.line = 0
        self.number = 0  # once it is being sent
        self.is_sent = False
        self.is_known = False
        self.given_up = False
        self._record = record

    def finish(self, outcome: Outcome) -> None:
        """Pass the answer to the loop, as an event from outside."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        with contextlib.suppress(Exception):  # a loop closed or broken by the code
            if isinstance(self.loop, RecordedLoop):
                self.loop.post(self.label, self._resolve, self.future)
            else:  # of the code's own making: it has no order to replay
                self.loop.call_soon_threadsafe(self._resolve)
        if self.number:
            self._record.waiting.end_expecting()

    def _resolve(self) -> None:
        if not self.future.done():
            self.future.set_result(self.outcome)


class RecordedCalls:
    """The maker of a recorded run's calls, in the place of the frame socket."""

    def __init__(self, record: Record, frames: FrameSocket) -> None:
        self._record = record
        self._frames = frames
        self._unsent: deque[_TaskCall] = deque()
        self._unanswered: list[_TaskCall] = []
        self._sending = _allocate_lock()
        self.line_number: Callable[[], int] = int
        """Returns the line on which the coroutine of a call was made that has just begun."""
        record.on_lift = self._send_more
        frames.window.on_room = self._send_more

    def call(self, run: int, name: bytes, arguments: bytes) -> Outcome:
        """Answer a call from the record, or send it and wait in this thread for its answer."""
        record = self._record
        label = current_path().call()
        known = record.come(label, name, arguments)
        if known is not None and known.kind != BY_HOST:
            if known.kind == NEVER:
                record.park("missing")
            outcome: Outcome = (known.kind, known.body)
        else:
            if known is None:
                record.hold(label, name, arguments)
            record.waiting.expect()
            try:
                outcome = self._frames.call(run, name, arguments, label)
            finally:
                record.waiting.end_expecting()
        record.step(current_line(), "c")
        return outcome

    async def call_async(self, run: int, name: bytes, arguments: bytes) -> Outcome:
        """Answer a call from the record, or send it and await its answer."""
        record = self._record
        label = current_path().call()
        line = self.line_number()
        known = record.come(label, name, arguments, line)
        call = _TaskCall(run, label, name, arguments, get_running_loop(), record)
        call.line = line
        if known is not None and known.kind != BY_HOST:
            if known.kind == NEVER:
                # Referred to, as by the frame socket in the run: else its task would be garbage.
                self._unanswered.append(call)
            else:
                call.finish((known.kind, known.body))
        else:
            call.is_known = known is not None
            with self._sending:
                self._unsent.append(call)
            self._send_more()
        try:
            outcome: Outcome = await call.future
        except BaseException:
            self._give_up(call)
            raise
        return outcome

    @property
    def first_held(self) -> HeldCall | None:
        """The call that has been held longest."""
        with self._sending:
            if not self._unsent:
                return None
            call = self._unsent[0]
        return HeldCall(call.label, call.name, call.arguments, call.line)

    def _send_more(self) -> None:
        """Send the calls of coroutines that are held no longer and have room.

        They do not wait for room in their tasks: that would be an event from outside, at a time
        that no replay knows.
        """
        while (call := self._next_to_send()) is not None:
            self._record.waiting.expect()
            self._frames.begin_call(call, call.name, call.arguments, call.label)
            call.is_sent = True
            # The code may have given the call up while another thread was sending it.
            if call.given_up:
                self._withdraw(call)

    def _next_to_send(self) -> _TaskCall | None:
        held = self._record.held
        with self._sending:
            for call in self._unsent:
                if not held or call.is_known:
                    if not self._frames.window.try_take(call.size):
                        return None
                    self._unsent.remove(call)
                    return call
        return None

    def _give_up(self, call: _TaskCall) -> None:
        if isinstance(call.loop, RecordedLoop):
            call.loop.withdraw(call.label)
        with self._sending:
            if call in self._unsent:
                self._unsent.remove(call)
                return
            call.given_up = True
        if call.is_sent:
            self._withdraw(call)

    def _withdraw(self, call: _TaskCall) -> None:
        if call.outcome is None and self._frames.give_up(call.run, call.number):
            self._record.waiting.end_expecting()
