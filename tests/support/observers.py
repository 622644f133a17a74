"""An observer that keeps what it receives."""

from __future__ import annotations

import threading

from codemode import ExecutionResult
from codemode.core.hooks import Execution

__all__ = ["Watcher"]


class Watcher:
    """An observer that writes down what it receives."""

    def __init__(self, name: str = "", log: list[tuple[str, str]] | None = None) -> None:
        self.name = name
        self.log = [] if log is None else log
        self.started: list[Execution] = []
        self.finished: list[tuple[Execution, ExecutionResult | None, BaseException | None]] = []
        self.threads: set[int] = set()

    def execution_started(self, execution: Execution) -> None:
        self.threads.add(threading.get_ident())
        self.log.append(("started", self.name))
        self.started.append(execution)

    def execution_finished(
        self, execution: Execution, result: ExecutionResult | None, error: BaseException | None
    ) -> None:
        self.threads.add(threading.get_ident())
        self.log.append(("finished", self.name))
        self.finished.append((execution, result, error))

    def only(self) -> tuple[Execution, ExecutionResult | None, BaseException | None]:
        """Return the only end, which must match the only begin."""
        assert len(self.started) == len(self.finished) == 1
        assert self.finished[0][0] is self.started[0]
        return self.finished[0]

    def status(self) -> str:
        _, result, error = self.only()
        assert error is None
        assert result is not None
        return result.status
