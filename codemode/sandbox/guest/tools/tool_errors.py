"""The exceptions that a failed tool call raises in the code.

    ToolError
    ├── UnknownToolError        there is no such tool (also LookupError)
    ├── InvalidArgumentsError   the tool does not take these arguments (also TypeError)
    └── PermissionDeniedError   the caller may not use this tool (also PermissionError)

The executed code has these names without an import.
"""

from __future__ import annotations

__all__ = [
    "TOOL_ERRORS",
    "InvalidArgumentsError",
    "PermissionDeniedError",
    "ToolError",
    "UnknownToolError",
    "failure_of",
]


class ToolError(Exception):
    """Failure of a tool call.

    ``tool`` is the tool's name; ``kind`` is ``error``, ``unknown_tool``,
    ``invalid_arguments``, ``permission_denied``, ``cancelled`` or ``limit``;
    ``type`` is the name of the exception that the tool raised, or "".
    """

    def __init__(
        self, message: str = "", *, tool: str = "", kind: str = "error", type: str = ""
    ) -> None:
        super().__init__(message)
        self.tool = tool
        self.kind = kind
        self.type = type

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class UnknownToolError(ToolError, LookupError):
    """Call of a tool that does not exist; the message lists similar names."""


class InvalidArgumentsError(ToolError, TypeError):
    """Call with arguments that the tool does not take; the message shows its signature."""


class PermissionDeniedError(ToolError, PermissionError):
    """Call of a tool that the user of this run may not use."""


TOOL_ERRORS = (ToolError, UnknownToolError, InvalidArgumentsError, PermissionDeniedError)

_BY_KIND: dict[str, type[ToolError]] = {
    "unknown_tool": UnknownToolError,
    "invalid_arguments": InvalidArgumentsError,
    "permission_denied": PermissionDeniedError,
}

for _error in TOOL_ERRORS:
    # The model reads their tracebacks and knows these classes by their plain names.
    _error.__module__ = "builtins"


def failure_of(tool: str, signature: str, kind: str, type: str, message: str) -> ToolError:
    """Return the exception for a failure that the host reported."""
    error = _BY_KIND.get(kind, ToolError)
    if error is ToolError and type and type not in {"ToolError", error.__name__}:
        text = f"{tool} raised {type}: {message}" if message else f"{tool} raised {type}"
    elif tool in message:
        text = message
    else:
        text = f"{tool}: {message}" if message else f"{tool} failed ({kind})"
    if error is InvalidArgumentsError and signature not in text:
        text = f"{text}. The signature is {signature}"
    return error(text, tool=tool, kind=kind, type=type)
