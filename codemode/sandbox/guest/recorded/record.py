"""The record of a run: what it replays, and what it adds.

While the record has calls that have not come again, no other call leaves the
sandbox: it is *held*. When all of them have come, the run is live. If it cannot
come to that, because everything waits or the code has ended, the run has
diverged from its record.
"""

from __future__ import annotations

import gc
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, NoReturn

from codemode.sandbox.guest.frame_socket import FrameSocket
from codemode.sandbox.guest.recorded.lines import Line, current_line
from codemode.sandbox.guest.recorded.steps import MAIN, Step, StepsOut, read_steps, write_step
from codemode.sandbox.guest.recorded.turns import Files, Printing, Turn
from codemode.sandbox.guest.recorded.waiting import Waiting
from codemode.wire.frames import Frame, pack, pack_texts

__all__ = ["BY_HOST", "NEVER", "OPEN", "HeldCall", "KnownCall", "Record"]

# Captured at import: a recorded run replaces these functions in their modules.
_monotonic_ns = time.monotonic_ns
_time_ns = time.time_ns
_blake2b = hashlib.blake2b
_collect_garbage = gc.collect
_allocate_lock = threading.Lock
_exit = os._exit
_sleep = time.sleep

# A clock that is further behind the real one moves at the next look. Smaller distances are not
# worth a step.
_BEHIND_MICROSECONDS = 1_000

_STEPS_BETWEEN_COLLECTIONS = 200
_STEPS_BYTES = 32 * 1024
_MOST_ARGUMENT_BYTES = 64 * 1024
_LINGER_SECONDS = 0.2


BY_HOST = 0
"""The kind of a recorded call that the host answers when it comes."""

NEVER = 5
"""The kind of a recorded call whose answer the code did not get before it gave up or ended."""

OPEN = 6
"""The kind of a recorded call that has no outcome: it must come again, and is a new one then."""


class KnownCall(NamedTuple):
    """A call of the record. ``kind`` is that of the answer's frame, or one of the three above."""

    name: bytes
    digest: bytes
    kind: int
    body: bytes


class HeldCall(NamedTuple):
    """A call that the record does not have, or has otherwise. ``line`` is 0 where not known."""

    label: str
    name: bytes
    arguments: bytes
    line: int


class Record:
    """What a run replays and what it adds to that, for all of its lines."""

    def __init__(self, replay: Mapping[str, Any], frames: FrameSocket, run: int) -> None:
        self._frames = frames
        self._run = run
        self.seed: bytes = replay["seed"]
        self._start: int = replay["start"]
        self._upcoming, put_out = read_steps(str(replay["steps"], "ascii"))
        self._steps_left = sum(map(len, self._upcoming.values()))
        self._known = {
            label: KnownCall(pack_texts(name), digest, kind, body)
            for label, name, digest, kind, body in replay["calls"]
        }
        self._in_order = deque(label for label, call in self._known.items() if call.kind != OPEN)
        self.on_lift: Callable[[], object] = int
        """Called when the run becomes live."""
        self.on_first_line: list[Callable[[], object]] = []
        """Called before the first line beside the main one begins."""
        self.line_number: Callable[[], int] = int
        """Returns the number of the code's line that runs in this thread, or 0."""
        self.flush: Callable[[], object] = int
        """Sends what the code has printed."""
        self._out = StepsOut()
        texts, files = (
            [Turn(line, int(step.argument)) for line, step in put_out if step.kind == kind]
            for kind in "wa"
        )
        self._output_characters: int = replay["output"]
        complete: bool = replay["complete"]
        self._complete = complete
        self.printing = Printing(texts, self._output_characters, self._out.add, complete=complete)
        self.written: Callable[[], int] = int
        """Returns how many characters the code has printed."""
        self.has_turns = bool(texts)
        """Whether lines beside the main one have printed in the record."""
        self.files = Files(files, len(files), self._out.add, complete=complete)
        fresh = self.is_used_up and not self._upcoming
        self._base_ns: int | None = _monotonic_ns() if fresh else None
        self._wall = self._start
        self.main = Line(
            MAIN, now=0, wall=self._start, live=fresh, upcoming=self._upcoming.pop(MAIN, None)
        )
        self._counting = _allocate_lock()
        self.waiting = Waiting()
        self._holding: list[HeldCall] = []
        self._steps_to_collection = _STEPS_BETWEEN_COLLECTIONS
        gc.disable()

    # Steps and clocks

    def step(
        self, line: Line, kind: str, argument: str = "", *, until: int = 0, rounds: int = 0
    ) -> None:
        """Note that this line took something in, or take the step that the record has of it.

        In a live line the clock moves to the real time, and at least to ``until``.
        """
        if line.upcoming:
            step = self._next_of(line)
            if step.kind != kind or step.argument != argument:
                self.diverge("missing")
            self._apply(line, step)
        else:
            if self._complete:
                self._go_beyond(line)
            line.live = True
            now = max(line.now, self._real(line), until)
            self._move(line, kind, argument, now, rounds)
        if line is self.main:
            # After the step: a finalizer that looks at the clock makes a step of its own.
            self._collect()

    def _collect(self) -> None:
        """Free cycles of garbage after a number of steps, and at no other time.

        Finalizers may do anything: those that the collector calls must come again where they were.
        """
        self._steps_to_collection -= 1
        if not self._steps_to_collection:
            self._steps_to_collection = _STEPS_BETWEEN_COLLECTIONS
            _collect_garbage()

    def _go_beyond(self, line: Line) -> NoReturn:
        """Stop a line that goes on where a complete record has nothing more of it.

        A thread that was still at work when the run ended may come further in a replay.
        """
        if line is self.main:
            self.diverge("beyond")
        self.park("beyond")

    def _move(self, line: Line, kind: str, argument: str, now: int, rounds: int = 0) -> None:
        step = Step(kind, argument, now - line.now, rounds, self._wall - line.wall)
        self._apply(line, step)
        self._out.add(write_step(line.label, step))

    def _next_of(self, line: Line) -> Step:
        step = line.upcoming.popleft()
        with self._counting:
            self._steps_left -= 1
        self.waiting.note()
        return step

    @staticmethod
    def _apply(line: Line, step: Step) -> None:
        line.now += step.microseconds
        line.wall += step.wall
        line.looks = 0

    def look(self) -> Line:
        """Look at the clock of the current line, which moves a little, and return the line."""
        line = current_line()
        line.looks += 1
        if line.live:
            real = self._real(line)
            if real - line.now > _BEHIND_MICROSECONDS or line.wall != self._wall:
                self._move(line, "k", str(line.looks), max(real, line.now))
                return line
        elif line.upcoming:
            step = line.upcoming[0]
            if step.kind == "k" and step.argument == str(line.looks):
                self._apply(line, self._next_of(line))
                return line
        line.now += 1
        return line

    def _real(self, line: Line) -> int:
        """Return the real time of a live line in microseconds since the start of the run.

        The first line that goes on after a replay sets the monotonic clock to where it stopped,
        and the wall clock to the present: a timeout does not fire because a person has slept.
        """
        now = _monotonic_ns()
        if self._base_ns is None:
            self._base_ns = now - line.now * 1_000
            self._wall = _time_ns() // 1_000 - line.now
        return (now - self._base_ns) // 1_000

    def real(self) -> int:
        """Return the real time of the current line, which goes on live from here."""
        return self._real(current_line())

    # Lines

    def begin_line(self, label: str) -> Line:
        """Return the line of a thread that the current line starts or will start."""
        while self.on_first_line:
            self.on_first_line.pop()()
        parent = current_line()
        upcoming = self._upcoming.pop(label, None)
        self.waiting.begin_line()
        live = parent.live and not self._known and not upcoming
        return Line(label, now=parent.now, wall=parent.wall, live=live, upcoming=upcoming)

    def start_line(self, line: Line, cancelled: Callable[[], bool] = bool) -> None:
        """Start a line in its own thread, unless ``cancelled()``.

        A line whose start is not in the record waits until all of the record has come again: what
        is in the record has not seen it.
        """
        if not (line.upcoming or self.is_used_up):
            self.wait(lambda: self.is_used_up or cancelled(), lambda: self.diverge("missing"))
        if not cancelled():
            self.step(line, "b")

    # Calls

    @property
    def is_used_up(self) -> bool:
        """Whether all of the record has come again, and the run goes on."""
        return not (
            self._complete
            or self._steps_left
            or self._known
            or self._output_characters > self.written()
        )

    @property
    def held(self) -> bool:
        """Whether new calls may not leave the sandbox: the record has others, or is complete."""
        return bool(self._known) or self._complete

    def first_known(self, names: Collection[str]) -> str | None:
        """Return which of these answers the record had first, if it had any."""
        in_order = self._in_order
        while in_order:
            label = in_order[0]
            if label in names:
                return str(label)
            if label in self._known:
                return None
            in_order.popleft()
        return None

    def come(self, label: str, name: bytes, arguments: bytes, line: int = 0) -> KnownCall | None:
        """Note that a call comes; return the record's call of this label, if that has an outcome.

        ``line`` is that of the code, where the stack of this thread does not show it.
        """
        known = self._known.get(label)
        if known is None:
            return None
        if known.name != name or known.digest != digest_of(arguments):
            self.diverge("call", HeldCall(label, name, arguments, line), expected=label)
        with self._counting:
            del self._known[label]
            lifted = not self._known
        self.waiting.note()
        if lifted:
            self.on_lift()
        return None if known.kind == OPEN else known

    def hold(self, label: str, name: bytes, arguments: bytes) -> None:
        """Wait in this thread until new calls may leave the sandbox."""
        if self.held:
            call = HeldCall(label, name, arguments, self.line_number())
            self._holding.append(call)
            self.wait(lambda: not self.held, lambda: self.diverge("new_call", call))
            self._holding.remove(call)

    def wait(self, ready: Callable[[], bool], give_up: Callable[[], NoReturn]) -> None:
        """Wait in this thread until ``ready()``; give up when nothing can lead to that."""
        if not self.waiting.until(ready):
            give_up()

    def park(self, reason: str) -> NoReturn:
        """Keep this thread from going on; the run diverges when all else waits too."""
        self.wait(bool, lambda: self.diverge(reason))
        raise AssertionError("this wait ends with the process")

    def finish(self, explain: Callable[[], object] | None) -> None:
        """Wait at the end of the code until all of the record has come again, as it had by then.

        ``explain``, if there is one, is called where it does not come, before that is reported.
        """

        def give_up() -> NoReturn:
            if explain is not None:
                explain()
            self.diverge("missing")

        if self._known or self._steps_left:
            self.wait(lambda: not (self._known or self._steps_left), give_up)
        if self._output_characters > self.written():
            # Of lines that are still at work. What does not come is for the host to compare.
            self.waiting.until(lambda: self._output_characters <= self.written())

    # What goes out

    def complete(self, frame: bytes | Callable[[str], bytes]) -> bytes:
        """Return a frame with the steps that go before it. Called while no other one is sent."""
        steps = "".join(self._out.take())
        before = b""
        while len(steps) > _STEPS_BYTES or (steps and not callable(frame)):
            end = steps.rfind("\n", 0, _STEPS_BYTES) + 1
            before += pack(Frame.STEPS, self._run, 0, steps[:end].encode("ascii"))
            steps = steps[end:]
        return before + (frame(steps) if callable(frame) else frame)

    def diverge(self, reason: str, call: HeldCall | None = None, expected: str = "") -> NoReturn:
        """Report that the code has left its record, and end this process."""
        line = self.line_number()
        if reason == "missing" and self._holding:
            # That this line goes on otherwise, or not at all, comes of the call of another thread.
            reason, call, line = "new_call", self._holding[0], 0
        label, name, arguments, its_line = call or HeldCall("", pack_texts(""), b"", 0)
        line = line or its_line
        if self.waiting.end():
            self.flush()
            texts = pack_texts(reason, label) + name
            texts += pack_texts(expected or next(iter(self._known), ""), str(line or ""))
            if len(arguments) > _MOST_ARGUMENT_BYTES:
                arguments = b""
            self._frames.send_last(pack(Frame.DIVERGED, self._run, 0, texts, arguments))
            _sleep(_LINGER_SECONDS)
            _exit(0)
        while True:
            _sleep(_LINGER_SECONDS)


def digest_of(arguments: bytes) -> bytes:
    """Return what the record keeps of a call's arguments."""
    return _blake2b(arguments, digest_size=16).digest()
