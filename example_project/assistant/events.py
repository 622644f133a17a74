"""The events of an answer that Codemode's own lack: what the model writes, and the count."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from django_codemode.payload import event_as_json

__all__ = ["AnswerWritten", "CodeWritten", "Counted", "describe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeWritten:
    """The next characters of a program, as the model writes it."""

    type: ClassVar = "code"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerWritten:
    """The next characters of the answer in words."""

    type: ClassVar = "answer"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The count at the end of an answer.

    ``tokens`` is what the model has read and written, in all requests to it;
    ``instead_of``, what it would have read and written with a request for each
    tool call. ``exact`` is False if both are estimates.
    """

    type: ClassVar = "counted"
    calls: int
    round_trips: int
    tokens: int
    instead_of: int
    exact: bool


def describe(event: Any) -> dict[str, Any]:
    """Return the data that the page gets of an event."""
    if isinstance(event, CodeWritten | AnswerWritten | Counted):
        return asdict(event)
    return event_as_json(event)
