"""Messages on wrong arguments, in words that help a model to repair its call."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from codemode.tools.signature import render_hint
from codemode.values.shortening import shorten

__all__ = ["explain"]

_DATE = 'must be a date, as in "2026-01-31"'
_DATETIME = 'must be a datetime, as in "2026-01-31T12:00:00"'
_TIME = 'must be a time, as in "12:00:00"'
_TIMEDELTA = 'must be a timedelta, as in "PT2H30M"'
_DECIMAL = "must be a number (Decimal)"
_WORDS = {
    "bool_parsing": "must be true or false (bool)",
    "bool_type": "must be true or false (bool)",
    "bytes_type": "must be bytes",
    "callable_type": "must be a function, which code cannot pass",
    "date_from_datetime_inexact": "must be a date, without a time",
    "date_from_datetime_parsing": _DATE,
    "date_parsing": _DATE,
    "date_type": _DATE,
    "datetime_from_date_parsing": _DATETIME,
    "datetime_object_invalid": _DATETIME,
    "datetime_parsing": _DATETIME,
    "datetime_type": _DATETIME,
    "decimal_parsing": _DECIMAL,
    "decimal_type": _DECIMAL,
    "dict_type": "must be a dict",
    "extra_forbidden": "is not expected",
    "float_parsing": "must be a number (float)",
    "float_type": "must be a number (float)",
    "frozen_set_type": "must be a frozenset",
    "int_from_float": "must be a whole number (int)",
    "int_parsing_size": "has too many digits for an int",
    "int_parsing": "must be a whole number (int)",
    "int_type": "must be a whole number (int)",
    "list_type": "must be a list",
    "missing": "is missing",
    "none_required": "must be None",
    "recursion_loop": "must not contain itself",
    "set_item_not_hashable": "must have items that a set can hold, such as texts and numbers",
    "set_type": "must be a set",
    "string_type": "must be a string (str)",
    "time_delta_parsing": _TIMEDELTA,
    "time_delta_type": _TIMEDELTA,
    "time_parsing": _TIME,
    "time_type": _TIME,
    "timezone_aware": "must have a time zone, as in datetime.now(timezone.utc)",
    "timezone_naive": "must have no time zone",
    "tuple_type": "must be a tuple",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
}
_REPAIRS = {
    ("date_from_datetime_inexact", datetime): "write .date() after it",
    ("string_type", int): "write str(...) for it",
}

_PHRASES = (
    (re.compile(r"^Unable to extract tag using discriminator (.+)$"), r"must have the field \1"),
    (
        re.compile(r"^Input tag .+ found using (.+) does not match any of the expected tags: "),
        r"must have as \1 one of ",
    ),
    (re.compile(r"^Input is not a valid "), "must be a "),
    (re.compile(r"^[\w ]{1,40}? should be a valid "), "must be a valid "),
    (re.compile(r"^[\w ]{1,40}? should "), "must "),
    (re.compile(r" after validation, not (\S+)$"), r", not \1"),
)

# Beyond this many faults in one value, naming each would cost more than the
# value did: a list of a million wrong items has a million faults.
_MAX_FAULTS = 20


def explain(name: str, value: Any, hint: Any, error: ValidationError) -> list[str]:
    """Return one sentence for each fault in the value of an argument."""
    if error.error_count() > _MAX_FAULTS:
        got = f"{shorten(value)} ({type(value).__name__})"
        return [f"argument {name!r} must be {render_hint(hint)}, got {got}"]
    problems: dict[str, list[str]] = {}
    inputs: dict[str, str] = {}
    details = error.errors(include_url=False, include_context=False)
    for detail in details:
        path = _path(name, value, detail["loc"])
        words = problems.setdefault(path, [])
        text = _WORDS.get(detail["type"]) or _plain(detail["msg"])
        if text not in words:
            words.append(text)
        if detail["type"] != "missing":
            given = detail["input"]
            repair = _REPAIRS.get((detail["type"], type(given)))
            got = f", got {shorten(given)} ({type(given).__name__})"
            inputs[path] = f"{got}: {repair}" if repair else got
    if len(details) > 1 and list(problems) == [name] and _is_union(hint):
        problems = {name: [f"must be {render_hint(hint)}"]}
    return [
        f"argument {path!r} {' or '.join(words)}{inputs.get(path, '')}"
        for path, words in problems.items()
    ]


def _path(name: str, value: Any, steps: tuple[int | str, ...]) -> str:
    """Return the path to a fault, such as ``items[2].price``.

    Pydantic mixes steps into the value with names of the types that it tried.
    Only a step that leads to a part of the value, or to a missing last part,
    belongs to the path.
    """
    path = name
    for step in steps:
        if isinstance(step, int):
            if isinstance(value, Sequence) and step < len(value):
                path, value = f"{path}[{step}]", value[step]
            elif isinstance(value, list | tuple):
                return f"{path}[{step}]"
            elif isinstance(value, set | frozenset):
                return path
        elif isinstance(value, Mapping):
            path += f".{step}"
            value = value.get(step)
    return path


def _plain(message: str) -> str:
    """Return a message from pydantic as the end of a sentence about the argument."""
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    for pattern, words in _PHRASES:
        message = pattern.sub(words, message, count=1)
    return message


def _is_union(hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    return typing.get_origin(hint) in (typing.Union, types.UnionType)
