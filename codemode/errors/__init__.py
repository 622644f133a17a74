"""Every exception that Codemode raises.

CodemodeError
├── ExecutionError                 the code failed; .result has the whole outcome
├── ExecutorClientError            something went wrong outside the code
│   ├── ExecutorConnectionError    the executor cannot be reached, or went away
│   ├── ExecutorAuthenticationError
│   ├── ExecutorBusyError          no free sandbox in time; .retry_after seconds
│   ├── ExecutorDeadlineError      the executor did not answer in time
│   ├── ExecutorRequestError       the executor refused the request (also ValueError)
│   ├── ExecutorProtocolError      the other side broke the wire contract
│   └── ClientClosedError          use after close
├── ConfigurationError             a setting is wrong (also ValueError)
│   └── InvalidRequestError        code, inputs, id or recording that cannot be sent
├── ToolRegistrationError          a tool cannot be registered (also ValueError)
└── ValueEncodingError             a value cannot travel (also ValueError)
    └── ValueDecodingError         bytes that are not a valid value
        └── RecordingFormatError   bytes that are not a recording
"""

from __future__ import annotations

from codemode.errors.base import (
    CodemodeError,
    ConfigurationError,
    InvalidRequestError,
    RecordingFormatError,
    ToolRegistrationError,
    ValueDecodingError,
    ValueEncodingError,
)
from codemode.errors.runs import (
    ClientClosedError,
    ExecutionError,
    ExecutorAuthenticationError,
    ExecutorBusyError,
    ExecutorClientError,
    ExecutorConnectionError,
    ExecutorDeadlineError,
    ExecutorProtocolError,
    ExecutorRequestError,
)

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
    "RecordingFormatError",
    "ToolRegistrationError",
    "ValueDecodingError",
    "ValueEncodingError",
]

for _name in __all__:  # what a traceback and a pickle call them, wherever they are defined
    globals()[_name].__module__ = __name__
