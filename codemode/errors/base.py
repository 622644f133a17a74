"""Exceptions that carry no result: settings, tools, values."""

from __future__ import annotations

__all__ = [
    "CodemodeError",
    "ConfigurationError",
    "InvalidRequestError",
    "ToolRegistrationError",
    "ValueDecodingError",
    "ValueEncodingError",
]


class CodemodeError(Exception):
    """Be the root of all exceptions of this package."""


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
