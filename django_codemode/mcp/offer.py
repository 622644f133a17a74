"""What an MCP server offers of the project's tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codemode.core.registry import ComponentRegistry
from codemode.errors import ConfigurationError
from codemode.tools import Tool
from django_codemode.conf import get_settings

__all__ = ["DESCRIBE_TOOL", "EXECUTE_CODE", "SEARCH_TOOLS", "Offer"]

EXECUTE_CODE, SEARCH_TOOLS, DESCRIBE_TOOL = "execute_code", "search_tools", "describe_tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The tools that an MCP server offers, within the permissions of its callers.

    ``tools`` are those that code may call. ``plain_tools`` are also in the list
    of MCP. ``max_tokens`` is the budget of the description of ``execute_code``.
    """

    tools: list[str] | None = None
    plain_tools: list[str] | None = None
    max_tokens: int | None = None

    def by_setting(self) -> Offer:
        """Return the offer with what the setting has for whatever is None."""
        settings = get_settings()
        return Offer(
            tools=settings.mcp_tools if self.tools is None else self.tools,
            plain_tools=settings.mcp_plain_tools if self.plain_tools is None else self.plain_tools,
            max_tokens=settings.mcp_max_tokens if self.max_tokens is None else self.max_tokens,
        )

    def select(self, registry: ComponentRegistry) -> Mapping[str, Tool]:
        """Return the tools for code. Raises ConfigurationError for an unknown name."""
        return registry.select(self.tools)

    def select_plain(self, registry: ComponentRegistry) -> Mapping[str, Tool]:
        """Return the plain tools. Raises ConfigurationError, also for a name of the server's."""
        chosen = registry.select(self.plain_tools or [])
        for name in (EXECUTE_CODE, SEARCH_TOOLS, DESCRIBE_TOOL):
            if name in chosen:
                raise ConfigurationError(
                    f"available_tools has {name!r}, which is the name of a tool of the MCP server "
                    "itself; rename it, or leave it out"
                )
        return chosen
