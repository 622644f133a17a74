"""One question and its answer, as a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Any, Protocol

from asgiref.sync import async_to_sync

from assistant.meter import Meter
from codemode.core.codemode import EventStream
from django_codemode import get_codemode

__all__ = ["Conversation", "Model"]


class Model(Protocol):
    """A language model, real or scripted; ``note`` is a sentence about it for the page."""

    name: str
    note: str

    def answer(self, question: str) -> AsyncGenerator[Any, None]:
        """Yield the events of an answer: CodeWritten, the events of its run, AnswerWritten."""


class Conversation(EventStream):
    """The events from a question to its answer, and the count at the end.

    Under ASGI they come as they happen. Under WSGI they come together at the
    end, because models are asynchronous.
    """

    def __init__(self, model: Model, question: str) -> None:
        super().__init__(self._whole, self._live)
        self._model = model
        self._question = question

    async def _live(self, **_options: Any) -> AsyncGenerator[Any, None]:
        codemode = get_codemode()
        instructions = await codemode.instructions_async()
        meter = Meter(self._question, instructions, await codemode.permitted_tools_async())
        async with aclosing(self._model.answer(self._question)) as events:
            async for event in events:
                meter.note(event)
                yield event
        yield await asyncio.to_thread(meter.count)

    def _whole(self, **_options: Any) -> Generator[Any, None, None]:
        async def collect() -> list[Any]:
            return [event async for event in self._live()]

        yield from async_to_sync(collect)()
