"""Every exception that Codemode raises.

CodemodeError
├── ExecutionError                 the code failed; .result has the whole outcome
├── ExecutorClientError            something went wrong outside the code
│   ├── ExecutorConnectionError    the executor is not there, or went away
│   ├── ExecutorAuthenticationError
│   ├── ExecutorBusyError          no free sandbox in time; .retry_after seconds
│   ├── ExecutorDeadlineError      the executor did not answer in time
│   ├── ExecutorRequestError       the executor refused the request (also ValueError)
│   ├── ExecutorProtocolError      the other side broke the wire contract
│   └── ClientClosedError          use after close
├── ConfigurationError             a setting is wrong (also ValueError)
│   └── InvalidRequestError        code or inputs that cannot be sent
├── ToolRegistrationError          a tool cannot be registered (also ValueError)
└── ValueEncodingError             a value cannot travel (also ValueError)
    └── ValueDecodingError         bytes that are no honest value
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codemode.core.result import ExecutionResult

__all__ = [
    "ClientClosedError",
    "CodemodeError",
    "ConfigurationError",
    "ExecutionError",
    "ExecutorAuthenticationError",
    "ExecutorBusyError",
    "ExecutorClientError",
    "ExecutorConnectionError",
    "ExecutorDeadlineError",
    "ExecutorProtocolError",
    "ExecutorRequestError",
    "InvalidRequestError",
    "ToolRegistrationError",
    "ValueDecodingError",
    "ValueEncodingError",
]


class CodemodeError(Exception):
    """Be the root of all exceptions of this package."""


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


class ConfigurationError(CodemodeError, ValueError):
    """Tell that a setting is wrong, which, and what it takes."""


class InvalidRequestError(ConfigurationError):
    """Tell that code or inputs cannot be sent: not a text, not a variable's name."""


class ToolRegistrationError(CodemodeError, ValueError):
    """Tell that an object cannot be registered as a tool, and why."""


class ValueEncodingError(CodemodeError, ValueError):
    """Tell that a value cannot travel; the message has the path to it."""


class ValueDecodingError(ValueEncodingError):
    """Tell that bytes are not an honest value within the limits."""
