"""The tools of an MCP server as records, and its answers as values.

Whatever a server says of its tools is text for a model, and comes from others:
it is cut, and has no invisible characters.
"""

from __future__ import annotations

import base64
import binascii
import json
import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp import types
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_jsonable_python

from codemode.errors import ToolRegistrationError
from codemode.integrations._mcp.options import ServerOptions
from codemode.tools import Tool, ToolError, tool_from_schema
from codemode.tools.decorator import Effects
from codemode.tools.names import namespaces_of

__all__ = ["Answer", "Found", "arguments_of", "value_of"]

_MAX_NAME = 128  # of the protocol
_MAX_DESCRIPTION = 1_000
_MAX_NOTE = 300
_MAX_ERROR = 4_000
_MAX_DEPTH = 100
_VALUES = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose values are data, in which "description" is a key like others."""
_OF_NAMES = frozenset({"$defs", "definitions", "patternProperties", "properties"})

Answer: TypeAdapter[types.CallToolResult | types.InputRequiredResult] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)


@dataclass(slots=True)
class Found:
    """The records of a server's tools by name, and why others cannot be tools."""

    tools: dict[str, Tool] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _namespaces: dict[str, str] = field(default_factory=dict)

    def add(
        self, options: ServerOptions, one: types.Tool, function_for: Callable[[str, str, bool], Any]
    ) -> None:
        """Add a tool, unless it is not wanted.

        Raises ToolRegistrationError for the name of another.
        """
        if options.only is not None and one.name not in options.only:
            return
        name = f"{options.prefix}.{_name(one.name)}"
        self._take(name, one.name)
        output, wrapped = _output(one.output_schema)
        try:
            if len(one.name) > _MAX_NAME:
                raise ToolRegistrationError(f"its name has more than {_MAX_NAME} characters")
            self.tools[name] = tool_from_schema(
                name,
                _tidied(one.input_schema),
                function_for(name, one.name, wrapped),
                description=_text(one.description or one.title or "", _MAX_DESCRIPTION),
                output_schema=None if output is None else _tidied(output),
                permission=options.permission,
                effects=options.effects or _effects(one.annotations),
            )
        except ToolRegistrationError as error:
            if options.only is not None:
                raise
            self.skipped[one.name] = str(error)

    def _take(self, name: str, servers_name: str) -> None:
        """Note a name; raise ToolRegistrationError if another is the same, or its namespace."""
        namespaces = namespaces_of(name)
        other = self._names.get(name) or self._namespaces.get(name)
        other = other or next((self._names[one] for one in namespaces if one in self._names), None)
        if other is not None:
            raise ToolRegistrationError(
                f"the MCP server's tools {other!r} and {servers_name!r} would both be {name!r}, or "
                "one the namespace of the other; choose among the tools by only=[...]"
            )
        self._names[name] = servers_name
        self._namespaces |= dict.fromkeys(namespaces, servers_name)


def arguments_of(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as JSON has them: a Decimal or a date is a text, a set a list.

    Raises ToolError for what JSON does not have.
    """
    try:
        plain: dict[str, Any] = to_jsonable_python(dict(arguments), inf_nan_mode="constants")
        json.dumps(plain, allow_nan=False, ensure_ascii=False).encode()
    except (PydanticSerializationError, RecursionError, ValueError) as error:
        raise ToolError(
            f"the arguments of {name} cannot be sent as JSON ({str(error)[:200]}); "
            "pass texts, numbers, bools, None, lists and dicts"
        ) from error
    return plain


def value_of(
    name: str, answer: types.CallToolResult | types.InputRequiredResult, *, wrapped: bool
) -> Any:
    """Return the value of a call. Raises ToolError where the call has failed."""
    if isinstance(answer, types.InputRequiredResult):
        raise ToolError(
            f"{name}: the MCP server asks for more input, which code cannot give; "
            "pass all that it needs as arguments"
        )
    if answer.is_error:
        texts = [one.text for one in answer.content if isinstance(one, types.TextContent)]
        text = "\n".join(texts) or _json(answer.structured_content)
        raise ToolError(_cut(text, _MAX_ERROR) or f"{name} failed, and the server does not say why")
    value = answer.structured_content
    if value is not None:
        return value["result"] if wrapped and _is_wrapped(value) else value
    parts = [_part(name, one) for one in answer.content]
    if all(isinstance(one, str) for one in parts):
        return "\n".join(parts) if parts else None
    return parts


def _part(name: str, content: Any) -> Any:
    """Return a part of an answer: a text as it is, others as a dict, with data as bytes."""
    match content:
        case types.TextContent():
            return content.text
        case types.ImageContent() | types.AudioContent():
            return {
                "type": content.type,
                "mime_type": content.mime_type,
                "data": _bytes(name, content.data),
            }
        case types.ResourceLink():
            return {
                "type": content.type,
                "uri": str(content.uri),
                "name": content.name,
                "mime_type": content.mime_type,
            }
        case types.EmbeddedResource(resource=resource):
            part = {"type": content.type, "uri": str(resource.uri), "mime_type": resource.mime_type}
            if isinstance(resource, types.TextResourceContents):
                return {**part, "text": resource.text}
            return {**part, "data": _bytes(name, resource.blob)}
    raise ToolError(f"{name}: the MCP server returned {type(content).__name__}, which is not known")


def _bytes(name: str, data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ToolError(f"{name}: the MCP server returned data that is not base64") from error


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _is_wrapped(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"result"}


def _output(schema: dict[str, Any] | None) -> tuple[dict[str, Any] | None, bool]:
    """Return the schema of what code gets, and whether servers wrap it.

    Structured content was an object until 2026, so SDKs put another value into
    ``{"result": value}``.
    """
    if schema is None or not isinstance(properties := schema.get("properties"), dict):
        return schema, False
    inner = properties.get("result")
    if properties.keys() != {"result"} or not isinstance(inner, dict):
        return schema, False
    definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    return {**definitions, **inner}, True


def _effects(annotations: types.ToolAnnotations | None) -> Effects:
    return "reads" if annotations is not None and annotations.read_only_hint else "external"


def _name(name: str) -> str:
    """Return a tool's name as a dotted identifier in ASCII, in which no letter looks like another.

    Characters that it cannot have become underscores.
    """
    parts = [re.sub(r"[^A-Za-z0-9]+", "_", part).strip("_") for part in name.split(".")]
    return ".".join(_identifier(part) for part in parts if part) or "tool"


def _identifier(part: str) -> str:
    if part[0].isdigit():
        return f"tool_{part}"
    return f"{part}_" if keyword.iskeyword(part) else part


def _tidied(schema: Any, depth: int = 0, *, by_name: bool = False) -> Any:
    """Return a schema with its descriptions cut; one that is nested too deeply is refused later.

    ``by_name``: it is a dict of schemas, in which no key is a keyword.
    """
    if depth > _MAX_DEPTH:
        return schema
    if isinstance(schema, list):
        return [_tidied(one, depth + 1) for one in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {}
    for key, one in schema.items():
        if by_name or key not in _VALUES:
            text = key == "description" and isinstance(one, str) and not by_name
            more = key in _OF_NAMES and not by_name
            one = _text(one, _MAX_NOTE) if text else _tidied(one, depth + 1, by_name=more)
        tidied[key] = one
    return tidied


def _text(text: str, most: int) -> str:
    """Return a text on one line, without characters that people do not see."""
    seen = "".join(one for one in text[: 10 * most] if one.isprintable() or one.isspace())
    return _cut(" ".join(seen.split()), most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
