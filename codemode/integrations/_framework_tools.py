"""What the tools of every framework do: execute code, or call one tool, and answer the model.

An adapter gives a framework what it wants to know of a tool, and passes the
answers on. It is built on the async half: frameworks call sync tools in threads
of their own, away from the caller's transaction.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from codemode.core.codemode import Codemode
from codemode.core.events import Event, ExecutionCompleted
from codemode.core.result import ExecutionResult
from codemode.errors import (
    ConfigurationError,
    ExecutorBusyError,
    ExecutorClientError,
    InvalidRequestError,
)
from codemode.tools import Tool, ToolError

__all__ = [
    "CODE_SCHEMA",
    "Answer",
    "CodeExecution",
    "CodeOptions",
    "ContextOf",
    "DirectTool",
    "acting",
    "direct_tools",
    "direct_tools_async",
]

logger = logging.getLogger("codemode.integrations")

ContextOf = Callable[[Any], Mapping[str, Any]]
"""Returns the variables of the RuntimeContext for the context object of a framework."""

CODE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "The Python program."}},
    "required": ["code"],
    "additionalProperties": False,
}
"""JSON Schema of the arguments of a tool that executes code."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")


class CodeOptions(TypedDict, total=False):
    """The options of ``code_tool``, the same for each framework.

    ``name`` is that of the tool ("execute_code"), ``description`` its whole
    description (that of ``Codemode.instructions``, within ``max_tokens``).
    ``available_tools``, ``execution_timeout`` (seconds) and ``profile`` are those
    of ``Codemode.run``. The model reads at most ``max_chars`` characters of an
    outcome (20,000). ``on_event`` gets each event of an execution as it happens;
    it may be async.
    """

    name: str
    description: str | None
    max_tokens: int | None
    available_tools: Iterable[str] | None
    execution_timeout: float | None
    profile: str | None
    max_chars: int
    on_event: Callable[[Event], Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model reads of a call, and whether the call failed.

    ``result`` is the outcome of executed code, None where nothing was executed.
    """

    text: str
    failed: bool = False
    result: ExecutionResult | None = None


class CodeExecution:
    """One tool that executes code."""

    def __init__(self, codemode: Codemode, **options: Unpack[CodeOptions]) -> None:
        unknown = options.keys() - CodeOptions.__annotations__.keys()
        if unknown:
            known = ", ".join(sorted(CodeOptions.__annotations__))
            raise ConfigurationError(f"{min(unknown)!r} is not an option; there are: {known}")
        self.name = _checked_name(options.get("name", "execute_code"))
        self._codemode = codemode
        self._description = options.get("description")
        self._max_tokens = options.get("max_tokens")
        tools = options.get("available_tools")
        self._available_tools = None if tools is None else list(tools)
        self._execution_timeout = options.get("execution_timeout")
        self._profile = options.get("profile")
        self._max_chars = options.get("max_chars", 20_000)
        self._on_event = options.get("on_event")

    def describe(self) -> str:
        """Return the description, for the current context."""
        if self._description is not None:
            return self._description
        return self._codemode.instructions(self._available_tools, max_tokens=self._max_tokens)

    async def describe_async(self) -> str:
        """Return the description from a task."""
        if self._description is not None:
            return self._description
        return await self._codemode.instructions_async(
            self._available_tools, max_tokens=self._max_tokens
        )

    async def execute(self, code: Any, *, on_event: Callable[[Event], Any] | None = None) -> Answer:
        """Execute code in the current context; whatever becomes of it, the answer is a text.

        ``on_event`` is the framework's own listener, called before that of the
        options. Raises ConfigurationError for wrong options.
        """
        if not isinstance(code, str):
            return Answer(text=f"code is a {type(code).__name__}; send a program", failed=True)
        listeners = [one for one in (on_event, self._on_event) if one is not None]
        try:
            result = await self._run(code, listeners)
        except InvalidRequestError as error:
            return Answer(text=f"The code cannot be sent: {error}", failed=True)
        except ExecutorClientError as error:
            logger.exception("The code of a model was not executed to its end")
            return self._of_error(error)
        return Answer(text=result.for_model(self._max_chars), failed=not result.ok, result=result)

    async def execute_arguments(self, arguments: str) -> Answer:
        """Execute the code in the JSON of a call's arguments, as ``execute`` does."""
        decoded = _decoded(arguments)
        if isinstance(decoded, Answer):
            return decoded
        if not isinstance(decoded, dict) or "code" not in decoded:
            return Answer(text='The arguments have no code; send {"code": "…"}', failed=True)
        return await self.execute(decoded["code"])

    async def _run(self, code: str, listeners: list[Callable[[Event], Any]]) -> ExecutionResult:
        if not listeners:
            return await self._codemode.run_async(
                code,
                available_tools=self._available_tools,
                execution_timeout=self._execution_timeout,
                profile=self._profile,
            )
        stream = self._codemode.stream(
            code,
            available_tools=self._available_tools,
            execution_timeout=self._execution_timeout,
            profile=self._profile,
        )
        async with stream as events:
            async for event in events:
                for listener in listeners:
                    done = listener(event)
                    if inspect.isawaitable(done):
                        await done
                if isinstance(event, ExecutionCompleted):
                    return event.result
        raise AssertionError("a stream ends with ExecutionCompleted")

    def _of_error(self, error: ExecutorClientError) -> Answer:
        """Return what a model may know: not where the executor is, and what had been called."""
        if isinstance(error, ExecutorBusyError):
            seconds = f" in {error.retry_after:.0f} s" if error.retry_after else " later"
            text = f"No sandbox is free, so nothing has been executed. Try again{seconds}."
        elif error.result is None:
            text = "The code cannot be executed at the moment: nothing has been executed."
        else:
            text = error.result.for_model(self._max_chars)
        return Answer(text=text, failed=True, result=error.result)


class DirectTool:
    """One registered tool, under a name that every framework accepts."""

    def __init__(self, codemode: Codemode, record: Tool, name: str, options: _CallOptions) -> None:
        self._codemode = codemode
        self._options = options
        self.record = record
        self.name = name

    @property
    def description(self) -> str:
        """The description, which says of a tool without one what it is."""
        return self.record.description or f"Call {self.record.name}."

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return self.record.input_schema

    async def call(self, arguments: Any) -> Answer:
        """Call the tool in the current context; arguments may be a mapping or the JSON of one."""
        if isinstance(arguments, str):
            arguments = _decoded(arguments) if arguments.strip() else {}
            if isinstance(arguments, Answer):
                return arguments
        try:
            value = await self._codemode.call_tool_async(
                self.record.name,
                arguments,
                available_tools=[self.record.name],
                execution_timeout=self._options.execution_timeout,
            )
        except ToolError as error:
            return Answer(text=str(error), failed=True)
        outcome = ExecutionResult(status="completed", execution_id="", value=value)
        return Answer(text=outcome.for_model(self._options.max_chars))


@dataclass(frozen=True, slots=True)
class _CallOptions:
    execution_timeout: float | None
    max_chars: int


def direct_tools(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    execution_timeout: float | None = None,
    max_chars: int = 20_000,
    dotted: bool = False,
) -> list[DirectTool]:
    """Return the tools that the current context may call, of those that are named.

    Their names have an underscore for each dot and each other character that
    models' providers refuse, unless ``dotted``. Raises ConfigurationError for a
    name that is not registered, and for two tools that would have one name.
    """
    permitted = codemode.permitted_tools(names)
    options = _CallOptions(execution_timeout, max_chars)
    return _direct_tools(codemode, permitted, options, dotted=dotted)


async def direct_tools_async(
    codemode: Codemode,
    names: Iterable[str] | None = None,
    *,
    execution_timeout: float | None = None,
    max_chars: int = 20_000,
    dotted: bool = False,
) -> list[DirectTool]:
    """Return them from a task; otherwise like ``direct_tools``."""
    permitted = await codemode.permitted_tools_async(names)
    options = _CallOptions(execution_timeout, max_chars)
    return _direct_tools(codemode, permitted, options, dotted=dotted)


def _direct_tools(
    codemode: Codemode, tools: Mapping[str, Tool], options: _CallOptions, *, dotted: bool
) -> list[DirectTool]:
    found: dict[str, DirectTool] = {}
    for name in sorted(tools):
        short = name if dotted else _OTHERS.sub("_", name)[:64]
        if (other := found.get(short)) is not None:
            raise ConfigurationError(
                f"the tools {other.record.name!r} and {name!r} would both be {short!r} for the "
                "model; offer one of them, or rename one"
            )
        found[short] = DirectTool(codemode, tools[name], short, options)
    return list(found.values())


@contextmanager
def acting(codemode: Codemode, context: ContextOf | None, of: Any) -> Iterator[None]:
    """Add what ``context`` returns for a framework's context object to the current context."""
    if context is None:
        yield
        return
    variables = context(of)
    if not isinstance(variables, Mapping):
        raise ConfigurationError(
            f"context returned a {type(variables).__name__}; expected a mapping such as "
            "{'user': user, 'tenant_id': 'acme'}"
        )
    with codemode.registry.context(**variables):
        yield


def _decoded(arguments: str) -> Any:
    """Return the value of JSON that a model wrote, or the answer that it is none."""
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError) as error:
        return Answer(text=f"The arguments are not JSON: {error}", failed=True)


def _checked_name(name: Any) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise ConfigurationError(
        f"name={name!r}; expected up to 64 letters, digits, underscores and hyphens, such as "
        "'execute_code'"
    )
