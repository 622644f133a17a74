"""A real model, by pydantic-ai and Codemode's adapter for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import (
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import Model as PydanticModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits
from pydantic_core import from_json

from assistant.events import AnswerWritten, CodeWritten
from codemode.integrations.pydantic_ai import CodemodeEvent, code_tool
from django_codemode import get_codemode

__all__ = ["LiveModel"]

_INSTRUCTIONS = (
    "You are the assistant of a shop's staff. Answer questions about the shop by executing code, "
    "then in one or two plain sentences, without Markdown. End the code with a list of dicts where "
    "the answer is a table: the user sees it."
)
_MOST_REQUESTS = 8


class LiveModel:
    """A model of a provider, or any other model of pydantic-ai."""

    note = "A real model. It reads what your permissions let its code read."

    def __init__(self, model: str | PydanticModel) -> None:
        self.name = model if isinstance(model, str) else model.model_name
        self._agent = Agent(
            model,
            instructions=_INSTRUCTIONS,
            tools=[code_tool(get_codemode())],
            # One program at a time, as the page shows them.
            model_settings=ModelSettings(parallel_tool_calls=False),
        )

    async def answer(self, question: str) -> AsyncGenerator[Any, None]:
        """Yield the events of an answer."""
        translation = _Translation()
        limits = UsageLimits(request_limit=_MOST_REQUESTS)
        async with self._agent.run_stream_events(question, usage_limits=limits) as events:
            async for event in events:
                for one in translation.of(event):
                    yield one


class _Translation:
    """The events of an agent's run as those of the page."""

    def __init__(self) -> None:
        self._arguments = ""
        self._written = ""

    def of(self, event: Any) -> Iterator[Any]:
        match event:
            case CodemodeEvent():
                yield event.event
            case PartStartEvent(part=ToolCallPart(args=arguments)):
                self._arguments = self._written = ""
                yield from self._code(arguments)
            case PartDeltaEvent(delta=ToolCallPartDelta(args_delta=arguments)):
                yield from self._code(arguments)
            case (
                PartStartEvent(part=TextPart(content=text))
                | PartDeltaEvent(delta=TextPartDelta(content_delta=text))
            ) if text:
                yield AnswerWritten(text=text)

    def _code(self, arguments: Any) -> Iterator[CodeWritten]:
        """Yield what is new of the code in a call's arguments, which arrive as pieces of JSON."""
        if isinstance(arguments, str):
            self._arguments += arguments
            if not self._arguments.strip():
                return
            arguments = from_json(self._arguments, allow_partial="trailing-strings")
        code = arguments.get("code", "") if isinstance(arguments, dict) else ""
        if len(code) > len(self._written):
            yield CodeWritten(text=code[len(self._written) :])
            self._written = code
