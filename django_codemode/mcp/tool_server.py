"""The tools of an MCP server: one that executes code, two that explain, and plain ones by choice.

The protocol is that of the official SDK, whose low-level server asks for the
tools of each request. Who asks is the RuntimeContext of the current task.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async

from codemode import __version__
from codemode._suggestions import did_you_mean
from codemode.catalogue import catalogue_of
from codemode.core._dispatch.lookups import Lookups
from codemode.core._dispatch.threads import off_loop
from codemode.core.codemode import Codemode
from codemode.core.events import Event, ProgressReported
from codemode.core.result import ExecutionResult
from codemode.integrations._framework_tools import CODE_SCHEMA, CodeExecution
from codemode.tools import Tool, ToolError
from codemode.values import decode, encode
from codemode.values.shortening import cut, shorten
from codemode.wire.constants import SEARCH
from django_codemode._requests.rates import count_execution
from django_codemode.conf import get_settings
from django_codemode.mcp.answers import (
    OUTCOME_SCHEMA,
    VALUE_SCHEMA,
    effects_of,
    outcome_as_json,
    value_as_json,
)
from django_codemode.mcp.in_flight import CALLER, InFlight
from django_codemode.mcp.offer import DESCRIBE_TOOL, EXECUTE_CODE, SEARCH_TOOLS, Offer
from django_codemode.payload import tool_as_json
from django_codemode.shared import get_codemode

# After in_flight, whose error says what to install.
from django_codemode.mcp.content import content_of  # isort: skip
from mcp.server import Server  # isort: skip
from mcp.server.context import ServerRequestContext  # isort: skip
from mcp.shared.exceptions import MCPError  # isort: skip
from mcp_types import (  # isort: skip
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ListedTool  # isort: skip

__all__ = ["make_server"]

_LOOKUP_BYTES = 1024 * 1024
_NOTE_CHARACTERS = 500
_LOOKS_ONLY = {
    "read_only_hint": True,
    "destructive_hint": False,
    "idempotent_hint": True,
    "open_world_hint": False,
}
_SEARCH_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "Plain words, such as: refund an order."},
        "limit": {"type": "integer", "minimum": 1, "description": "Namespaces to find; 5."},
    },
    "required": ["query"],
    "additionalProperties": False,
}
_FOUND_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "tools": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    name: {"type": "string"} for name in ("name", "signature", "description")
                },
                "required": ["name", "signature", "description"],
            },
        }
    },
    "required": ["tools"],
}
_DESCRIBE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "description": "Such as orders.get."}},
    "required": ["name"],
    "additionalProperties": False,
}
_DESCRIBED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "signature": {"type": "string"},
        "description": {"type": "string"},
        "parameters": {"type": "object"},
        "returns": {"type": "object"},
    },
    "required": ["name", "signature", "description", "parameters", "returns"],
}


def make_server(offer: Offer) -> Server[Any]:
    """Return a server of the SDK for these tools, which serves any number of callers."""
    in_flight = InFlight()
    server: Server[Any] = Server(
        "django-codemode",
        version=__version__,
        # No schema here binds an argument to an HTTP header. Without this, the SDK would make
        # the whole list of tools for each call, to look.
        get_tool_input_schema=lambda _name: None,
        on_list_tools=partial(_list_tools, offer, in_flight),
        on_call_tool=partial(_call_tool, offer, in_flight),
    )
    server.middleware.append(in_flight.cancel)
    return server


async def _list_tools(
    offer: Offer,
    in_flight: InFlight,
    ctx: ServerRequestContext[Any],
    params: PaginatedRequestParams | None,
) -> ListToolsResult:
    async def listed() -> ListToolsResult:
        chosen, codemode = offer.by_setting(), get_codemode()
        permitted = await codemode.permitted_tools_async(chosen.tools)
        plain = await codemode.permitted_tools_async(chosen.select_plain(codemode.registry))
        tools = [
            await _execute_tool(codemode, chosen, permitted),
            _listed(SEARCH_TOOLS, _SEARCH_TEXT, _SEARCH_SCHEMA, _FOUND_SCHEMA, _LOOKS_ONLY),
            _listed(
                DESCRIBE_TOOL, _DESCRIBE_TEXT, _DESCRIBE_SCHEMA, _DESCRIBED_SCHEMA, _LOOKS_ONLY
            ),
            *(
                _listed(
                    name,
                    tool.description or f"Call {name}.",
                    tool.input_schema,
                    VALUE_SCHEMA,
                    effects_of(tool),
                )
                for name, tool in sorted(plain.items())
            ),
        ]
        # Another caller's list is another: no cache may share it.
        return ListToolsResult(tools=tools, ttl_ms=0, cache_scope="private")

    return await in_flight.finish(ctx, listed())


async def _call_tool(
    offer: Offer,
    in_flight: InFlight,
    ctx: ServerRequestContext[Any],
    params: CallToolRequestParams,
) -> CallToolResult:
    arguments = params.arguments or {}

    async def called() -> CallToolResult:
        chosen, codemode = offer.by_setting(), get_codemode()
        if params.name == SEARCH_TOOLS:
            return await _search(codemode, chosen, arguments)
        if params.name == DESCRIBE_TOOL:
            return await _describe(codemode, chosen, arguments)
        if params.name == EXECUTE_CODE:
            await _count(ctx)
            return await _execute(codemode, chosen, arguments, _reporter(ctx))
        plain = await codemode.permitted_tools_async(chosen.select_plain(codemode.registry))
        if params.name not in plain:
            shown = cut(params.name, 100)
            hint = did_you_mean(shown, [EXECUTE_CODE, SEARCH_TOOLS, DESCRIBE_TOOL, *plain])
            raise MCPError(code=INVALID_PARAMS, message=f"{shown!r} is not a tool{hint}")
        await _count(ctx)
        return await _call_plain_tool(codemode, params.name, arguments)

    return await in_flight.finish(ctx, called())


async def _execute(
    codemode: Codemode,
    offer: Offer,
    arguments: Mapping[str, Any],
    report: Callable[[Event], Awaitable[None]] | None,
) -> CallToolResult:
    if (wrong := _wrong_arguments(arguments, CODE_SCHEMA)) is not None:
        return _failure(wrong)
    execution = CodeExecution(codemode, available_tools=offer.tools)
    answer = await execution.execute(arguments["code"], on_event=report)
    if answer.result is None:
        return _failure(answer.text)
    files = await off_loop(content_of, answer.result) if answer.result.artifacts else []
    return CallToolResult(
        content=[TextContent(text=answer.text), *files],
        structured_content=await off_loop(outcome_as_json, answer.result),
        is_error=answer.failed,
    )


async def _call_plain_tool(
    codemode: Codemode, name: str, arguments: Mapping[str, Any]
) -> CallToolResult:
    try:
        value = await codemode.call_tool_async(name, arguments, available_tools=[name])
    except ToolError as error:
        return _failure(str(error))
    outcome = ExecutionResult(status="completed", execution_id="", value=value)
    return CallToolResult(
        content=[TextContent(text=await off_loop(outcome.for_model))],
        structured_content=await off_loop(value_as_json, value),
    )


async def _search(codemode: Codemode, offer: Offer, arguments: Mapping[str, Any]) -> CallToolResult:
    if (wrong := _wrong_arguments(arguments, _SEARCH_SCHEMA)) is not None:
        return _failure(wrong)
    registry = codemode.registry
    tools = offer.select(registry)
    permitted = await codemode.permitted_tools_async(offer.tools)
    # The answer of tools.search() in code, with the same bounds and the project's own search.
    lookups = Lookups(
        lambda: registry.listing(tools, permitted),
        extensions=registry.extensions,
        max_value_bytes=_LOOKUP_BYTES,
    )
    asked = {"text": arguments["query"]} | {
        name: value for name, value in arguments.items() if name == "limit"
    }
    outcome = await lookups.answer_in_async_half(SEARCH, encode(asked))
    if outcome.failure is not None:
        return _failure(outcome.failure.message)
    found = decode(outcome.value or b"", max_bytes=_LOOKUP_BYTES)
    text = "\n".join(
        f"{one['signature']}" + (f"\n    {one['description']}" if one["description"] else "")
        for one in found
    )
    return CallToolResult(
        content=[TextContent(text=text or "No tool fits these words.")],
        structured_content={"tools": found},
    )


async def _describe(
    codemode: Codemode, offer: Offer, arguments: Mapping[str, Any]
) -> CallToolResult:
    if (wrong := _wrong_arguments(arguments, _DESCRIBE_SCHEMA)) is not None:
        return _failure(wrong)
    name = cut(arguments["name"], 200)
    permitted = await codemode.permitted_tools_async(offer.tools)
    if (tool := permitted.get(name)) is None:
        return _failure(f"{name!r} is not a tool{did_you_mean(name, permitted)}")
    catalogue = await off_loop(catalogue_of, {name: tool})
    return CallToolResult(
        content=[TextContent(text=catalogue.text)],
        structured_content=await off_loop(tool_as_json, tool),
    )


async def _execute_tool(
    codemode: Codemode, offer: Offer, permitted: Mapping[str, Tool]
) -> ListedTool:
    execution = CodeExecution(codemode, available_tools=offer.tools, max_tokens=offer.max_tokens)
    description = await execution.describe_async()
    hints = effects_of(*permitted.values())
    return _listed(EXECUTE_CODE, description, CODE_SCHEMA, OUTCOME_SCHEMA, hints)


_SEARCH_TEXT = "Find the tools that code of execute_code may call, by plain words."
_DESCRIBE_TEXT = "Describe one tool that code may call: signature, types, what it does."


def _listed(
    name: str,
    description: str,
    input_schema: dict[str, Any],
    output_schema: dict[str, Any],
    hints: Mapping[str, bool],
) -> ListedTool:
    return ListedTool(
        name=name,
        description=description,
        input_schema=input_schema,
        output_schema=output_schema,
        annotations=ToolAnnotations(**hints),
    )


def _wrong_arguments(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the arguments of a tool of the server itself, or None."""
    known = schema["properties"]
    if unknown := arguments.keys() - known.keys():
        name = min(unknown)
        return f"there is no argument {shorten(name)}{did_you_mean(cut(name, 100), known)}"
    for name in schema["required"]:
        if not isinstance(arguments.get(name), str):
            given = shorten(arguments[name]) if name in arguments else "missing"
            return f"the argument {name!r} is {given}; expected a string"
        try:
            arguments[name].encode()
        except UnicodeEncodeError as error:
            return f"{name!r} has half of a surrogate pair at {error.start}; expected Unicode text"
    return None


def _failure(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _reporter(ctx: ServerRequestContext[Any]) -> Callable[[Event], Awaitable[None]] | None:
    """Return what passes the code's progress on; None if the client has not asked for it."""
    if ctx.meta is None or "progress_token" not in ctx.meta:
        return None
    last = -math.inf

    async def report(event: Event) -> None:
        nonlocal last
        # The protocol wants numbers that increase; code may report any.
        if not isinstance(event, ProgressReported) or not last < event.done < math.inf:
            return
        last = event.done
        total = event.total if event.total is not None and math.isfinite(event.total) else None
        note = cut(event.note, _NOTE_CHARACTERS) or None
        await ctx.session.report_progress(event.done, total, note)

    return report


async def _count(ctx: ServerRequestContext[Any]) -> None:
    """Count a call of a client by HTTP, by the rate limit. Raises RefusalError."""
    if ctx.request is not None and (rate := get_settings().rate_limit) is not None:
        await sync_to_async(count_execution)(ctx.request.scope[CALLER], rate)
