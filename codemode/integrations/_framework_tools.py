"""What the tools of every framework have in common: they execute code, and answer the model.

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

from codemode.core._dispatch.threads import off_loop
from codemode.core.codemode import Codemode
from codemode.core.events import Event, ExecutionCompleted
from codemode.core.hooks import OFF_LOOP_BYTES
from codemode.core.result import ExecutionResult
from codemode.errors import (
    ConfigurationError,
    ExecutorBusyError,
    ExecutorClientError,
    InvalidRequestError,
)

__all__ = [
    "CODE_SCHEMA",
    "MAX_CHARS",
    "Answer",
    "CallOptions",
    "CodeExecution",
    "CodeOptions",
    "ContextOf",
    "acting",
    "check_options",
    "from_json",
    "text_of",
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

MAX_CHARS = 20_000
"""Characters of an outcome that a model reads, unless an option says otherwise."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class CallOptions(TypedDict, total=False):
    """The options of ``plain_tools``, the same for each framework.

    A call takes at most ``execution_timeout`` seconds. The model reads at most
    ``max_chars`` characters of an outcome (20,000).
    """

    execution_timeout: float | None
    max_chars: int


class CodeOptions(CallOptions, total=False):
    """The options of ``code_tool``, the same for each framework; those of ``plain_tools`` as well.

    ``name`` is that of the tool ("execute_code"), ``description`` its whole
    description (that of ``Codemode.instructions``, within ``max_tokens``).
    ``available_tools`` and ``profile`` are those of ``Codemode.run``.
    ``on_event`` gets each event of an execution as it happens; it may be async.
    """

    name: str
    description: str | None
    max_tokens: int | None
    available_tools: Iterable[str] | None
    profile: str | None
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
    """One tool that executes code.

    ``context`` returns the variables that are added to the current context for
    ``ctx``, the framework's own object of a request.
    """

    def __init__(
        self,
        codemode: Codemode,
        context: ContextOf | None = None,
        /,
        **options: Unpack[CodeOptions],
    ) -> None:
        check_options(options, CodeOptions)
        self.name = _checked_name(options.get("name", "execute_code"))
        self.codemode = codemode
        self._context = context
        self._description = options.get("description")
        self._max_tokens = options.get("max_tokens")
        tools = options.get("available_tools")
        self._available_tools = None if tools is None else list(tools)
        self._execution_timeout = options.get("execution_timeout")
        self._profile = options.get("profile")
        self._max_chars = options.get("max_chars", MAX_CHARS)
        self._on_event = options.get("on_event")

    def describe(self) -> str:
        """Return the description, for the current context."""
        if self._description is not None:
            return self._description
        return self.codemode.instructions(self._available_tools, max_tokens=self._max_tokens)

    async def describe_async(self, ctx: Any = None) -> str:
        """Return the description from a task; with ``ctx``, that of its request."""
        if self._description is not None:
            return self._description
        with acting(self.codemode, None if ctx is None else self._context, ctx):
            return await self.codemode.instructions_async(
                self._available_tools, max_tokens=self._max_tokens
            )

    async def execute(
        self, code: Any, ctx: Any = None, *, on_event: Callable[[Event], Any] | None = None
    ) -> Answer:
        """Execute code; whatever becomes of it, the answer is a text.

        ``on_event`` is the framework's own listener, called before that of the
        options. Raises ConfigurationError for wrong options.
        """
        if not isinstance(code, str):
            return Answer(text=f"code is a {type(code).__name__}; send a program", failed=True)
        listeners = [one for one in (on_event, self._on_event) if one is not None]
        with acting(self.codemode, self._context, ctx):
            return await self._answer(code, listeners)

    async def execute_arguments(self, arguments: str, ctx: Any = None) -> Answer:
        """Execute the code in the JSON of a call's arguments, as ``execute`` does."""
        decoded = from_json(arguments)
        if isinstance(decoded, Answer):
            return decoded
        if not isinstance(decoded, dict) or "code" not in decoded:
            return Answer(text='The arguments have no code; send {"code": "…"}', failed=True)
        return await self.execute(decoded["code"], ctx)

    async def _answer(self, code: str, listeners: list[Callable[[Event], Any]]) -> Answer:
        try:
            result = await self._run(code, listeners)
        except InvalidRequestError as error:
            return Answer(text=f"The code cannot be sent: {error}", failed=True)
        except ExecutorClientError as error:
            logger.exception("The code of a model was not executed to its end")
            return await self._of_error(error)
        text = await text_of(result, self._max_chars)
        return Answer(text=text, failed=not result.ok, result=result)

    async def _run(self, code: str, listeners: list[Callable[[Event], Any]]) -> ExecutionResult:
        if not listeners:
            return await self.codemode.run_async(
                code,
                available_tools=self._available_tools,
                execution_timeout=self._execution_timeout,
                profile=self._profile,
            )
        stream = self.codemode.stream(
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

    async def _of_error(self, error: ExecutorClientError) -> Answer:
        """Return what a model may know: not where the executor is, and what had been called."""
        if isinstance(error, ExecutorBusyError):
            seconds = f" in {error.retry_after:.0f} s" if error.retry_after else " later"
            text = f"No sandbox is free, so nothing has been executed. Try again{seconds}."
        elif error.result is None:
            text = "The code cannot be executed at the moment: nothing has been executed."
        else:
            text = await text_of(error.result, self._max_chars)
        return Answer(text=text, failed=True, result=error.result)


@contextmanager
def acting(codemode: Codemode, context: ContextOf | None, ctx: Any) -> Iterator[None]:
    """Add what ``context`` returns for a framework's context object to the current context."""
    if context is None:
        yield
        return
    variables = context(ctx)
    if not isinstance(variables, Mapping):
        raise ConfigurationError(
            f"context returned a {type(variables).__name__}; expected a mapping such as "
            "{'user': user, 'tenant_id': 'acme'}"
        )
    with codemode.registry.context(**variables):
        yield


async def text_of(result: ExecutionResult, max_chars: int) -> str:
    """Return what a model reads of an outcome, without holding up the event loop."""
    if _is_plain(result):
        return result.for_model(max_chars)
    return await off_loop(result.for_model, max_chars)


def _is_plain(result: ExecutionResult) -> bool:
    """Whether the text of an outcome is made at once, however large a string it is."""
    value = result.value
    if isinstance(value, int):
        return value.bit_length() <= 8 * OFF_LOOP_BYTES
    return result.ok and isinstance(value, str | float | None)


def from_json(arguments: str) -> Any:
    """Return the value of the JSON that a model wrote, or the Answer that it is not JSON."""
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError) as error:
        return Answer(text=f"The arguments are not JSON: {error}", failed=True)


def check_options(given: Mapping[str, Any], kind: type) -> None:
    """Raise ConfigurationError for an option that a TypedDict does not have."""
    if unknown := given.keys() - kind.__annotations__.keys():
        known = ", ".join(sorted(kind.__annotations__))
        raise ConfigurationError(f"{min(unknown)!r} is not an option; there are: {known}")


def _checked_name(name: Any) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise ConfigurationError(
        f"name={name!r}; expected up to 64 letters, digits, underscores and hyphens, such as "
        "'execute_code'"
    )
