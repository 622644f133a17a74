"""The types that a JSON Schema stands for, against which pydantic checks values."""

from __future__ import annotations

import keyword
import re
import typing
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, NotRequired, Required

from pydantic import AfterValidator, ConfigDict, Field, GetPydanticSchema
from pydantic_core import core_schema

from codemode.tools.from_schema.constraints import (
    one_of,
    refuse,
    restrict_array,
    restrict_number,
    restrict_object,
    restrict_text,
)
from codemode.tools.from_schema.document import Document, Schema, says_more

__all__ = ["SchemaTypes", "class_name"]

_MAX_NESTING: Final = 50
"""Types within types, which pydantic builds by recursion."""
_MAX_LITERAL: Final = 64
"""Values that a signature shows; more are checked, but not shown."""

_MAX_NAME: Final = 60
_OF_TYPING: Final = frozenset({"Any", "Literal", "NotRequired", "Required", "TypedDict"})

_NOTHING: Final = Annotated[Any, AfterValidator(refuse)]
_OF_OBJECTS: Final = frozenset(
    {"additionalProperties", "maxProperties", "minProperties", "patternProperties"}
    | {"properties", "propertyNames", "required"}
)
_OF_ARRAYS: Final = frozenset({"items", "maxItems", "minItems", "prefixItems", "uniqueItems"})


def _number_schema(_source: Any, _handler: Any) -> core_schema.CoreSchema:
    # An int stays one: a large int would lose digits as a float.
    numbers: list[Any] = [core_schema.int_schema(), core_schema.float_schema(allow_inf_nan=False)]
    return core_schema.union_schema(numbers, custom_error_type="float_type")


_Number = Annotated[float, GetPydanticSchema(_number_schema)]


@dataclass(slots=True)
class _Reference:
    """A place in the schema that others refer to: its type, and how much a use of it costs."""

    pointer: str
    name: str
    hint: Any = None
    alias: Any = None
    steps: int = 0
    uses: set[str] = field(default_factory=set)


class SchemaTypes:
    """A maker of types; what refers to the same place shares one type, even within that place."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._references: dict[str, _Reference] = {}
        self._open: list[_Reference] = []
        self._seen: set[str] = set()
        self._depth = 0

    def of(self, schema: Schema, path: str, name: str) -> Any:
        """Return the type of one schema; ``name`` is for a record that has no name of its own."""
        self._seen = set()
        return self._type(schema, path, name)

    def _type(self, schema: Schema, path: str, name: str) -> Any:
        self._document.count(path)
        if self._open:
            self._open[-1].steps += 1
        if self._depth >= _MAX_NESTING:
            raise self._document.error(
                path, f"nests more than {_MAX_NESTING} types; flatten it or use type 'object'"
            )
        self._depth += 1
        try:
            return self._made(schema, path, name)
        finally:
            self._depth -= 1

    def _made(self, schema: Schema, path: str, name: str) -> Any:
        if isinstance(schema, dict):
            if "$ref" in schema and not says_more(schema, "$ref", "nullable"):
                return _union([self._referred(schema["$ref"], path), *_null(schema)])
            parts = self._document.items(schema, "allOf", path)
            if len(parts) == 1 and not says_more(schema, "allOf", "nullable"):
                place = f"{path}/allOf/0"
                hint = self._type(self._document.schema(parts[0], place), place, name)
                return _union([hint, *_null(schema)])
        flat = self._document.flat(schema, path)
        if isinstance(flat, bool):
            return Any if flat else _NOTHING
        name = class_name(flat.get("title")) or name
        for choice in ("anyOf", "oneOf"):
            if self._document.items(flat, choice, path):
                return self._any_of(flat, choice, path, name)
        if "const" in flat:
            return _union([_literal([flat["const"]]), *_null(flat)])
        if "enum" in flat:
            return _union([_literal(self._document.items(flat, "enum", path)), *_null(flat)])
        kinds = self._document.types(flat, path) or _inferred(flat)
        alone = kinds == ("object",) and not _null(flat) and not restrict_object(flat)
        place_of = self._open[-1] if self._open and self._open[-1].pointer == path else None
        whole = place_of if alone else None
        return _union([*(self._kind(one, flat, path, name, whole) for one in kinds), *_null(flat)])

    def _referred(self, reference: object, path: str) -> Any:
        pointer, target = self._document.target(reference, path)
        if self._open:
            self._open[-1].uses.add(pointer)
        known = self._references.get(pointer)
        if known is None:
            return self._refer(pointer, target)
        self._count_again(pointer)
        if known.hint is not None:
            return known.hint
        if known.alias is None:
            known.alias = _alias(known.name, lambda: known.hint)
        return known.alias

    def _refer(self, pointer: str, target: Schema) -> Any:
        """Return the type of a place to which nothing has referred before."""
        name = class_name(pointer.rpartition("/")[2]) or "Record"
        place = self._references[pointer] = _Reference(pointer, name)
        self._seen.add(pointer)
        self._open.append(place)
        hint = self._type(target, pointer, name)
        self._open.pop()
        if place.alias is None:
            place.hint = hint
            return hint
        if hint is place.alias:
            raise self._document.error(pointer, "refers to nothing but itself; define it")
        # From now on the alias stands for the type everywhere: pydantic 2.12 refuses a mixture.
        place.hint = hint
        assert place.alias.__value__ is hint  # evaluated, and kept
        place.hint = place.alias
        return place.alias

    def _count_again(self, pointer: str) -> None:
        """Count what a use costs, once for each type that is made: pydantic builds it again."""
        waiting = [pointer]
        while waiting:
            one = waiting.pop()
            if one not in self._seen:
                self._seen.add(one)
                self._document.count(one, self._references[one].steps)
                waiting += self._references[one].uses

    def _any_of(self, schema: dict[str, Any], choice: str, path: str, name: str) -> Any:
        common = {key: one for key, one in schema.items() if key not in (choice, "nullable")}
        hints = []
        records = 0  # without a name of their own, which a message about them needs
        for number, branch in enumerate(schema[choice]):
            place = f"{path}/{choice}/{number}"
            one = self._document.schema(branch, place)
            wanted: Schema = {"allOf": [one, common]} if says_more(common) else one
            unique = f"{name}{records + 1}" if records else name
            hints.append(self._type(wanted, place, unique))
            records += getattr(hints[-1], "__name__", "") == unique
        return _union([*hints, *_null(schema)])

    def _kind(
        self, kind: str, schema: dict[str, Any], path: str, name: str, whole: _Reference | None
    ) -> Any:
        match kind:
            case "string":
                return _annotated(str, restrict_text(schema))
            case "integer":
                return _annotated(int, restrict_number(schema))
            case "number":
                return _annotated(_Number, restrict_number(schema))
            case "boolean":
                return bool
            case "null":
                return None
            case "array":
                return _annotated(self._array(schema, path, name), restrict_array(schema))
            case "object":
                hint = self._object(schema, path, name, whole)
                return _annotated(hint, restrict_object(schema))
        return Any

    def _array(self, schema: dict[str, Any], path: str, name: str) -> Any:
        items = schema.get("items", True)
        if isinstance(items, list) or "prefixItems" in schema:
            return list[Any]  # a type for each place, which the type of a list does not have
        place = f"{path}/items"
        hint = self._type(self._document.schema(items, place), place, f"{name}Item")
        return _of(list, hint)

    def _object(
        self, schema: dict[str, Any], path: str, name: str, whole: _Reference | None
    ) -> Any:
        properties = self._document.entries(schema, "properties", path)
        required = self._document.names(schema, "required", path)
        place = f"{path}/additionalProperties"
        more = self._document.schema(schema.get("additionalProperties", True), place)
        if "patternProperties" in schema:
            more = True  # the patterns say which keys are additional, and are not read
        if not properties and not required and more is not False:
            values = Any if more is True else self._type(more, place, f"{name}Value")
            return _of(dict, (str, values))
        make: Any = typing.TypedDict
        record = make(name, {})
        if whole is not None:
            whole.hint = record  # filled in below, because a field may be of the very record
        needed = set(required)
        hints: dict[str, Any] = {}
        for key, one in {**dict.fromkeys(required, True), **properties}.items():
            within = f"{path}/properties/{key[:100]}"
            hint = self._type(
                self._document.schema(one, within), within, class_name(key) or "Record"
            )
            if isinstance(one, dict) and isinstance(note := one.get("description"), str):
                hint = Annotated[hint, Field(description=note)]
            hints[key] = Required[hint] if key in needed else NotRequired[hint]
        record.__annotations__ = hints
        record.__required_keys__ = frozenset(needed)
        record.__optional_keys__ = frozenset(hints.keys() - needed)
        record.__pydantic_config__ = ConfigDict(extra="forbid" if more is False else "allow")
        if not isinstance(more, bool):
            record.__extra_items__ = self._type(more, place, f"{name}Value")  # PEP 728
        return record


def _inferred(schema: dict[str, Any]) -> tuple[str, ...]:
    """Return the type that a schema without one means by its other keywords."""
    if not _OF_OBJECTS.isdisjoint(schema):
        return ("object",)
    return ("array",) if not _OF_ARRAYS.isdisjoint(schema) else ("any",)


def _null(schema: dict[str, Any]) -> tuple[None, ...]:
    return (None,) if schema.get("nullable") is True else ()  # of OpenAPI 3.0


def _of(generic: Any, arguments: Any) -> Any:
    """Return a type of types that are made here, which no checker follows."""
    return generic[arguments]


def _annotated(hint: Any, annotations: list[Any]) -> Any:
    return Annotated[hint, *annotations] if annotations else hint


def _literal(values: list[Any]) -> Any:
    if not values:
        return _NOTHING
    plain = all(one is None or type(one) in (str, int, bool) for one in values)
    if plain and len(values) <= _MAX_LITERAL:
        return _of(Literal, tuple(values))
    kinds = {type(one) for one in values}
    return Annotated[kinds.pop() if len(kinds) == 1 and plain else Any, one_of(values)]


def _union(hints: Iterable[Any]) -> Any:
    """Return the type of what fits one of some types."""
    found = [one for one in hints if one is not _NOTHING]
    if not found:
        return _NOTHING
    if Any in found:
        return Any
    literals = [one for one in found if typing.get_origin(one) is Literal]
    if len(literals) > 1:
        values = [value for one in literals for value in typing.get_args(one)]
        found = [_literal(values), *(one for one in found if one not in literals)]
    return _of(typing.Union, tuple(found))


def _alias(name: str, value: Callable[[], Any]) -> Any:
    """Return a type alias whose value is found later, so that it may contain itself."""
    # The only way to such an alias with a given name; the name is an identifier.
    made: dict[str, Any] = {"value": value}
    exec(f"type {name} = value()", made)  # noqa: S102
    return made[name]


def class_name(text: object) -> str:
    """Return a text as the name of a class; empty if it has no letter or digit."""
    words = re.findall(r"[^\W_]+", text[:_MAX_NAME]) if isinstance(text, str) else []
    name = "".join(word[0].upper() + word[1:] for word in words)
    if not name:
        return ""
    name = unicodedata.normalize("NFKC", name)
    if not name.isidentifier():
        name = f"_{name}"
    if not name.isidentifier():
        return ""
    return f"{name}Record" if keyword.iskeyword(name) or name in _OF_TYPING else name
