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
    """A failure of the executed code; ``result`` is its whole outcome.

    The message is ``result.for_model()``: the failure, the tool calls before it
    and the output.
    """

    def __init__(self, result: ExecutionResult) -> None:
        super().__init__(result.for_model())
        self.result = result

    def __reduce__(self) -> tuple[type[ExecutionError], tuple[ExecutionResult]]:
        return (type(self), (self.result,))


class ExecutorClientError(CodemodeError):
    """A failure outside the executed code.

    ``result`` is the partial record, with the tool calls so far, if the run
    had begun, else None.
    """

    def __init__(self, message: str, *, result: ExecutionResult | None = None) -> None:
        super().__init__(message)
        self.result = result


class ExecutorConnectionError(ExecutorClientError):
    """An executor that cannot be reached, or that went away during the run."""


class ExecutorAuthenticationError(ExecutorClientError):
    """A refusal of the API key by the executor."""


class ExecutorBusyError(ExecutorClientError):
    """No free sandbox in time; the code has not run.

    ``retry_after`` is how many seconds the executor advises to wait.
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
    """No answer from the executor within the client's deadline."""


class ExecutorRequestError(ExecutorClientError, ValueError):
    """A request that the executor refused, such as one with a limit above its ceiling."""


class ExecutorProtocolError(ExecutorClientError):
    """A breach of the wire contract by the other side."""


class ClientClosedError(ExecutorClientError):
    """A use of the client after ``close()``."""

    def __init__(
        self, message: str = "Client has been closed", *, result: ExecutionResult | None = None
    ) -> None:
        super().__init__(message, result=result)
