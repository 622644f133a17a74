"""The printed output of the code, sent as frames in the order of printing.

Both streams share one buffer, so their relative order is kept. Every sender of
another frame flushes the buffer first. The first lines of a run are sent one by
one, so that a watcher sees them at once. Later lines are gathered for at most
``GATHER_SECONDS`` or ``GATHER_CHARACTERS``, whichever comes first.
"""

from __future__ import annotations

import _thread
import codecs
import io
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from codemode.sandbox.guest.frame_socket import FrameSocket
from codemode.sandbox.guest.recorded.turns import Printing
from codemode.sandbox.guest.scope import RunScope
from codemode.wire.frames import Frame

__all__ = ["Output"]

LINES_AT_ONCE = 64
GATHER_SECONDS = 0.05
GATHER_CHARACTERS = 8 * 1024
FRAME_BYTES = 64 * 1024

_monotonic = time.monotonic
_sleep = time.sleep
_start_thread = _thread.start_new_thread


class Output:
    """A buffer that gathers the text of both streams and sends it.

    Text that a task or thread of an earlier run prints is dropped: that run has
    been reported already.
    """

    def __init__(self, frames: FrameSocket, scope: RunScope) -> None:
        self._frames = frames
        self._scope = scope
        # Reentrant: a finalizer or signal handler may print in the middle of a print.
        self._lock = threading.RLock()
        self._kind = Frame.STDOUT
        self._parts: list[str] = []
        self._size = 0
        self._flushes = 0
        self._flushed_at = 0.0
        self._gathered = threading.Event()
        self._flushing_apart = False
        self._turns: Printing | None = None
        self.written = 0
        """The number of characters that the code has printed."""
        self.stdout = _TextStream(self, Frame.STDOUT, 1)
        self.stderr = _TextStream(self, Frame.STDERR, 2)
        self.stdin = _NoInput()

    def install(self) -> None:
        """Make these streams the standard streams of the process."""
        for name in ("stdin", "stdout", "stderr"):
            stream = getattr(self, name)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)

    def begin_run(self) -> None:
        """Start a new run, whose first lines are sent at once again."""
        self._flushes = 0

    def write(self, kind: Frame, text: str) -> None:
        """Take text of one stream; send whole lines now or within ``GATHER_SECONDS``."""
        if not text or not self._scope.of_caller() or self._frames.forked:
            return
        with self._lock:
            if kind is not self._kind:
                self.flush()
                self._kind = kind
            self._parts.append(text)
            self.written += len(text)
            self._size += len(text)
            if self._size >= GATHER_CHARACTERS:
                self.flush()
            elif "\n" in text:
                if (
                    self._flushes < LINES_AT_ONCE
                    or _monotonic() - self._flushed_at > GATHER_SECONDS
                ):
                    self.flush()
                else:
                    self._flush_soon()

    def take_turns(self, turns: Printing) -> None:
        """Send what the lines of a recorded run print from now on in their turns."""
        with self._lock:
            turns.skip(self.written)
            self._turns = turns
            setattr(self, "write", self._write_in_turn)  # noqa: B010  # a method, for the type checker

    def _write_in_turn(self, kind: Frame, text: str) -> None:
        if self._turns is None or not text or not self._scope.of_caller() or self._frames.forked:
            return
        with self._lock:
            for part in self._turns.arrange((kind, text)):
                Output.write(self, *part)

    def end_run(self) -> None:
        """Send all that the code has printed."""
        if self._turns is not None:
            with self._lock:
                for part in self._turns.rest():
                    Output.write(self, *part)
        self.flush()

    def flush(self) -> None:
        """Send the gathered text."""
        if not self._parts or self._frames.forked or self._frames.sending_here:
            return
        with self._lock:
            parts, self._parts = self._parts, []
            self._size = 0
            self._flushes += 1
            text = "".join(parts)
            run = self._scope.run
            step = FRAME_BYTES if text.isascii() else FRAME_BYTES // 4
            for start in range(0, len(text), step):
                data = text[start : start + step].encode("utf-8", "replace")
                self._frames.send(self._kind, run, 0, data)
            self._flushed_at = _monotonic()

    def _flush_soon(self) -> None:
        if not self._flushing_apart:
            try:
                _start_thread(self._keep_flushing, ())
            except RuntimeError:
                # No thread can be started: the run is at its limit of threads or memory.
                self.flush()
                return
            self._flushing_apart = True
        self._gathered.set()

    def _keep_flushing(self) -> None:
        while True:
            self._gathered.wait()
            _sleep(GATHER_SECONDS)
            self._gathered.clear()
            self.flush()


class _TextStream(io.TextIOBase):
    """The ``sys.stdout`` or ``sys.stderr`` of the code."""

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    line_buffering = True
    write_through = False
    mode = "w"

    def __init__(self, output: Output, kind: Frame, descriptor: int) -> None:
        self._output = output
        self._kind = kind
        self._descriptor = descriptor
        self.name = "<stdout>" if kind is Frame.STDOUT else "<stderr>"
        self.buffer = _ByteStream(self)

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._output.write(self._kind, text)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]  # of text
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._output.flush()

    def close(self) -> None:
        # A closed stdout would only hide later output.
        self._output.flush()

    def reconfigure(self, **_options: Any) -> None:
        self._output.flush()

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{self.name[1:-1]} of the run>"


class _ByteStream(io.BufferedIOBase):
    """The ``buffer`` of a text stream, which takes UTF-8 bytes in pieces of any size."""

    mode = "wb"

    def __init__(self, stream: _TextStream) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.name = stream.name

    def write(self, data: Any, /) -> int:
        if isinstance(data, str):
            raise TypeError("a bytes-like object is required, not 'str'")
        view = memoryview(data).cast("B")
        self._stream.write(self._decoder.decode(view))
        return len(view)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True


class _NoInput(io.TextIOBase):
    """The ``sys.stdin`` of the code, which refuses to read: a run has no input."""

    encoding = "utf-8"
    errors = "replace"
    name = "<stdin>"
    mode = "r"

    def _refuse(self) -> NoReturn:
        raise EOFError(
            "a run has no standard input, so input() cannot be answered; pass data as inputs, "
            "or call a tool that returns it"
        )

    def read(self, _size: int | None = -1, /) -> str:
        self._refuse()

    def readline(self, _size: int = -1, /) -> str:  # type: ignore[override]  # of text
        self._refuse()

    def readlines(self, _hint: int = -1, /) -> list[str]:  # type: ignore[override]  # of text
        self._refuse()

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # of text
        return self

    def __next__(self) -> str:  # type: ignore[override]  # of text
        self._refuse()

    def readable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        """Stay open: there is nothing to close."""
