"""The refusal of a request that gets no outcome: stable codes for programs, text for people."""

from __future__ import annotations

import logging
import math

from codemode.core.result import ExecutionResult
from codemode.errors import (
    ClientClosedError,
    CodemodeError,
    ConfigurationError,
    ExecutorBusyError,
    ExecutorClientError,
    ExecutorConnectionError,
    ExecutorDeadlineError,
    ExecutorRequestError,
    InvalidRequestError,
    ValueEncodingError,
)

__all__ = ["RefusalError", "not_configured", "refusal_of"]

logger = logging.getLogger("django_codemode")


class RefusalError(Exception):
    """The refusal of a request: a stable ``code`` for programs, a message for people.

    ``status`` is the HTTP status and ``retry_after`` a number of seconds.
    ``result`` is the partial record if the run had begun.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        retry_after: int | None = None,
        result: ExecutionResult | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after
        self.result = result


def not_configured(error: ConfigurationError) -> RefusalError:
    """Log what is wrong with settings, tools or hooks; return what a client may learn of it."""
    logger.error("Codemode cannot execute: %s", error, exc_info=error)
    return RefusalError(
        "not_configured",
        "Codemode is misconfigured; run 'manage.py check' to see what to fix",
        status=500,
    )


def refusal_of(error: CodemodeError) -> RefusalError:
    """Return what a client may learn of an error outside the code; log what it may not."""
    if isinstance(error, InvalidRequestError | ValueEncodingError):
        return RefusalError("invalid_inputs", str(error))
    if isinstance(error, ConfigurationError):
        return not_configured(error)
    if isinstance(error, ExecutorRequestError):
        return RefusalError("refused_by_executor", str(error))
    # For the log only, because the message may name hosts of the internal network.
    logger.error("The executor failed: %s", error, exc_info=error)
    result = error.result if isinstance(error, ExecutorClientError) else None
    if isinstance(error, ExecutorBusyError):
        return RefusalError(
            "busy",
            "no sandbox is free; try again later",
            status=503,
            retry_after=max(1, math.ceil(error.retry_after)),
        )
    if isinstance(error, ExecutorDeadlineError):
        return RefusalError(
            "executor_timeout", "the executor did not answer in time", status=504, result=result
        )
    if result is None and isinstance(error, ExecutorConnectionError | ClientClosedError):
        # Nothing has run, so a retry is safe.
        return RefusalError(
            "unavailable", "the executor cannot be reached", status=503, retry_after=1
        )
    return RefusalError(
        "executor_failed",
        "the executor failed; the log has the details",
        status=502,
        result=result,
    )
