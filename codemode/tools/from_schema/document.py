"""A JSON Schema as data: a bounded copy, its references, and the merging of ``allOf``.

Schemas of other services may be of any size, refer to themselves, or be wrong.
What is out of bounds raises ToolRegistrationError with the place in the schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from codemode.errors.base import ToolRegistrationError
from codemode.values.shortening import cut, shorten

__all__ = ["MAX_DEPTH", "MAX_STEPS", "Document", "Schema", "canonical", "says_more"]

type Schema = dict[str, Any] | bool

MAX_DEPTH: Final = 100
"""Nesting of a schema's objects and lists."""
MAX_STEPS: Final = 20_000
"""Values in a schema; and schemas that are read to make types of it, references followed."""
MAX_CHARACTERS: Final = 1_000_000

TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")

_LEAST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_NOTES: Final = frozenset(
    {"$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description"}
    | {"examples", "readOnly", "title", "writeOnly"}
)
"""Keywords that allow and forbid nothing."""


class Document:
    """One JSON Schema of a tool, copied within bounds."""

    def __init__(self, tool_name: str, label: str, schema: object) -> None:
        self._tool_name = tool_name
        self._label = label
        self._steps = 0
        self._characters = 0
        self.root: dict[str, Any] = {}
        if not isinstance(schema, Mapping):
            raise self.error("", f"is {_shown(schema)}; expected a dict with JSON Schema")
        self.root = self._copy(schema, "", 0)
        self._steps = 0

    def error(self, path: str, problem: str) -> ToolRegistrationError:
        """Return the exception for a fault at a path, a JSON pointer."""
        place = f" at {cut(path, 120)}" if path else ""
        return ToolRegistrationError(
            f"tool {self._tool_name!r}: its {self._label}{place} {problem}"
        )

    def count(self, path: str, steps: int = 1) -> None:
        """Count schemas that are read; raise ToolRegistrationError beyond ``MAX_STEPS``."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise self.error(
                path,
                f"is too large: it has more than {MAX_STEPS:,} parts with those it refers to; "
                "give the tool a smaller schema",
            )

    def schema(self, value: object, path: str) -> Schema:
        """Return a value that must be a schema: an object, or a bool."""
        if isinstance(value, dict | bool):
            return value
        raise self.error(path, f"is {_shown(value)}; expected a schema: an object, true or false")

    def entries(self, schema: dict[str, Any], keyword: str, path: str) -> dict[str, Any]:
        """Return the object of a keyword, empty where there is none."""
        value = schema.get(keyword, {})
        if isinstance(value, dict):
            return value
        raise self.error(f"{path}/{keyword}", f"is {_shown(value)}; expected an object")

    def items(self, schema: dict[str, Any], keyword: str, path: str) -> list[Any]:
        """Return the list of a keyword, empty where there is none."""
        value = schema.get(keyword, [])
        if isinstance(value, list):
            return value
        raise self.error(f"{path}/{keyword}", f"is {_shown(value)}; expected a list")

    def names(self, schema: dict[str, Any], keyword: str, path: str) -> list[str]:
        """Return the list of texts of a keyword; the ``required`` of old drafts is left out."""
        if isinstance(schema.get(keyword), bool):
            return []
        names = self.items(schema, keyword, path)
        for name in names:
            if not isinstance(name, str):
                raise self.error(f"{path}/{keyword}", f"has {_shown(name)}; expected names")
        return names

    def types(self, schema: dict[str, Any], path: str) -> tuple[str, ...] | None:
        """Return the types that a schema names, None where it names none."""
        if "type" not in schema:
            return None
        named = schema["type"]
        types = tuple(named) if isinstance(named, list) else (named,)
        for one in types:
            if one not in TYPES:
                raise self.error(
                    f"{path}/type",
                    f"is {_shown(one)}, which is not a type of JSON Schema; expected one of "
                    + ", ".join(TYPES),
                )
        return types

    def target(self, reference: object, path: str) -> tuple[str, Schema]:
        """Return the pointer and the schema to which a ``$ref`` leads."""
        if not isinstance(reference, str) or (reference and reference[0] != "#"):
            raise self.error(
                path,
                f"refers to {_shown(reference)}, which is not within it; put the definition under "
                "$defs and refer to '#/$defs/...'",
            )
        pointer = unquote(reference[1:])
        found: Any = self.root
        for step in pointer.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isdecimal() and int(step[:9]) < len(found):
                found = found[int(step[:9])]
            else:
                found = None
                break
        if found is None or (pointer and not pointer.startswith("/")):
            raise self.error(path, f"refers to {_shown(reference)}, which it does not have")
        return pointer, self.schema(found, pointer)

    def flat(self, schema: Schema, path: str) -> Schema:
        """Return a schema with its ``$ref`` and ``allOf`` merged in; False if it allows nothing."""
        parts: list[dict[str, Any]] = []
        if not self._collect(schema, path, parts, ()):
            return False
        if not parts:
            return True
        merged, *others = parts
        for part in others:
            if (both := self._both(merged, part, path)) is None:
                return False
            merged = both
        return merged

    def _collect(
        self, schema: Schema, path: str, parts: list[dict[str, Any]], within: tuple[str, ...]
    ) -> bool:
        """Add all that must hold together; return False if nothing can."""
        self.count(path)
        if isinstance(schema, bool):
            return schema
        parts.append({key: one for key, one in schema.items() if key not in ("$ref", "allOf")})
        if "$ref" in schema:
            pointer, target = self.target(schema["$ref"], path)
            if pointer in within:
                raise self.error(path, "contains itself; remove the reference")
            if not self._collect(target, pointer, parts, (*within, pointer)):
                return False
        for number, one in enumerate(self.items(schema, "allOf", path)):
            place = f"{path}/allOf/{number}"
            if not self._collect(self.schema(one, place), place, parts, within):
                return False
        return True

    def _both(self, one: dict[str, Any], other: dict[str, Any], path: str) -> dict[str, Any] | None:
        """Return the schema of what fits both; None if nothing does. The first has its notes."""
        merged = {**other, **one}
        for keyword in one.keys() & other.keys() - _NOTES:
            first, second = one[keyword], other[keyword]
            if keyword == "type":
                types = _common(self.types(one, path) or (), self.types(other, path) or ())
                if not types:
                    return None
                merged["type"] = list(types)
            elif keyword == "properties":
                mine, theirs = (self.entries(it, keyword, path) for it in (one, other))
                self.count(path, len(mine) + len(theirs))
                twice = {key: {"allOf": [mine[key], theirs[key]]} for key in mine if key in theirs}
                merged["properties"] = {**mine, **theirs, **twice}
            elif keyword == "required":
                both = self.names(one, keyword, path) + self.names(other, keyword, path)
                merged["required"] = list(dict.fromkeys(both))
            elif keyword == "enum":
                allowed = set(map(canonical, self.items(other, keyword, path)))
                values = self.items(one, keyword, path)
                merged["enum"] = [value for value in values if canonical(value) in allowed]
            elif keyword == "additionalProperties":
                closed = first is False or second is False
                merged[keyword] = False if closed else {"allOf": [first, second]}
            elif keyword == "items":
                merged["items"] = {"allOf": [first, second]}
            elif keyword in _LEAST or keyword in _MOST:
                merged[keyword] = _limit(first, second, max if keyword in _LEAST else min)
        return merged

    def _copy(self, value: Any, path: str, depth: int) -> Any:
        """Return a copy of plain JSON, within bounds."""
        self.count(path)
        if depth > MAX_DEPTH:
            raise self.error(path, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        if isinstance(value, Mapping):
            copied = {}
            for key, one in value.items():
                if not isinstance(key, str):
                    raise self.error(path, f"has the key {_shown(key)}; expected texts as keys")
                copied[self._text(key, path)] = self._copy(one, f"{path}/{key[:100]}", depth + 1)
            return copied
        if isinstance(value, list | tuple):
            return [
                self._copy(one, f"{path}/{number}", depth + 1) for number, one in enumerate(value)
            ]
        if isinstance(value, str):
            return self._text(value, path)
        if value is None or isinstance(value, bool | int | float):
            return value
        raise self.error(path, f"is {_shown(value)}, which JSON does not have; remove it")

    def _text(self, text: str, path: str) -> str:
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise self.error(path, f"has more than {MAX_CHARACTERS:,} characters; shorten it")
        return str(text)


def says_more(schema: dict[str, Any], *keywords: str) -> bool:
    """Return whether a schema says more than some keywords and its notes."""
    return bool(schema.keys() - _NOTES - {*keywords})


def canonical(value: Any) -> str:
    """Return the text of a JSON value that equal values share: 1 and 1.0, but not 1 and true."""
    return json.dumps(_with_whole_numbers(value), sort_keys=True)


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _with_whole_numbers(one) for key, one in value.items()}
    return [_with_whole_numbers(one) for one in value] if isinstance(value, list) else value


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    wide = {"integer"} if "number" in one and "integer" in other else set()
    wide |= {"integer"} if "integer" in one and "number" in other else set()
    return tuple(kind for kind in TYPES if (kind in one and kind in other) or kind in wide)


def _limit(first: Any, second: Any, choose: Callable[[Any, Any], Any]) -> Any:
    numbers = all(type(one) in (int, float) for one in (first, second))
    return choose(first, second) if numbers else first


def _shown(value: object) -> str:
    return f"{shorten(value)} ({type(value).__name__})"
