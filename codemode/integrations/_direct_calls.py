"""Registered tools that a model calls directly, as the tools of every framework."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Unpack

from codemode.core.codemode import Codemode
from codemode.core.result import ExecutionResult
from codemode.errors import ConfigurationError
from codemode.integrations._framework_tools import (
    MAX_CHARS,
    Answer,
    CallOptions,
    ContextOf,
    acting,
    check_options,
    from_json,
    text_of,
)
from codemode.tools import Tool, ToolError

__all__ = ["DirectCalls", "DirectTool"]

_REFUSED = re.compile(r"[^A-Za-z0-9_-]+")


class DirectCalls:
    """The tools that a model calls directly, without code; ``context`` as for ``CodeExecution``."""

    def __init__(
        self,
        codemode: Codemode,
        context: ContextOf | None = None,
        /,
        **options: Unpack[CallOptions],
    ) -> None:
        check_options(options, CallOptions)
        self.codemode = codemode
        self._context = context
        self._execution_timeout = options.get("execution_timeout")
        self._max_chars = options.get("max_chars", MAX_CHARS)

    def tools(
        self, names: Iterable[str] | None = None, *, dotted: bool = False
    ) -> list[DirectTool]:
        """Return the tools that the current context may call, of those that are named.

        Their names have an underscore for each dot and each other character that
        models' providers refuse, unless ``dotted``. Raises ConfigurationError for a
        name that is not registered, and for two tools that would have one name.
        """
        return self._named(self.codemode.permitted_tools(names), dotted=dotted)

    async def tools_async(
        self, names: Iterable[str] | None = None, *, dotted: bool = False
    ) -> list[DirectTool]:
        """Return these tools from a task; otherwise like ``tools``."""
        return self._named(await self.codemode.permitted_tools_async(names), dotted=dotted)

    async def call(self, name: str, arguments: Any, ctx: Any = None) -> Answer:
        """Call a tool; ``arguments`` may be a mapping or the JSON of one."""
        if isinstance(arguments, str):
            arguments = from_json(arguments) if arguments.strip() else {}
            if isinstance(arguments, Answer):
                return arguments
        try:
            with acting(self.codemode, self._context, ctx):
                value = await self.codemode.call_tool_async(
                    name,
                    arguments,
                    available_tools=[name],
                    execution_timeout=self._execution_timeout,
                )
        except ToolError as error:
            return Answer(text=str(error), failed=True)
        outcome = ExecutionResult(status="completed", execution_id="", value=value)
        return Answer(text=await text_of(outcome, self._max_chars))

    def _named(self, tools: Mapping[str, Tool], *, dotted: bool) -> list[DirectTool]:
        found: dict[str, DirectTool] = {}
        for name in sorted(tools):
            short = name if dotted else _REFUSED.sub("_", name)[:64]
            if (other := found.get(short)) is not None:
                raise ConfigurationError(
                    f"the tools {other.record.name!r} and {name!r} would both be {short!r} for "
                    "the model; offer one of them, or rename one"
                )
            found[short] = DirectTool(self, tools[name], short)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class DirectTool:
    """One registered tool, under a name that the framework accepts."""

    calls: DirectCalls
    record: Tool
    name: str

    @property
    def description(self) -> str:
        """The description, which says of a tool without one what it is."""
        return self.record.description or f"Call {self.record.name}."

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return self.record.input_schema

    async def call(self, arguments: Any, ctx: Any = None) -> Answer:
        """Call the tool, as ``DirectCalls.call`` does."""
        return await self.calls.call(self.record.name, arguments, ctx)
