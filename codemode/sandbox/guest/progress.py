"""The function ``progress(done, total, note)``, which reports how far the code is."""

from __future__ import annotations

import math
import threading
import time
from decimal import Decimal
from numbers import Real

from codemode.sandbox.guest.frame_socket import FrameSocket
from codemode.sandbox.guest.output import Output
from codemode.sandbox.guest.scope import RunScope
from codemode.wire.frames import PROGRESS, Frame, pack_texts

__all__ = ["Progress"]

SECONDS_BETWEEN = 0.05
NOTE_CHARACTERS = 1000

_monotonic = time.monotonic


class Progress:
    """A sender of progress reports, at most 20 a second.

    A report that comes sooner replaces the report that waits. The end
    (``done == total``) and the last report of a run are always sent.
    """

    def __init__(self, frames: FrameSocket, output: Output, scope: RunScope) -> None:
        self._frames = frames
        self._output = output
        self._scope = scope
        self._lock = threading.RLock()
        self._waiting: bytes | None = None
        self._sent_at = -math.inf

    def begin_run(self) -> None:
        """Drop the waiting report of an earlier run."""
        self._waiting = None
        self._sent_at = -math.inf

    def report(self, done: float, total: float | None = None, note: str = "") -> None:
        """Report that ``done`` of ``total`` is done (None: not known), with a note.

        Raises TypeError and ValueError for anything but finite numbers and text.
        """
        done = _number("done", done)
        if total is not None:
            total = _number("total", total)
        if not isinstance(note, str):
            raise TypeError(f"progress(note=...) takes text, not {type(note).__name__}")
        if len(note) > NOTE_CHARACTERS:
            note = note[: NOTE_CHARACTERS - 1] + "…"
        if not self._scope.of_caller():
            # A task or thread of an earlier run: that run has been reported already.
            return
        known = math.nan if total is None else total
        body = PROGRESS.pack(done, known) + pack_texts(note)
        with self._lock:
            self._waiting = body
            if done == total or _monotonic() - self._sent_at >= SECONDS_BETWEEN:
                self.flush()

    def flush(self) -> None:
        """Send the waiting report."""
        if self._waiting is None or self._frames.sending_here:
            return
        with self._lock:
            body, self._waiting = self._waiting, None
            if body is not None:
                self._output.flush()
                self._frames.send(Frame.PROGRESS, self._scope.run, 0, body)
                self._sent_at = _monotonic()


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise TypeError(f"progress({name}=...) takes a number, not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"progress({name}=...) takes a finite number, not {value!r}")
    return number
