"""The names that a tool may have."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Collection, Container, Mapping

from codemode._suggestions import did_you_mean, some_names
from codemode.errors.base import ToolRegistrationError

__all__ = [
    "check_name",
    "check_namespaces",
    "hint_for_name",
    "names_meant",
    "namespaces_of",
    "snake_case",
]

_GUEST_NAMES = frozenset({"artifact", "progress", "result", "tools"})

# Some of these exist only where the interpreter has imported ``site``.
_BUILTINS = frozenset(dir(builtins)) | {"copyright", "credits", "exit", "help", "license", "quit"}


def check_name(name: object) -> str:
    """Return the name when a tool may have it; raise ToolRegistrationError with the fix.

    A name is one identifier or several joined by dots, such as ``orders.get``.
    """
    if not isinstance(name, str):
        raise ToolRegistrationError(
            f"tool name {name!r} is a {type(name).__name__}; expected a str such as 'orders.get'"
        )
    for part in name.split("."):
        if not part.isidentifier() or unicodedata.normalize("NFKC", part) != part:
            raise ToolRegistrationError(
                f"tool name {name!r} is not a dotted identifier; "
                "expected letters, digits and underscores, such as 'orders.get'" + _suggestion(name)
            )
        if keyword.iskeyword(part):
            raise ToolRegistrationError(
                f"tool name {name!r} contains the Python keyword {part!r}, "
                f"so no code could call it; use {part + '_'!r} or another word"
            )
        if part.startswith("_"):
            raise ToolRegistrationError(
                f"tool name {name!r} has a part that begins with an underscore; "
                "begin each part with a letter"
            )
    first = name.partition(".")[0]
    if first in _GUEST_NAMES:
        raise ToolRegistrationError(
            f"tool name {name!r} would hide {first!r}, which the executed code uses for "
            "something else; choose another name"
        )
    if first in _BUILTINS:
        raise ToolRegistrationError(
            f"tool name {name!r} would hide Python's built-in {first!r}; "
            f"put it into a namespace, such as {'shop.' + name!r}, or choose another name"
        )
    return name


def check_namespaces(name: str, tools: Container[str], namespaces: Mapping[str, str]) -> None:
    """Refuse a name that is the namespace of another tool, or has a tool as its namespace.

    ``namespaces`` has a tool for each namespace, as ``namespaces_of`` gives them.
    """
    if (other := namespaces.get(name)) is not None:
        raise ToolRegistrationError(
            f"tool name {name!r} is already the namespace of {other!r}; "
            f"a name cannot be both, so use one such as {name + '.get'!r}"
        )
    for other in namespaces_of(name):
        if other in tools:
            raise ToolRegistrationError(
                f"tool name {name!r} needs {other!r} as a namespace, but that is a tool already; "
                "choose another namespace"
            )


def namespaces_of(name: str) -> dict[str, str]:
    """Return the namespaces that a tool is in, with the tool as their value."""
    parts = name.split(".")
    return {".".join(parts[:count]): name for count in range(1, len(parts))}


def names_meant(name: str, known: Collection[str]) -> set[str]:
    """Return the known names that a name means: itself, or all of a namespace ``"orders.*"``."""
    if name.endswith(".*"):
        return {one for one in known if one.startswith(name.removesuffix("*"))}
    return {name} if name in known else set()


def hint_for_name(name: str, known: Collection[str]) -> str:
    """Return the end of a message about a name that means no tool, with what may be meant."""
    if names_meant(f"{name}.*", known):
        return f"; {name!r} is a namespace: {name + '.*'!r} means all tools in it"
    return did_you_mean(name, known, otherwise=f"registered are: {some_names(known, 10)}")


def snake_case(class_name: str) -> str:
    """Return the tool name that a class name stands for: ``WeatherTool`` is ``weather``."""
    stem = class_name.removesuffix("Tool") or class_name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", stem)
    return words.lower().strip("_")


def _suggestion(name: str) -> str:
    """Return the end of a message that proposes a usable name, or an empty string."""
    cleaned = re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("_.")
    if cleaned and all(part.isidentifier() for part in cleaned.split(".")):
        return f"; {cleaned!r} would do"
    return ""
