"""A watchdog for deadlocks: it fails a stuck call and shows where it is stuck."""

from __future__ import annotations

import faulthandler
import os
import tempfile
import threading
from collections.abc import Callable

__all__ = ["DEADLINES", "PATIENCE", "StuckError", "bounded"]


class StuckError(AssertionError):
    """A call that did not end in time; the message shows where each thread stood."""


# For code that has to reach some point before its time is over. The first time is enough, unless
# the machine is busy; then the next one is tried.
DEADLINES = (0.6, 4.0, 30.0)

# Shorter in tests of the tests, in which something is stuck on purpose.
PATIENCE = float(os.environ.get("CODEMODE_TEST_PATIENCE", "60"))


def bounded[T](function: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Call a function in a thread with an empty context; return its result.

    Raises what the function raises. When the function takes longer than ``seconds``, raises
    StuckError with the stacks of all threads. A stuck function is left behind.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001  # raised in the caller's thread
            failure.append(error)

    # A daemon thread: a deadlock that was found must not delay the end of the process.
    thread = threading.Thread(target=work, name="watched", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise StuckError(f"still running after {seconds:g} s\n{stacks()}")
    if failure:
        raise failure[0]
    return outcome[0]


def stacks() -> str:
    """Return the current stack of each thread of this process."""
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read()
