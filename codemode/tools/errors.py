"""The exceptions of failed tool calls, in the caller's process.

CodemodeError
└── ToolError                    the call failed, in the tool's own words
    └── ToolCallRefused          the tool has not run; .kind says why
        ├── InvalidArguments     the arguments do not fit the tool's signature
        └── ToolPermissionDenied the caller may not use the tool
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from codemode.errors.base import CodemodeError

__all__ = [
    "FailureKind",
    "InvalidArguments",
    "ToolCallRefused",
    "ToolError",
    "ToolPermissionDenied",
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
