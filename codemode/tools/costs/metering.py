"""A bound on validation that tries parts of a value more than once.

Pydantic tries every member of a union, and each member tries the parts of the
value anew. Where unions nest, the tries multiply: a value of 150 bytes may take
seconds. What is tried again is counted here, and validation ends with an error
once the count is out of proportion to the value.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from time import thread_time_ns
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

__all__ = ["MeteredValidator", "TooManyTriesError", "Validator", "charge", "current", "size_of"]

MAX_TRIES: Final = 5_000
"""Parts that validation may try again, whatever the size of the value."""
MAX_TRIES_OF_PART: Final = 4
"""Parts more that it may try again, for each part of the value."""

CONTAINERS: Final = frozenset({list, tuple, set, frozenset})
SCALARS: Final = frozenset(
    {type(None), bool, int, float, complex, str, bytes, Decimal}
    | {date, datetime, time, timedelta, UUID}
)

MAX_FOLLOWED: Final = 1_000_000
"""Characters of a text, times the places of its pattern that each may be followed from.

They take 1 to 16 ms of CPU at worst. All texts of a value together may be as many.
"""
MAX_TEXT_NANOSECONDS: Final = 10_000_000
"""CPU time that further texts may take, whatever the size of the value."""
MAX_TEXT_NANOSECONDS_OF_PART: Final = 5_000
"""CPU time more that they may take for each part of the value: ten times what honest parts do."""

_CHARACTERS_OF_PART: Final = 32
_BITS_OF_PART: Final = 128


class TooManyTriesError(Exception):
    """A value fits a type in too many ways to be checked.

    Neither a ValueError nor an AssertionError, which a union would take for the
    refusal of one member. ``of_text`` tells that it was its patterns that cost
    too much.
    """

    def __init__(self, *, of_text: bool) -> None:
        super().__init__("too many tries")
        self.of_text = of_text


class Validator(Protocol):
    """What converts a value and checks it."""

    def validate_python(self, value: Any, /) -> Any:
        """Return the converted value, or raise pydantic's ValidationError."""


class _Meter:
    """The count of what the validation of one value has tried again."""

    __slots__ = ("_followed", "_most", "_spent", "_text_refused", "_text_until", "_value", "visits")

    def __init__(self, value: Any) -> None:
        self._value = value
        self._spent = 0
        self._most = 0
        self._followed = 0
        self._text_until = 0
        self._text_refused = False
        self.visits: dict[tuple[int, int], tuple[int, frozenset[str] | None]] = {}
        """By choice and value: the bits of the members to try, and the keys that one has read."""

    def charge(self, tries: int) -> None:
        self._spent += tries
        if self._spent <= MAX_TRIES:
            return
        if not self._most:
            self._most = MAX_TRIES + MAX_TRIES_OF_PART * size_of(self._value)
        self.check()

    def charge_text(self, followed: int) -> None:
        """Count the characters of a text times the places that each may be followed from."""
        self._followed += followed
        if self._followed <= MAX_FOLLOWED:
            return
        now = thread_time_ns()
        if not self._text_until:
            more = MAX_TEXT_NANOSECONDS_OF_PART * size_of(self._value)
            self._text_until = now + MAX_TEXT_NANOSECONDS + more
        self._text_refused |= followed > MAX_FOLLOWED or now > self._text_until
        self.check()

    def charge_again(self, value: Any) -> None:
        """Count all parts of a value, which another member of a union is to try."""
        self.charge(size_of(value, self.left))

    @property
    def left(self) -> int:
        return max(self._most, MAX_TRIES) - self._spent

    def check(self) -> None:
        """Raise TooManyTriesError, even where a validator has caught it before."""
        if self._text_refused:
            raise TooManyTriesError(of_text=True)
        if self._most and self._spent > self._most:
            raise TooManyTriesError(of_text=False)


current: ContextVar[_Meter] = ContextVar("codemode_validation_meter")


def charge(tries: int) -> None:
    """Count tries of the running validation. Raises TooManyTriesError."""
    current.get().charge(tries)


class MeteredValidator:
    """A validator within the bound, for a type that may need one.

    ``alike`` are the names of two records in it that contain themselves and may
    take the same dict, so that a nested value may be beyond the bound.
    """

    def __init__(self, validator: SchemaValidator, alike: tuple[str, str] | None) -> None:
        self._validator = validator
        self.alike = alike

    def validate_python(self, value: Any, /) -> Any:
        """Return the converted value; raise ValidationError or TooManyTriesError."""
        meter = _Meter(value)
        token = current.set(meter)
        try:
            checked = self._validator.validate_python(value)
            meter.check()
            return checked
        finally:
            current.reset(token)


def size_of(value: Any, most: float = float("inf")) -> int:
    """Return the number of parts of a value; a long text counts as several.

    Stops beyond ``most``, as a value that a validator made may contain itself.
    """
    waiting = [value]
    size = 0
    while waiting and size <= most:
        one = waiting.pop()
        kind = type(one)
        size += 1
        if kind is dict:
            waiting += one
            waiting += one.values()
        elif kind in CONTAINERS:
            waiting += one
        elif kind is str or kind is bytes:
            size += len(one) // _CHARACTERS_OF_PART
        elif kind is int:
            size += one.bit_length() // _BITS_OF_PART
    return size
