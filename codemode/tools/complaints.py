"""Messages on wrong arguments, in words that help a model to repair its call."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from codemode.tools.signature import render_hint
from codemode.values.shortening import shorten

__all__ = ["explain"]

_WORDS = {
    "bool_parsing": "must be true or false (bool)",
    "bool_type": "must be true or false (bool)",
    "bytes_type": "must be bytes",
    "dict_type": "must be a dict",
    "extra_forbidden": "is not expected",
    "float_parsing": "must be a number (float)",
    "float_type": "must be a number (float)",
    "frozen_set_type": "must be a frozenset",
    "int_from_float": "must be a whole number (int)",
    "int_parsing": "must be a whole number (int)",
    "int_type": "must be a whole number (int)",
    "list_type": "must be a list",
    "missing": "is missing",
    "none_required": "must be None",
    "set_type": "must be a set",
    "string_type": "must be a string (str)",
    "tuple_type": "must be a tuple",
}

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
            inputs[path] = f", got {shorten(detail['input'])} ({type(detail['input']).__name__})"
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
    return re.sub(r"^\w+ should ", "must ", message)


def _is_union(hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    return typing.get_origin(hint) in (typing.Union, types.UnionType)
