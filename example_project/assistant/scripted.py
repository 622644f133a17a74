"""A model without key and network, for the questions of its repertoire.

Only what it writes is scripted. The code runs in a sandbox like that of any
model, against the real tools, and the answers are made from its results.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from assistant.events import AnswerWritten, CodeWritten
from assistant.repertoire import REPERTOIRE, answer_in_words
from codemode.core.events import ExecutionCompleted
from django_codemode import get_codemode

__all__ = ["ScriptedModel"]

_PIECE = 12  # characters
_PAUSE_SECONDS = 0.015
_UNKNOWN = (
    "I am scripted, and know only the questions that the page suggests. With the key of a "
    "provider in the environment, such as OPENAI_API_KEY, a real model answers here."
)


class ScriptedModel:
    """A model that writes prepared code, and mends it when the first attempt fails."""

    name = "scripted model"

    def __init__(self, note: str) -> None:
        self.note = note

    async def answer(self, question: str) -> AsyncGenerator[Any, None]:
        """Yield the events of an answer."""
        script = next((one for one in REPERTOIRE if one.question == question), None)
        if script is None:
            async for piece in _pieces(_UNKNOWN):
                yield AnswerWritten(text=piece)
            return
        result = None
        for code in script.programs:
            async for piece in _pieces(code):
                yield CodeWritten(text=piece)
            async with get_codemode().stream(code) as events:
                async for event in events:
                    yield event
                    if isinstance(event, ExecutionCompleted):
                        result = event.result
            if result is not None and result.ok:
                break
        assert result is not None, "a script has a program, whose stream ends with its result"
        async for piece in _pieces(answer_in_words(script, result)):
            yield AnswerWritten(text=piece)


async def _pieces(text: str) -> AsyncGenerator[str, None]:
    """Yield a text in pieces, about as fast as a model writes."""
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]
        await asyncio.sleep(_PAUSE_SECONDS)
