"""The attribution of tasks, threads and callbacks to their runs.

A session runs code several times in one process. Tasks, threads and callbacks
that one run leaves behind must not act for the next: their calls and prints
belong to the run that *created* them. Tasks and callbacks carry that run in a
context variable. Threads do not inherit context variables, so the threads that
are alive when a run begins are recorded as those of earlier runs.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from weakref import WeakSet

__all__ = ["RunScope"]

_run_of_context: ContextVar[int] = ContextVar("codemode_run", default=0)

# Captured at import: the code may replace these in their modules, which must not change the
# decisions made here.
_current_thread = threading.current_thread
_enumerate = threading.enumerate
_get_ident = threading.get_ident
_DummyThread = threading._DummyThread


class RunScope:
    """The current run, and whether a caller belongs to it. Runs count from 1; 0 means no run."""

    def __init__(self) -> None:
        self.run = 0
        self._main = _get_ident()
        self._past_threads: WeakSet[threading.Thread] = WeakSet()
        self._runs = 0

    def forget(self) -> None:
        """Count runs from the next one on: those so far were rehearsals."""
        self._runs = 0

    def begin(self, run: int) -> None:
        """Begin a run in the calling thread and context."""
        self._past_threads.update(_enumerate())
        if run != self.run:
            self._runs += 1
        self.run = run
        _run_of_context.set(run)

    def end(self) -> None:
        """End the run: tasks and threads that it leaves behind have no run from now on."""
        self.run = 0

    def of_caller(self) -> int:
        """Return the current run if the caller belongs to it, else 0."""
        run = self.run
        made_in = _run_of_context.get()
        if made_in:
            return run if made_in == run else 0
        if _get_ident() == self._main:
            return run
        thread = _current_thread()
        if isinstance(thread, _DummyThread):
            # Started without `threading`, so its start is unknown: only in the first run is it
            # certain that no earlier run started it.
            return run if self._runs == 1 else 0
        return 0 if thread in self._past_threads else run
