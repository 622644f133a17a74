"""The exceptions of this package that stand for gRPC's statuses."""

from __future__ import annotations

from typing import Any

import grpc

from codemode.core.result import ExecutionResult
from codemode.errors import (
    ExecutorAuthenticationError,
    ExecutorBusyError,
    ExecutorClientError,
    ExecutorConnectionError,
    ExecutorDeadlineError,
    ExecutorProtocolError,
    ExecutorRequestError,
)

__all__ = [
    "client_error",
    "inherited_stream",
    "overdue",
    "silent",
    "status_is_lost",
]

_RETRY_AFTER = 1.0

# The message of grpc.aio when a write meets a stream that has ended. The status
# with which the stream ended is lost by then.
_WRITE_FAILED = "Internal error from Core"


def status_is_lost(error: Any) -> bool:
    """Return whether a failed write hides the status with which the stream ended."""
    code: grpc.StatusCode = error.code()
    return code is grpc.StatusCode.INTERNAL and error.details() == _WRITE_FAILED


def client_error(error: Any, url: str, result: ExecutionResult | None) -> ExecutorClientError:
    """Return the exception for a grpc.RpcError of an executor at ``url``."""
    code: grpc.StatusCode = error.code()
    details = error.details() or code.name
    match code:
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return ExecutorAuthenticationError(f"{url}: {details}", result=result)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if details.startswith("busy"):
            return ExecutorBusyError(
                f"{url}: {details}", retry_after=_retry_after(error), result=result
            )
        case grpc.StatusCode.INVALID_ARGUMENT:
            return ExecutorRequestError(details, result=result)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return overdue(url, result)
        case grpc.StatusCode.UNIMPLEMENTED:
            return ExecutorProtocolError(
                f"{url} answers gRPC, but is not a Codemode executor of a compatible version: "
                f"{details}",
                result=result,
            )
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return _lost(url, details, result)
        case grpc.StatusCode.INTERNAL if status_is_lost(error):
            return _lost(url, "the stream ended while more was being sent", result)
    return ExecutorProtocolError(f"{url} answered {code.name}: {details}", result=result)


def overdue(url: str, result: ExecutionResult | None) -> ExecutorClientError:
    """Return the exception for an executor that did not answer by the deadline."""
    return ExecutorDeadlineError(
        f"{url}: no answer within the deadline of the request", result=result
    )


def silent(url: str) -> ExecutorClientError:
    """Return the exception for an executor that gave no sign of life, before the run began."""
    return _lost(url, "it does not answer, and others do", None)


def inherited_stream(url: str) -> ExecutorClientError:
    """Return the exception for a stream that a forked child inherited from its parent."""
    return ExecutorClientError(
        f"this stream to {url} was opened before the process forked, and is its parent's; "
        "open another one here"
    )


def _lost(url: str, why: str, result: ExecutionResult | None) -> ExecutorConnectionError:
    began = "was lost during the run" if result is not None else "cannot be reached"
    return ExecutorConnectionError(f"the executor at {url} {began}: {why}", result=result)


def _retry_after(error: Any) -> float:
    for name, value in error.trailing_metadata() or ():
        if name == "retry-after":
            try:
                return float(value)
            except ValueError:
                break
    return _RETRY_AFTER
