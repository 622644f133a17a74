"""The Codemode SDK: a language model acts by writing Python that calls your tools.

The names below are loaded on first use (PEP 562), so that the sandbox, which
needs only ``codemode.values`` and ``codemode.sandbox``, never imports gRPC or
pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codemode._lazy import lazy_names
from codemode._version import __version__ as __version__

if TYPE_CHECKING:
    from codemode.config import ClientConfig, ExecutorConfig, Limits, TLSConfig
    from codemode.core.artifact import Artifact
    from codemode.core.client import ExecutorClient
    from codemode.core.codemode import Codemode
    from codemode.core.context import (
        RuntimeContext,
        get_current_context,
        get_current_execution,
    )
    from codemode.core.recording import Recording
    from codemode.core.registry import ComponentRegistry
    from codemode.core.result import ExecutionResult
    from codemode.errors import (
        ClientClosedError,
        CodemodeError,
        ConfigurationError,
        ExecutionError,
        ExecutorAuthenticationError,
        ExecutorBusyError,
        ExecutorClientError,
        ExecutorConnectionError,
        ExecutorDeadlineError,
        ExecutorProtocolError,
        ExecutorRequestError,
        InvalidRequestError,
        RecordingFormatError,
        ToolRegistrationError,
        ValueDecodingError,
        ValueEncodingError,
    )
    from codemode.tools import ToolError, tool

_SOURCES: dict[str, tuple[str, ...]] = {
    "codemode.config": ("ClientConfig", "ExecutorConfig", "Limits", "TLSConfig"),
    "codemode.core.artifact": ("Artifact",),
    "codemode.core.client": ("ExecutorClient",),
    "codemode.core.codemode": ("Codemode",),
    "codemode.core.context": ("RuntimeContext", "get_current_context", "get_current_execution"),
    "codemode.core.recording": ("Recording",),
    "codemode.core.registry": ("ComponentRegistry",),
    "codemode.core.result": ("ExecutionResult",),
    "codemode.errors": (
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
        "RecordingFormatError",
        "ToolRegistrationError",
        "ValueDecodingError",
        "ValueEncodingError",
    ),
    "codemode.tools": ("ToolError", "tool"),
}
__getattr__ = lazy_names(__name__, _SOURCES)

__all__ = [
    "Artifact",
    "ClientClosedError",
    "ClientConfig",
    "Codemode",
    "CodemodeError",
    "ComponentRegistry",
    "ConfigurationError",
    "ExecutionError",
    "ExecutionResult",
    "ExecutorAuthenticationError",
    "ExecutorBusyError",
    "ExecutorClient",
    "ExecutorClientError",
    "ExecutorConfig",
    "ExecutorConnectionError",
    "ExecutorDeadlineError",
    "ExecutorProtocolError",
    "ExecutorRequestError",
    "InvalidRequestError",
    "Limits",
    "Recording",
    "RecordingFormatError",
    "RuntimeContext",
    "TLSConfig",
    "ToolError",
    "ToolRegistrationError",
    "ValueDecodingError",
    "ValueEncodingError",
    "get_current_context",
    "get_current_execution",
    "tool",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
