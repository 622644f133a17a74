"""A command at a real pseudo-terminal: the test sends keys and reads the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Self

from tests.support.commands import environment

__all__ = ["CTRL_C", "CTRL_D", "UP", "Terminal"]

CTRL_C = "\x03"
CTRL_D = "\x04"
UP = "\x1b[A"

_SECONDS = 60.0
_PATIENCE = 5.0

# The terminal becomes the controlling terminal, so that its keys send signals.
_START = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


class Terminal:
    """A command whose stdin, stdout and stderr are a pseudo-terminal."""

    def __init__(self, *arguments: str, columns: int = 80, **variables: str) -> None:
        self._arguments = arguments
        self._columns = columns
        self._variables = {"TERM": "xterm", **variables}
        self.screen = ""
        """Everything written to the terminal so far."""
        self._read = 0

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        size = struct.pack("HHHH", 24, self._columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, *self._arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(**self._variables),
            start_new_session=True,
        )
        os.close(slave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def enter(self, line: str) -> None:
        """Type a line, once the prompt is shown."""
        self.expect(r"(>>>|\.\.\.) $")
        self.type(f"{line}\n")

    def interrupt(self, pattern: str) -> str:
        """Press Ctrl-C at the prompt; return the output up to the end of the pattern.

        Python misses a signal that arrives after it last checked for signals and before it waits
        for the next key. The key is therefore pressed again, as a person would press it.
        """
        for _ in range(int(_SECONDS / _PATIENCE)):
            self.type(CTRL_C)
            try:
                return self.expect(pattern, seconds=_PATIENCE)
            except TimeoutError:
                continue
        return self.expect(pattern)

    def expect(self, pattern: str, *, seconds: float = _SECONDS) -> str:
        """Return the output from now on, up to the end of the pattern."""
        deadline = time.monotonic() + seconds
        while (found := re.search(pattern, self._new())) is None:
            self._more(deadline, pattern)
        text = self._new()[: found.end()]
        self._read += len(text)
        return text

    def end(self) -> int:
        """Read the remaining output, and return the exit status."""
        deadline = time.monotonic() + _SECONDS
        while self._more(deadline, "its end"):
            pass
        return self.process.wait(_SECONDS)

    def _new(self) -> str:
        return self.screen[self._read :]

    def _more(self, deadline: float, wanted: str) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            raise TimeoutError(f"{wanted!r} did not come; the screen has {self.screen!r}")
        try:
            read = os.read(self._master, 65536)
        except OSError:  # Linux raises this when the other side is closed
            read = b""
        self.screen += read.decode(errors="replace")
        if not read and wanted != "its end":
            raise AssertionError(f"{wanted!r} did not come; the screen has {self.screen!r}")
        return bool(read)
