"""Exceptions that carry no result: settings, tools, values."""

from __future__ import annotations

__all__ = [
    "CodemodeError",
    "ConfigurationError",
    "InvalidRequestError",
    "RecordingFormatError",
    "ToolRegistrationError",
    "ValueDecodingError",
    "ValueEncodingError",
]


class CodemodeError(Exception):
    """Base class of all Codemode exceptions."""


class ConfigurationError(CodemodeError, ValueError):
    """A wrong setting; the message names it and what it accepts."""


class InvalidRequestError(ConfigurationError):
    """A request that cannot be sent: its code, its inputs, its id or its recording is at fault."""


class ToolRegistrationError(CodemodeError, ValueError):
    """An object that cannot be registered as a tool; the message has the reason."""


class ValueEncodingError(CodemodeError, ValueError):
    """A value that cannot travel; the message has the path to it."""


class ValueDecodingError(ValueEncodingError):
    """Bytes that are not a valid value within the limits."""


class RecordingFormatError(ValueDecodingError):
    """Bytes that are not a recording; the message has the place and what was expected."""
