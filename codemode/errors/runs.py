"""Exceptions of executions, which carry the result so far."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from codemode.errors.base import CodemodeError

if TYPE_CHECKING:
    from codemode.core.result import ExecutionResult

__all__ = [
    "ClientClosedError",
    "ExecutionError",
    "ExecutorAuthenticationError",
    "ExecutorBusyError",
    "ExecutorClientError",
    "ExecutorConnectionError",
    "ExecutorDeadlineError",
    "ExecutorProtocolError",
    "ExecutorRequestError",
]


class ExecutionError(CodemodeError):
    """Tell that the executed code failed; ``result`` is its whole outcome."""

    def __init__(self, result: ExecutionResult) -> None:
        error = result.error
        super().__init__(f"{error.type}: {error.message}" if error else result.status)
        self.result = result

    def __reduce__(self) -> tuple[type[ExecutionError], tuple[ExecutionResult]]:
        return (type(self), (self.result,))


class ExecutorClientError(CodemodeError):
    """Tell that something went wrong outside the code.

    ``result`` is the partial record, with the tool calls so far, when the run
    had begun, else None.
    """

    def __init__(self, message: str, *, result: ExecutionResult | None = None) -> None:
        super().__init__(message)
        self.result = result


class ExecutorConnectionError(ExecutorClientError):
    """Tell that the executor cannot be reached, or went away during the run."""


class ExecutorAuthenticationError(ExecutorClientError):
    """Tell that the executor refused the API key."""


class ExecutorBusyError(ExecutorClientError):
    """Tell that no sandbox became free in time; the code has not run.

    ``retry_after`` is the executor's advice in seconds.
    """

    def __init__(
        self, message: str, *, retry_after: float, result: ExecutionResult | None = None
    ) -> None:
        super().__init__(message, result=result)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        build = partial(type(self), retry_after=self.retry_after, result=self.result)
        return (build, self.args)


class ExecutorDeadlineError(ExecutorClientError):
    """Tell that the executor did not answer within the client's deadline."""


class ExecutorRequestError(ExecutorClientError, ValueError):
    """Tell that the executor refused the request, such as a limit above its ceiling."""


class ExecutorProtocolError(ExecutorClientError):
    """Tell that the other side broke the wire contract."""


class ClientClosedError(ExecutorClientError):
    """Tell that the client was used after ``close()``."""

    def __init__(
        self, message: str = "Client has been closed", *, result: ExecutionResult | None = None
    ) -> None:
        super().__init__(message, result=result)
