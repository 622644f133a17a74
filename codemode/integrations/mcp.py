"""MCP servers as tools: what a server offers, in the registry under one prefix."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from inspect import iscoroutinefunction
from types import MappingProxyType, TracebackType
from typing import Any, Self, Unpack

from asgiref.sync import async_to_sync

from codemode.core._dispatch.threads import off_loop, on_sync_thread
from codemode.core.codemode import Codemode
from codemode.core.context import RuntimeContext, get_current_context
from codemode.core.registry import ComponentRegistry
from codemode.errors import ConfigurationError, ToolRegistrationError
from codemode.tools import Tool, ToolError

try:
    from mcp import ClientSession, MCPError, StdioServerParameters, types
except ImportError as error:
    raise ImportError(
        f"{error}; MCP servers need the extra: pip install django-codemode[mcp]", name=error.name
    ) from error

from codemode.integrations._mcp.connections import Connections, MCPServerError
from codemode.integrations._mcp.http import UNKNOWN_OUTCOME
from codemode.integrations._mcp.listing import list_tools
from codemode.integrations._mcp.options import (
    Headers,
    HeadersOf,
    MCPOptions,
    ServerOptions,
    checked_headers,
    options_for,
)
from codemode.integrations._mcp.tools import Answer, Found, arguments_of, value_of

__all__ = [
    "HeadersOf",
    "MCPOptions",
    "MCPServerError",
    "MCPTools",
    "register_mcp",
    "register_mcp_async",
]

logger = logging.getLogger("codemode.integrations")

_UNKNOWN = "the call may have had an effect; it has not been repeated"


def register_mcp(
    codemode: Codemode | ComponentRegistry,
    prefix: str,
    server: str | StdioServerParameters,
    **options: Unpack[MCPOptions],
) -> MCPTools:
    """Register the tools of an MCP server as ``prefix.name``, and return the handle to them.

    ``server`` is the URL of a server that speaks streamable HTTP, or the SDK's
    StdioServerParameters of a command. The command gets a few variables of this
    process's environment, such as ``PATH``, and those of its ``env``. The
    options are those of MCPOptions.

    The server is asked for its tools here, in the current context, and again
    only by ``MCPTools.refresh``. A tool that cannot be registered is skipped,
    with a warning in the log, unless ``only`` names it. Raises
    ConfigurationError for a wrong option, MCPServerError where the server does
    not answer, and ToolRegistrationError for names that are taken.
    """
    handle = _handle(codemode, prefix, server, options)
    try:
        handle.refresh()
        # A process that is going to fork, such as a server's main process, keeps no thread.
        handle.disconnect()
    except BaseException:
        handle.close()
        raise
    return handle


async def register_mcp_async(
    codemode: Codemode | ComponentRegistry,
    prefix: str,
    server: str | StdioServerParameters,
    **options: Unpack[MCPOptions],
) -> MCPTools:
    """Register the tools of an MCP server from a task; otherwise like ``register_mcp``."""
    handle = _handle(codemode, prefix, server, options)
    try:
        await handle.refresh_async()
        await off_loop(handle.disconnect)
    except BaseException:
        await off_loop(handle.close)
        raise
    return handle


class MCPTools:
    """The registered tools of one MCP server, and the connections to it.

    Made by ``register_mcp``. Use it in a ``with`` or ``async with`` block, or
    call ``close()``; else it is closed when the process ends.
    """

    def __init__(self, registry: ComponentRegistry, options: ServerOptions) -> None:
        self._registry = registry
        self._options = options
        self._connections = Connections(options)
        self._lock = threading.Lock()
        self._found = Found()
        self._closed = False

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The records of the registered tools, by name."""
        return MappingProxyType(self._found.tools)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Why tools could not be registered, by the server's names of them."""
        return MappingProxyType(self._found.skipped)

    def refresh(self) -> None:
        """Ask the server for its tools again, and replace those that are registered.

        A server's tools never change otherwise. Raises what ``register_mcp``
        raises; the registered tools then stay as they were.
        """
        headers = self._options.headers
        if callable(headers):
            context = get_current_context() or RuntimeContext()
            function = async_to_sync(headers) if iscoroutinefunction(headers) else headers
            headers = checked_headers(function(context))
        self._replace(headers)

    async def refresh_async(self) -> None:
        """Ask the server again from a task; otherwise like ``refresh``."""
        await off_loop(self._replace, await self._current_headers())

    def _replace(self, headers: Headers) -> None:
        options = self._options
        ends = time.monotonic() + options.timeout
        found = Found()
        for one in self._listed(headers):
            if time.monotonic() > ends:
                raise MCPServerError(
                    f"the tools of the MCP server of {options.prefix!r} were not read within "
                    f"timeout={options.timeout:g} s; choose among them by only=[...]"
                )
            found.add(options, one, self._function)
        with self._lock:
            if self._closed:
                raise ToolRegistrationError(f"the tools of {options.prefix!r} have been closed")
            self._registry.replace_tools(self._found.tools.values(), found.tools.values())
            self._found = found
        for name, reason in found.skipped.items():
            logger.warning(
                "The tool %.100r of the MCP server of %s is skipped: %s",
                name,
                options.prefix,
                reason,
            )

    def disconnect(self) -> None:
        """End the connections and their thread; the next call starts them again."""
        self._connections.disconnect()

    def close(self) -> None:
        """Remove the tools from the registry, and end the connections. Idempotent.

        Calls that are waiting for an answer raise ToolError.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._registry.replace_tools(self._found.tools.values(), ())
        self._connections.close()

    async def close_async(self) -> None:
        """Close from a task. Idempotent."""
        await off_loop(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close_async()

    def _listed(self, headers: Headers) -> list[types.Tool]:
        options = self._options
        request = self._connections.request(headers, partial(list_tools, options))
        try:
            return request.result(options.timeout)
        except TimeoutError:
            request.cancel()
            reason = f"it did not list them within timeout={options.timeout:g} s"
        except ToolRegistrationError:
            raise
        except MCPError as error:
            reason = str(error)[:500]
            if error.code == types.REQUEST_TIMEOUT:
                timeout = f"timeout={options.timeout:g} s"
                reason = f"one page of them did not come within a third of {timeout}"
        except ValueError as error:  # pydantic's
            reason = f"it does not answer as MCP says ({str(error)[:500]})"
        raise MCPServerError(f"the MCP server of {options.prefix!r} gave no tools: {reason}")

    def _function(self, name: str, servers_name: str, wrapped: bool) -> Callable[..., Any]:
        async def call(**arguments: Any) -> Any:
            return await self._call(name, servers_name, arguments, wrapped=wrapped)

        call.__qualname__ = f"register_mcp({self._options.prefix!r})"
        return call

    async def _call(
        self, name: str, servers_name: str, arguments: Mapping[str, Any], *, wrapped: bool
    ) -> Any:
        headers = await self._current_headers()
        params = types.CallToolRequestParams(
            name=servers_name, arguments=arguments_of(name, arguments)
        )
        ask = partial(_call_tool, types.CallToolRequest(params=params), self._options.timeout)
        try:
            answer = await asyncio.wrap_future(self._connections.request(headers, ask))
        except MCPServerError as error:
            logger.warning("%s was not called: %s", name, error)
            raise ToolError(
                f"{name} was not called: its MCP server cannot be reached at the moment"
            ) from error
        except MCPError as error:
            raise _failed(name, error, self._options.timeout) from error
        except ValueError as error:  # pydantic's
            raise ToolError(
                f"{name}: the MCP server's answer is not a valid one; {_UNKNOWN}"
            ) from error
        return value_of(name, answer, wrapped=wrapped)

    async def _current_headers(self) -> Headers:
        headers = self._options.headers
        if not callable(headers):
            return headers
        context = get_current_context() or RuntimeContext()
        if iscoroutinefunction(headers):
            return checked_headers(await headers(context))
        return checked_headers(await on_sync_thread(headers, context))


def _handle(
    codemode: Codemode | ComponentRegistry, prefix: str, server: Any, options: MCPOptions
) -> MCPTools:
    registry = codemode.registry if isinstance(codemode, Codemode) else codemode
    if not isinstance(registry, ComponentRegistry):
        raise ConfigurationError(
            f"codemode is a {type(registry).__name__}; expected a Codemode or a ComponentRegistry"
        )
    return MCPTools(registry, options_for(prefix, server, **options))


async def _call_tool(
    request: types.CallToolRequest, timeout: float, session: ClientSession
) -> types.CallToolResult | types.InputRequiredResult:
    # Not session.call_tool(): it checks the answer against the server's schema, in whose
    # patterns a server may hide hours of work for Python's regular expressions.
    return await session.send_request(request, Answer, request_read_timeout_seconds=timeout)


def _failed(name: str, error: MCPError, timeout: float) -> ToolError:
    match error.code:
        case types.REQUEST_TIMEOUT:
            return ToolError(
                f"{name}: the MCP server did not answer within {timeout:g} s; the call has been "
                "cancelled, and may have had an effect"
            )
        case types.CONNECTION_CLOSED:
            reason = str(error)[:200]
            return ToolError(
                f"{name}: the connection to the MCP server was lost during the call ({reason}), "
                "which may have had an effect; it has not been repeated"
            )
    text = f"{name}: {str(error)[:4000]}"
    if error.code in (types.PARSE_ERROR, UNKNOWN_OUTCOME):
        text += f"; {_UNKNOWN}"
    return ToolError(text)
