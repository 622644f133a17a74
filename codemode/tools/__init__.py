"""Tools: the functions that executed code may call, and their making from objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codemode._lazy import lazy_names
from codemode.tools.build import make_tool
from codemode.tools.decorator import tool
from codemode.tools.errors import (
    InvalidArguments,
    ToolCallRefused,
    ToolError,
    ToolFailed,
    ToolPermissionDenied,
    ToolTimeout,
    UnknownTool,
)
from codemode.tools.tool import Tool

if TYPE_CHECKING:
    from codemode.catalogue.stubs import render_stubs
    from codemode.tools.from_schema.schema_tool import tool_from_schema

# Many processes need neither. Besides, stubs are of the catalogue, which is built on this package.
__getattr__ = lazy_names(
    __name__,
    {
        "codemode.catalogue.stubs": ("render_stubs",),
        "codemode.tools.from_schema.schema_tool": ("tool_from_schema",),
    },
)

__all__ = [
    "InvalidArguments",
    "Tool",
    "ToolCallRefused",
    "ToolError",
    "ToolFailed",
    "ToolPermissionDenied",
    "ToolTimeout",
    "UnknownTool",
    "make_tool",
    "render_stubs",
    "tool",
    "tool_from_schema",
]
