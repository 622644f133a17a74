"""An embedded executor on a private Unix socket, which ends with this process."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from pathlib import Path

from codemode.embedded.process import SpawnedExecutor
from codemode.errors import ClientClosedError

__all__ = ["EmbeddedExecutor"]

logger = logging.getLogger("codemode.executor")


class EmbeddedExecutor:
    """An executor started on first use, and again when it has died or the process has forked.

    Safe from many threads. ``log_file`` receives the executor's log; by default
    the log is ``executor.log`` in the private folder and is removed with it.
    ``min_tier`` is the weakest isolation to accept. The executor ends by
    ``close()``, with this object, or with the process.
    """

    def __init__(self, *, log_file: Path | None = None, min_tier: str | None = None) -> None:
        self._log_file = log_file
        self._min_tier = min_tier
        # Reentrant: a signal handler may close the client while this very thread holds it.
        self._lock = threading.RLock()
        self._closed = False
        self._process: SpawnedExecutor | None = None
        self._abandon: weakref.finalize[..., EmbeddedExecutor] | None = None
        _all_embedded.add(self)

    @property
    def pid(self) -> int | None:
        """Return the process id of the running executor, or None."""
        process = self._process
        return process.pid if process is not None and process.alive() else None

    @property
    def log_path(self) -> Path | None:
        """Return the path of the last started executor's log, or None before the first use."""
        return self._process.log_path if self._process is not None else None

    def address(self) -> str:
        """Return the gRPC target, starting the executor when none runs.

        Blocks during the start (some hundred milliseconds). Raises
        ExecutorConnectionError, and ClientClosedError after ``close()``.
        """
        with self._lock:
            if self._is_closed():
                raise ClientClosedError
            if self._process is not None and not self._process.alive():
                logger.warning(
                    "the embedded executor %d has died, another is started; its log ends with:\n%s",
                    self._process.pid,
                    self._process.log_tail(),
                )
                self._drop()
            if self._process is None:
                self._process = process = SpawnedExecutor(self._log_file, self._min_tier)
                # The executor ends with this process anyway; this is for an object that ends first.
                self._abandon = weakref.finalize(self, process.abandon)
                self._abandon.atexit = False
            if self._is_closed():  # by a signal handler, during the start
                self._drop()
                raise ClientClosedError
            return self._process.address

    def close(self) -> None:
        """Stop the executor, wait for its end and start no other. Idempotent.

        Waits for a start that is under way in another thread.
        """
        with self._lock:
            self._closed = True
            self._drop()

    def _is_closed(self) -> bool:
        return self._closed

    def _drop(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None  # only now: after an interrupt the next close() tries again
        if self._abandon is not None:
            self._abandon.detach()

    def _forget(self) -> None:
        """Drop the parent's executor in a forked child."""
        self._lock = threading.RLock()
        process, self._process = self._process, None
        if self._abandon is not None:
            self._abandon.detach()
        if process is not None:
            process.forget()


_all_embedded: weakref.WeakSet[EmbeddedExecutor] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for embedded in list(_all_embedded):
        embedded._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
