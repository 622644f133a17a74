"""Several pieces of code in one sandbox: typed at a terminal, or as cells from a pipe."""

from __future__ import annotations

import ast
import codeop
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codemode.core.result import ExecutionResult as Result
from codemode.core.session import Session
from codemode.errors import ExecutorClientError
from django_codemode.management.live import Live

__all__ = ["Console", "cells", "history", "typed"]

_HISTORY_LINES = 1000
_FAREWELLS = ("exit", "quit", "exit()", "quit()")

_compile = codeop.CommandCompiler()
_compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class Console:
    """A console that runs pieces of code in a session and shows them through ``live``.

    ``report`` is called with each message to the person at the console.
    """

    def __init__(
        self, open_session: Callable[[], Session], live: Live, report: Callable[[str], None]
    ) -> None:
        self._open_session = open_session
        self._live = live
        self._report = report

    def run_all(
        self, codes: Iterator[str], inputs: Mapping[str, Any], finish: Callable[[Result], None]
    ) -> None:
        """Run all codes in one session, and pass each outcome to ``finish``.

        An exception of ``finish`` ends the session.
        """
        with self._open_session() as session:
            for code in codes:
                finish(self._live.follow(session.stream(code, inputs=inputs)))
                inputs = {}

    def interact(
        self, codes: Iterator[str], inputs: Mapping[str, Any], show: Callable[[Result], None]
    ) -> None:
        """Run what a person types. A session that has ended is followed by another.

        Each session begins with ``inputs``.
        """
        for code in codes:
            lost = ""
            try:
                with self._open_session() as session:
                    lost = self._attempt(session, code, inputs, show)
                    while not lost and (following := next(codes, None)) is not None:
                        lost = self._attempt(session, following, {}, show)
            except ExecutorClientError as error:
                self._report(str(error))  # the session did not begin; the next code tries again
            if lost:
                self._report(
                    f"{lost}: the session has ended; the next one has none of its variables"
                )

    def _attempt(
        self,
        session: Session,
        code: str,
        inputs: Mapping[str, Any],
        show: Callable[[Result], None],
    ) -> str:
        """Run one piece of code; return why the session has ended, or an empty string."""
        try:
            result = self._live.follow(session.stream(code, inputs=inputs))
        except KeyboardInterrupt:
            return "interrupted"
        except ExecutorClientError as error:
            return str(error)
        show(result)
        return "" if result.status in ("completed", "failed") else result.status


def typed(first: str | None) -> Iterator[str]:
    """Yield each block that is typed at the terminal, as Python's own prompt would read it."""
    if first is not None:
        yield first
    lines: list[str] = []
    while True:
        try:
            lines.append(input("... " if lines else ">>> "))
        except KeyboardInterrupt:
            sys.stdout.write("\nKeyboardInterrupt\n")
            lines = []
            continue
        except EOFError:
            sys.stdout.write("\n")
            return
        block = "\n".join(lines)
        if block.strip() in _FAREWELLS:
            return
        if is_whole(block):
            lines = []
            if block.strip():
                yield block


def cells(first: str | None, lines: Iterable[str]) -> Iterator[str]:
    """Yield the codes that lines of ``# %%`` separate, each as soon as it is complete."""
    if first is not None:
        yield first
    cell: list[str] = []
    for line in lines:
        if line.startswith("# %%"):
            if "".join(cell).strip():
                yield "".join(cell)
            cell = []
        cell.append(line)
    if "".join(cell).strip():
        yield "".join(cell)


def is_whole(block: str) -> bool:
    """Return whether a block is complete. Invalid code is, and the sandbox reports the error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _compile(block, "<input>", "single") is not None
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return True


@contextmanager
def history(names: Iterable[str], report: Callable[[str], None]) -> Iterator[None]:
    """Enable line editing, completion of ``names``, and a history kept for the next time."""
    try:
        import readline
    except ImportError:  # this Python lacks it: lines are read without editing
        yield
        return
    path = Path.home() / ".codemode_history"
    known = sorted(names)
    former = readline.get_completer()
    delimiters = readline.get_completer_delims()

    def complete(text: str, state: int) -> str | None:
        found = [name for name in known if name.startswith(text)]
        return found[state] if state < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(delimiters.replace(".", ""))
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    readline.clear_history()
    readline.set_history_length(_HISTORY_LINES)
    try:
        if path.exists():
            readline.read_history_file(path)
        yield
    finally:
        try:
            readline.write_history_file(path)
        except OSError as error:
            report(f"the history cannot be kept in {path}: {error.strerror}")
        readline.clear_history()
        readline.set_completer(former)
        readline.set_completer_delims(delimiters)
