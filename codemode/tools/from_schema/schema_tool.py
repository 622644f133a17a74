"""The record of a tool that comes from elsewhere, with a JSON Schema in place of a signature."""

from __future__ import annotations

import inspect
import itertools
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

from codemode.errors.base import ToolRegistrationError
from codemode.tools.arguments import GivenSchema, build_arguments
from codemode.tools.build import check_permission, entered, origin_of
from codemode.tools.decorator import Effects, checked_effects, checked_tags
from codemode.tools.from_schema.document import Document, Schema
from codemode.tools.from_schema.property_names import parameter_names
from codemode.tools.from_schema.schema_types import SchemaTypes, class_name
from codemode.tools.names import check_name
from codemode.tools.signature import render_signature
from codemode.tools.tool import Tool

__all__ = ["tool_from_schema"]


def tool_from_schema(
    name: str,
    input_schema: Mapping[str, Any],
    function: Callable[..., Any],
    *,
    description: str = "",
    output_schema: Mapping[str, Any] | None = None,
    asynchronous: bool | None = None,
    permission: Any = None,
    thread_sensitive: bool = True,
    effects: Effects | None = None,
    tags: Iterable[str] = (),
) -> Tool:
    """Return the record of a tool whose arguments a JSON Schema describes, to register it.

    ``function`` is called with the checked arguments by the names of their
    properties, as ``function(**arguments)``; a property that the call leaves
    out is not passed. ``asynchronous`` None means whether it is an ``async
    def``. The tool's ``input_schema`` and ``output_schema`` are the ones given.
    The other arguments are those of ``@tool``.

    Raises ToolRegistrationError for a name that a tool cannot have, and for a
    schema that is wrong, too large, or refers to something outside itself.
    """
    name = check_name(name)
    if not callable(function):
        raise ToolRegistrationError(
            f"tool {name!r}: {function!r} cannot be called; give the function that runs the tool"
        )
    check_permission(name, permission)
    document = Document(name, "input_schema", input_schema)
    try:
        parameters, names, notes = _parameters(document)
        hints = {one.name: one.annotation for one in parameters}
        returns: Any = Any
        if output_schema is not None:
            returned = Document(name, "output_schema", output_schema)
            hint = SchemaTypes(returned).of(returned.root, "", _record_name(name))
            returns = hints["return"] = Annotated[hint, GivenSchema(returned.root)]
        signature = render_signature(name, parameters, hints)
        arguments = build_arguments(
            tool_name=name,
            parameters=parameters,
            hints=hints,
            docs=notes,
            reserved=frozenset(),
            signature=signature,
        )
    except RecursionError as error:
        raise document.error("", "nests too deeply; flatten it") from error
    return Tool(
        name=name,
        description=" ".join((description or _note(document.root)).split()),
        signature=signature,
        positional_parameters=tuple(arguments.parameters),
        asynchronous=(
            inspect.iscoroutinefunction(entered(function)) if asynchronous is None else asynchronous
        ),
        thread_sensitive=thread_sensitive,
        wants_context=False,
        permission=permission,
        function=function,
        arguments=replace(
            arguments,
            properties={one: key for key, one in names.items() if key != one},
            schema=document.root,
        ),
        returns=returns,
        source=function,
        origin=origin_of(function),
        effects=checked_effects(f"tool {name!r}", effects),
        tags=checked_tags(f"tool {name!r}", tags),
    )


def _parameters(
    document: Document,
) -> tuple[list[inspect.Parameter], dict[str, str], dict[str, str]]:
    """Return the parameters, the parameter of each property, and what describes them."""
    root = document.flat(document.root, "")
    if isinstance(root, bool) or (document.types(root, "") or ("object",)) != ("object",):
        raise document.error("/type", "must be 'object', because arguments have names")
    properties, required = _properties(document, root)
    names = parameter_names(properties)
    types = SchemaTypes(document)
    found: list[inspect.Parameter] = []
    notes: dict[str, str] = {}
    for key, one in properties.items():
        path = f"/properties/{key[:100]}"
        hint = types.of(one, path, _record_name(key))
        default = inspect.Parameter.empty if key in required else _default(one, hint)
        found.append(_parameter(names[key], hint, default))
        notes[names[key]] = _note(one)
    found.sort(key=lambda one: one.default is not one.empty)  # as Python wants them
    more = document.schema(root.get("additionalProperties", False), "/additionalProperties")
    if more is not False or "patternProperties" in root:
        hint = Any if isinstance(more, bool) else types.of(more, "/additionalProperties", "Value")
        extra = next(one for one in _extra_names() if one not in names.values())
        found.append(inspect.Parameter(extra, inspect.Parameter.VAR_KEYWORD, annotation=hint))
    return found, names, notes


def _properties(
    document: Document, root: dict[str, Any]
) -> tuple[dict[str, Schema], frozenset[str]]:
    """Return the properties of the arguments, and which of them every call must have.

    Where the whole has alternatives, a call may have the properties of each.
    """
    properties = {
        key: document.schema(one, f"/properties/{key[:100]}")
        for key, one in document.entries(root, "properties", "").items()
    }
    own = set(properties)
    required = set(document.names(root, "required", ""))
    for keyword in ("anyOf", "oneOf"):
        shared: list[set[str]] = []
        for number, branch in enumerate(document.items(root, keyword, "")):
            path = f"/{keyword}/{number}"
            one = document.flat(document.schema(branch, path), path)
            if isinstance(one, bool):
                continue
            shared.append(set(document.names(one, "required", path)))
            for key, found in document.entries(one, "properties", path).items():
                schema = document.schema(found, f"{path}/properties/{key[:100]}")
                if key not in properties:
                    properties[key] = schema
                elif key not in own and schema != properties[key]:
                    properties[key] = {"anyOf": [properties[key], schema]}
        if shared:
            required |= set.intersection(*shared)
    for key in sorted(required - properties.keys()):
        properties[key] = True
    return properties, frozenset(required)


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, default=default, annotation=hint)


def _default(schema: Schema, hint: Any) -> Any:
    """Return what a signature shows as the default of a property that may be left out."""
    default = schema.get("default", ...) if isinstance(schema, dict) else ...
    # With None as its default a parameter would accept None, which this schema may forbid.
    nulls = (Any, None, type(None))
    nullable = any(one is null for one in (hint, *typing.get_args(hint)) for null in nulls)
    return ... if default is None and not nullable else default


def _note(schema: Schema) -> str:
    """Return the description of a schema on one line, with the format of a text."""
    if isinstance(schema, bool):
        return ""
    text, kind = schema.get("description"), schema.get("format")
    words = " ".join(text.split()) if isinstance(text, str) else ""
    if not isinstance(kind, str) or kind.lower() in words.lower():
        return words
    return f"{words} (format: {kind})" if words else f"format: {kind}"


def _extra_names() -> Iterator[str]:
    """Yield names for the parameter of all other properties."""
    yield "extra"
    for number in itertools.count(2):
        yield f"extra_{number}"


def _record_name(name: str) -> str:
    return class_name(name) or "Record"
