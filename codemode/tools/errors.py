"""The exceptions of failed tool calls, in the caller's process.

CodemodeError
└── ToolError                    the call failed, in the tool's own words
    ├── ToolFailed               a direct call's tool raised; .__cause__ is the exception
    ├── ToolTimeout              a direct call did not end in time (also TimeoutError)
    └── ToolCallRefused          the tool has not run; .kind says why
        ├── InvalidArguments     the arguments do not fit the tool's signature
        ├── ToolPermissionDenied the caller may not use the tool
        └── UnknownTool          a direct call names no tool (also LookupError)
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal, get_args

from codemode.errors.base import CodemodeError

__all__ = [
    "FailureKind",
    "InvalidArguments",
    "ToolCallRefused",
    "ToolError",
    "ToolFailed",
    "ToolPermissionDenied",
    "ToolTimeout",
    "UnknownTool",
]

FailureKind = Literal[
    "error", "unknown_tool", "invalid_arguments", "permission_denied", "cancelled", "limit"
]


class ToolError(CodemodeError):
    """A failed call, explained in the tool's own words.

    The message reaches the model unchanged and is not logged as a defect. The
    executed code can catch the exception. Subclass it to give a failure its own
    type.
    """

    kind: FailureKind = "error"


class ToolFailed(ToolError):  # noqa: N818 - reads as what happened
    """A tool that raised in a direct call.

    The message is what executed code would see. ``tool`` is the tool's name,
    ``type`` the name of the exception, and ``kind`` its kind of failure. The
    exception itself is the ``__cause__``.
    """

    def __init__(self, message: str, *, tool: str, type: str, kind: FailureKind = "error") -> None:
        super().__init__(message)
        self.tool = tool
        self.type = type
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(_failed, self.tool, self.type, self.kind), self.args)


def _failed(tool: str, type: str, kind: FailureKind, message: str) -> ToolFailed:
    return ToolFailed(message, tool=tool, type=type, kind=kind)


class ToolTimeout(ToolError, TimeoutError):  # noqa: N818 - reads as what happened
    """A direct call that did not end within its ``execution_timeout``."""

    kind = "limit"


class ToolCallRefused(ToolError):  # noqa: N818 - reads as what happened
    """A call refused before the tool runs; a hook may raise it.

    ``kind`` is the kind of failure on the wire. Raises ValueError for an unknown kind.
    """

    default_kind: ClassVar[FailureKind] = "permission_denied"

    def __init__(self, message: str, kind: FailureKind | None = None) -> None:
        super().__init__(message)
        kinds = get_args(FailureKind)
        if kind is not None and kind not in kinds:
            raise ValueError(
                f"{kind!r} is not a kind of failure; expected one of {', '.join(kinds)}"
            )
        self.kind = kind or self.default_kind

    def __reduce__(self) -> tuple[type[ToolCallRefused], tuple[str, FailureKind]]:
        return (type(self), (str(self), self.kind))


class InvalidArguments(ToolCallRefused):
    """Arguments that do not fit the tool; the message has the tool's signature."""

    default_kind = "invalid_arguments"


class ToolPermissionDenied(ToolCallRefused):
    """A call of a tool that the caller may not use."""


class UnknownTool(ToolCallRefused, LookupError):  # noqa: N818 - reads as what happened
    """A call of a tool that does not exist; the message lists similar names."""

    default_kind = "unknown_tool"
