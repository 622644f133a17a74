"""The list of a server's tools, read page by page and within bounds."""

from __future__ import annotations

from mcp import ClientSession, types

from codemode.errors import ToolRegistrationError
from codemode.integrations._mcp.connections import MCPServerError
from codemode.integrations._mcp.options import ServerOptions

__all__ = ["MAX_LISTING_BYTES", "list_tools"]

MAX_LISTING_BYTES = 8 * 1024**2
_MAX_TOOLS = 1_000
_MAX_PAGES = 1_000
_SHOWN = 20
_SHOWN_CHARACTERS = 100


async def list_tools(options: ServerOptions, session: ClientSession) -> list[types.Tool]:
    """Return a server's tools, or those that ``only`` names.

    Raises MCPServerError for a list that is too long, and ToolRegistrationError for a name that
    is not in it.
    """
    only = options.only
    found: list[types.Tool] = []
    offered: list[str] = []
    size = 0
    params = None
    for _ in range(_MAX_PAGES):
        page = await session.list_tools(params=params)
        offered += [one.name[:_SHOWN_CHARACTERS] for one in page.tools[: _SHOWN - len(offered)]]
        wanted = [one for one in page.tools if only is None or one.name in only]
        found += wanted
        size += sum(len(one.model_dump_json()) for one in wanted)
        if len(found) > _MAX_TOOLS:
            raise _too_long(options, f"offers more than {_MAX_TOOLS:,} tools")
        if size > MAX_LISTING_BYTES:
            raise _too_long(options, f"lists its tools in more than {MAX_LISTING_BYTES:,} bytes")
        missing = (only or frozenset()) - {one.name for one in found}
        if only is not None and not missing:
            return found  # a list may go on without end
        if page.next_cursor is None:
            if missing:
                raise _not_offered(options, min(missing), offered)
            return found
        params = types.PaginatedRequestParams(cursor=page.next_cursor)
    raise _too_long(options, f"lists its tools on more than {_MAX_PAGES:,} pages")


def _too_long(options: ServerOptions, what: str) -> MCPServerError:
    return MCPServerError(
        f"the MCP server of {options.prefix!r} {what}; choose among them by only=[...]"
    )


def _not_offered(options: ServerOptions, name: str, offered: list[str]) -> ToolRegistrationError:
    known = ", ".join(map(repr, sorted(offered))) or "none"
    return ToolRegistrationError(
        f"only has {name!r}, which the MCP server of {options.prefix!r} does not offer; "
        f"it offers {known}"
    )
