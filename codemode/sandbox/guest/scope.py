"""Which run a piece of code belongs to.

A session runs code several times in one process. Tasks, threads and
callbacks that one run leaves behind must get nothing in the next: what they
call and print is judged by the run that *made* them. Tasks and callbacks carry
it in a context variable. Threads do not inherit context variables, so those
that are alive when a run ends are remembered as belonging to the past.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from weakref import WeakSet

__all__ = ["RunScope"]

_run_of_context: ContextVar[int] = ContextVar("codemode_run", default=0)

# What the code may replace in these modules must not change what is decided here.
_current_thread = threading.current_thread
_enumerate = threading.enumerate
_get_ident = threading.get_ident
_DummyThread = threading._DummyThread


class RunScope:
    """Tell which run the calling code belongs to. Runs count from 1; 0 is none."""

    def __init__(self) -> None:
        self.run = 0
        self._main = _get_ident()
        self._past_threads: WeakSet[threading.Thread] = WeakSet()
        self._runs = 0

    def begin(self, run: int) -> None:
        """Begin a run in the calling thread and context."""
        self._past_threads.update(_enumerate())
        if run != self.run:
            self._runs += 1
        self.run = run
        _run_of_context.set(run)

    def end(self) -> None:
        """End the run: from now on its leftovers have none."""
        self.run = 0

    def of_caller(self) -> int:
        """Return the running run when the caller belongs to it, else 0."""
        run = self.run
        made_in = _run_of_context.get()
        if made_in:
            return run if made_in == run else 0
        if _get_ident() == self._main:
            return run
        thread = _current_thread()
        if isinstance(thread, _DummyThread):
            # Started below `threading`: when, nobody can tell, so only the first run has such.
            return run if self._runs == 1 else 0
        return 0 if thread in self._past_threads else run
