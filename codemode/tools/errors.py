"""Why a tool call failed, as exceptions on the host's side.

CodemodeError
└── ToolError                    a tool says something to the model in its own words
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
    """Tell the executed code, in words of the tool, why a call failed.

    The message reaches the model as it is and is not logged as a defect; the
    code can catch it. Derive from it to give the failure a type of its own.
    """

    kind: FailureKind = "error"


class ToolCallRefused(ToolError):  # noqa: N818 - reads as what happened
    """Refuse a call before the tool runs; a hook may raise it.

    ``kind`` is the kind of failure on the wire. Raises ValueError for an unknown kind.
    """

    default_kind: ClassVar[FailureKind] = "permission_denied"

    def __init__(self, message: str, kind: FailureKind | None = None) -> None:
        super().__init__(message)
        if kind is not None and kind not in get_args(FailureKind):
            raise ValueError(f"{kind!r} is no kind of failure; expected one of {FailureKind}")
        self.kind = kind or self.default_kind

    def __reduce__(self) -> tuple[type[ToolCallRefused], tuple[str, FailureKind]]:
        return (type(self), (str(self), self.kind))


class InvalidArguments(ToolCallRefused):
    """Tell that the arguments of a call do not fit; the message has the tool's signature."""

    default_kind = "invalid_arguments"


class ToolPermissionDenied(ToolCallRefused):
    """Tell that the caller may not use the tool."""
