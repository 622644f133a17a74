"""The display of an execution while it runs: its output, progress and tool calls."""

from __future__ import annotations

import os
import re
import shutil

from django.core.management.base import OutputWrapper

from codemode.core.event_stream import EventStream
from codemode.core.events import (
    ExecutionCompleted,
    OutputReceived,
    ProgressReported,
    ToolCallFinished,
    ToolCallStarted,
)
from codemode.core.result import ExecutionResult
from codemode.values.shortening import shorten

__all__ = ["Live", "fit", "write"]

# All control characters but tab, line feed and carriage return.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BAR_CELLS = 20


def fit(target: OutputWrapper, text: str) -> str:
    """Return a text of executed code unchanged, but for a terminal with control characters shown.

    A terminal obeys control characters: they could rename it, hide lines or
    make it type.
    """
    return _printable(text) if target.isatty() else text


def write(target: OutputWrapper, text: str) -> None:
    """Write a text of executed code, made fit for the target, without a style or an ending."""
    target.write(fit(target, text), _unstyled, ending="")
    target.flush()


class Live:
    """The display of executions on stdout and stderr.

    With ``calls``, tool calls are shown on stderr. If stderr is a terminal, its
    last line is a bar of the code's progress.
    """

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper, *, calls: bool) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._calls = calls
        self._has_bar = stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._bar = ""
        self._in_line = False

    def follow(self, events: EventStream) -> ExecutionResult:
        """Show the events as they happen, and return the outcome. Closes the stream."""
        self._in_line = False
        try:
            with events:
                for event in events:
                    match event:
                        case OutputReceived():
                            self._output(event)
                        case ProgressReported():
                            self._progress(event)
                        case ToolCallStarted():
                            arguments = ", ".join(
                                f"{name}={shorten(value)}"
                                for name, value in event.arguments.items()
                            )
                            self._call(f"-> {event.name}({arguments})")
                        case ToolCallFinished():
                            why = f": {event.error}" if event.error else ""
                            took = f"{event.outcome} in {event.duration_ms:.1f} ms"
                            self._call(f"<- {event.name} {took}{why}")
                        case ExecutionCompleted():
                            return event.result
        finally:
            self._clear()
        raise AssertionError("a stream ends with its result or raises")

    def _output(self, output: OutputReceived) -> None:
        target = self._stdout if output.stream == "stdout" else self._stderr
        bar = self._clear()
        write(target, output.text)
        if target.isatty():
            self._in_line = not output.text.endswith("\n")
        if not self._in_line:
            self._draw(bar)

    def _call(self, text: str) -> None:
        if self._calls:
            bar = self._clear()
            self._end_line()
            write(self._stderr, " ".join(text.split()) + "\n")
            self._draw(bar)

    def _progress(self, progress: ProgressReported) -> None:
        if self._has_bar:
            self._clear()
            self._end_line()
            self._draw(_bar(progress))

    def _end_line(self) -> None:
        """Start a new line on the terminal if the code has left one open."""
        if self._in_line and self._stderr.isatty():
            write(self._stderr, "\n")
            self._in_line = False

    def _draw(self, bar: str) -> None:
        self._bar = bar
        if bar:
            width = shutil.get_terminal_size().columns
            write(self._stderr, "\r" + _printable(bar)[: max(width - 1, 1)])

    def _clear(self) -> str:
        """Remove the bar from the terminal, and return it."""
        bar, self._bar = self._bar, ""
        if bar:
            self._stderr.write("\r\x1b[K", _unstyled, ending="")
            self._stderr.flush()
        return bar


def _bar(progress: ProgressReported) -> str:
    note = " ".join(progress.note.split())
    if not (progress.total and progress.total > 0):  # nan is not above 0 either
        return f"{progress.done:g} {note}".rstrip()
    part = min(max(0, progress.done / progress.total), 1)  # in this order, 0 for nan
    cells = "#" * int(part * _BAR_CELLS)
    counted = f"{progress.done:g}/{progress.total:g}"
    return f"[{cells:.<{_BAR_CELLS}}] {part:4.0%} {counted} {note}".rstrip()


def _printable(text: str) -> str:
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def _unstyled(text: str) -> str:
    return text
