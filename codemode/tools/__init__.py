"""Tools: the functions that executed code may call, and their making from objects."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from codemode.tools.from_schema.schema_tool import tool_from_schema
from codemode.tools.tool import Tool

if TYPE_CHECKING:
    from codemode.catalogue.stubs import render_stubs

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


def __getattr__(name: str) -> Any:
    # Stubs are a catalogue's, which is built on this package: loaded on first use.
    if name == "render_stubs":
        return import_module("codemode.catalogue.stubs").render_stubs
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
