"""The health of the executor: one bounded request on behalf of all callers."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from weakref import WeakKeyDictionary

from codemode.core.codemode import Codemode
from codemode.core.executor_info import ExecutorInfo
from codemode.errors import CodemodeError

__all__ = ["executor_info"]

logger = logging.getLogger("django_codemode")

_MAX_AGE_SECONDS = 2.0


def executor_info(codemode: Codemode, timeout: float) -> ExecutorInfo | None:
    """Return the executor's information, or None if it has not answered within ``timeout`` seconds.

    The answer may be 2 s old: however many callers there are, the executor gets
    one request, and its time counts from the first of them. So an executor that
    hangs holds up callers no longer than ``timeout`` for each of its requests.
    Starts an embedded executor, as an execution would.
    """
    with _lock:
        probe = _probes.setdefault(codemode, _Probe())
    return probe.ask(codemode, timeout)


class _Probe:
    """The last answer of one executor, or the pending one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answer: Future[ExecutorInfo | None] | None = None
        self._asked_at = self._answered_at = 0.0

    def ask(self, codemode: Codemode, timeout: float) -> ExecutorInfo | None:
        with self._lock:
            answer = self._answer
            old = time.monotonic() - self._answered_at > _MAX_AGE_SECONDS
            if answer is None or (answer.done() and old):
                self._answer = answer = Future()
                self._asked_at = time.monotonic()
                # In a thread, because a starting or hanging executor may exceed the timeout.
                threading.Thread(
                    target=self._work, args=(codemode, answer), name="codemode-health", daemon=True
                ).start()
            left = self._asked_at + timeout - time.monotonic()
        try:
            return answer.result(max(0.0, left))
        except TimeoutError:
            logger.warning("The executor has not answered within %g s", timeout)
            return None

    def _work(self, codemode: Codemode, answer: Future[ExecutorInfo | None]) -> None:
        info = None
        try:
            info = codemode.client.info()
        except CodemodeError as error:
            logger.warning("The executor does not answer: %s", error)
        finally:
            self._answered_at = time.monotonic()
            answer.set_result(info)


_lock = threading.Lock()
_probes: WeakKeyDictionary[Codemode, _Probe] = WeakKeyDictionary()
