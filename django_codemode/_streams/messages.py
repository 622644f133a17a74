"""An execution as messages: its events, and a final ``error`` in place of an exception."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any

from codemode.core._dispatch.threads import off_loop
from codemode.core.codemode import EventStream
from codemode.core.events import Event, ExecutionCompleted, ToolCallFinished, ToolCallStarted
from codemode.errors import CodemodeError
from django_codemode.payload import event_as_json, refusal_as_json
from django_codemode.refusals import RefusalError, refusal_of

__all__ = ["Describe", "Message", "amessages_of", "error_message", "messages_of"]

logger = logging.getLogger("django_codemode")

_FEW = 16 * 1024  # characters, and entries of lists and dicts

Describe = Callable[[Event], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to a client: the name of an event, and its data for JSON."""

    event: str
    data: dict[str, Any]

    @property
    def is_last(self) -> bool:
        """Whether no message follows this one."""
        return self.event in {"completed", "error"}

    @property
    def is_large(self) -> bool:
        """Whether writing the message as JSON would noticeably block an event loop."""
        left = _FEW
        unseen: list[Any] = [self.data]
        while unseen and left >= 0:
            one = unseen.pop()
            left -= 1 + len(one) if isinstance(one, str | list | dict) else 1
            if left >= 0 and isinstance(one, list | dict):
                unseen.extend(one if isinstance(one, list) else [*one, *one.values()])
        return left < 0

    async def write[R](self, function: Callable[..., R], *args: Any) -> R:
        """Call a function that writes the message, in another thread if the message is large."""
        return await off_loop(function, *args) if self.is_large else function(*args)


def messages_of(
    events: EventStream, describe: Describe = event_as_json, *, pause_seconds: float
) -> Generator[Message | None, None, None]:
    """Yield the messages of an execution in a thread; closing the generator kills the sandbox.

    None stands for ``pause_seconds`` without a message.
    """
    try:
        with closing(events):
            for event in events.with_pauses(pause_seconds):
                if event is None:
                    yield None
                else:
                    yield Message(event=event.type, data=describe(event))
    except Exception as error:  # noqa: BLE001  # the answer has begun: an error is a message
        yield error_message(error)


async def amessages_of(
    events: EventStream, describe: Describe = event_as_json
) -> AsyncGenerator[Message, None]:
    """Yield the messages of an execution in a task; cancelling the task kills the sandbox."""
    try:
        async with aclosing(events):
            async for event in events:
                if _may_be_large(event):
                    # May be large, and other requests share the loop.
                    data = await off_loop(describe, event)
                    yield Message(event=event.type, data=data)
                else:
                    yield Message(event=event.type, data=describe(event))
    except Exception as error:  # noqa: BLE001  # the answer has begun: an error is a message
        yield error_message(error)


def _may_be_large(event: Event) -> bool:
    if isinstance(event, ToolCallFinished):
        return len(event.encoded or b"") > _FEW
    return isinstance(event, ExecutionCompleted | ToolCallStarted)


def error_message(error: Exception) -> Message:
    """Return the message in place of an exception; log the exception if it shows a defect."""
    if isinstance(error, RefusalError):
        refusal = error
    elif isinstance(error, CodemodeError):
        refusal = refusal_of(error)
    else:
        logger.error("An execution failed in this process: %s", error, exc_info=error)
        refusal = RefusalError("internal_error", "the server failed; its log has the details")
    return Message(event="error", data=refusal_as_json(refusal))
