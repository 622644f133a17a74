"""A watchdog for deadlocks: what is stuck is shown, and fails."""

from __future__ import annotations

import faulthandler
import os
import tempfile
import threading
from collections.abc import Callable

__all__ = ["DEADLINES", "PATIENCE", "StuckError", "bounded"]


class StuckError(AssertionError):
    """Say that something did not end, and where each thread stood."""


# For code that has to come somewhere before its time is over: the first of these is
# enough, unless the machine is busy; then the next is tried.
DEADLINES = (0.6, 4.0, 30.0)

# Tests of the tests, in which something is stuck on purpose, have less of it.
PATIENCE = float(os.environ.get("CODEMODE_TEST_PATIENCE", "60"))


def bounded[T](function: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Call a function in a thread with an empty context, and return what it returns.

    Raises what it raises. When it takes longer than ``seconds``, raises StuckError
    with the stacks of all threads; a function that is stuck stays behind.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001  # raised in the caller's thread
            failure.append(error)

    # A daemon: a deadlock that was found must not hold up the end of the process.
    thread = threading.Thread(target=work, name="watched", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise StuckError(f"still running after {seconds:g} s\n{stacks()}")
    if failure:
        raise failure[0]
    return outcome[0]


def stacks() -> str:
    """Return where each thread of this process stands."""
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read()
