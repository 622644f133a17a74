"""Tools: what a model's code may call, and how an object becomes one."""

from __future__ import annotations

from codemode.catalogue.stubs import render_stubs
from codemode.tools.build import make_tool
from codemode.tools.decorator import tool
from codemode.tools.errors import (
    InvalidArguments,
    ToolCallRefused,
    ToolError,
    ToolPermissionDenied,
)
from codemode.tools.tool import Tool

__all__ = [
    "InvalidArguments",
    "Tool",
    "ToolCallRefused",
    "ToolError",
    "ToolPermissionDenied",
    "make_tool",
    "render_stubs",
    "tool",
]
