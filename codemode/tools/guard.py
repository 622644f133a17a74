"""Validators that take time and memory in proportion to a hostile value.

Pydantic builds what a hint asks for. In some cases the cost has no bound in
the size of what the caller sent:

* a set or dict of numbers that collide only once they are converted here
  (``set[int]`` given a list, ``dict[int, str]`` given string keys);
* the same collisions later, when a tool makes a set or a query of its
  ``list[int]``;
* an error for each of a million wrong items;
* tries of the members of unions within unions, and long patterns.

So the schema that pydantic has made of a hint is copied with some changes.
Containers fail at their first wrong item. The members of sets and the keys of
dicts are converted and checked before the set or dict is built. The members of
lists are checked after they are converted. An ``Iterable`` is a list. The tries
are fewer, and counted (``costs``).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final, cast

from pydantic import TypeAdapter
from pydantic_core import (
    CoreSchema,
    PydanticCustomError,
    PydanticKnownError,
    SchemaValidator,
    core_schema,
)

from codemode.errors.base import ValueDecodingError
from codemode.tools.costs.metering import MeteredValidator, Validator
from codemode.tools.costs.patterns import MAX_PLACES, PatternCharge, places_of
from codemode.tools.costs.unions import Unions
from codemode.values.equal_hashes import has_large_fraction
from codemode.values.floods import check_list
from codemode.values.wire_format import MAX_KEY_FRACTION_BITS

__all__ = ["guarded_validator", "kinds_of"]

type _Node = dict[str, Any]

_LISTS: Final = frozenset({"list", "tuple", "deque"})
_SETS: Final = frozenset({"set", "frozenset"})
_OPAQUE: Final = frozenset(
    {"cls", "config", "default", "expected", "members", "metadata", "ref", "serialization"}
)
"""Keys of a schema that hold no schema."""
_SECRET: Final = frozenset({"str", "bytes", "bool", "none", "literal", "enum", "nullable"})
"""Kinds of schemas whose values are hashed with a secret seed, or are few."""


def guarded_validator(adapter: TypeAdapter[Any]) -> Validator:
    """Return a validator with the rules of an adapter and a bound on their cost.

    A pydantic model that defines ``__init__`` validates its content itself, so
    the bound ends there.
    """
    unions = Unions(adapter.core_schema, _parts)
    guard = _Guard(unions)
    guarded = guard.copy(adapter.core_schema)
    if not guard.used:
        return cast("SchemaValidator", adapter.validator)
    if unions.hoisted:
        guard.definitions += unions.hoisted
        guarded = core_schema.definitions_schema(guarded, unions.hoisted)
    validator = _validator(guarded)
    if guard.is_metered or unions.is_metered:
        return MeteredValidator(validator, unions.alike)
    return validator


def _validator(schema: CoreSchema) -> SchemaValidator:
    try:
        # A model's own prebuilt validator must not replace its guarded schema.
        return SchemaValidator(schema, None, _use_prebuilt=False)
    except TypeError:  # pydantic 2.12 has no such argument
        return _built_anew(schema)


_building_anew = threading.Lock()


def _built_anew(schema: CoreSchema) -> SchemaValidator:
    """Build a validator with pydantic 2.12, which takes that of a class that is complete."""
    with _building_anew:
        kinds = [
            kind
            for node in _nodes(schema)
            if isinstance(kind := node.get("cls"), type)
            and kind.__dict__.get("__pydantic_complete__") is True
        ]
        try:
            for kind in kinds:
                _set_complete(kind, False)
            return SchemaValidator(schema)
        finally:
            for kind in kinds:
                _set_complete(kind, True)


def _set_complete(kind: Any, complete: bool) -> None:
    kind.__pydantic_complete__ = complete


def kinds_of(schema: Any) -> set[str]:
    """Return the type of a schema and the types of all schemas within it."""
    return {node["type"] for node in _nodes(schema) if type(node.get("type")) is str}


def _nodes(schema: Any) -> Iterator[_Node]:
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield cast("_Node", one)
            waiting += _parts(one).values()
        elif isinstance(one, list | tuple):
            waiting += one


def _parts(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a node that may be or hold schemas: all, in a table of fields."""
    is_schema = type(node.get("type")) is str
    return {key: one for key, one in node.items() if not (is_schema and key in _OPAQUE)}


class _Guard:
    """The maker of a copy of one schema, with the guards in it."""

    def __init__(self, unions: Unions) -> None:
        self.used = False
        self.is_metered = False
        self.definitions: list[Any] = []
        self._unions = unions
        self._local = threading.local()

    def copy(self, part: Any) -> Any:
        if isinstance(part, list | tuple):
            return type(part)(map(self.copy, part))
        if not isinstance(part, dict):
            return part
        if part.get("type") == "generator":
            # It would convert and check its items only where the tool draws them.
            self.used = True
            part = {**part, "type": "list"}
        node = {**part, **{key: self.copy(one) for key, one in _parts(part).items()}}
        if type(node.get("type")) is not str:
            return node  # a table of fields, one of which may be named "type"
        if "ref" not in node:
            return self._guarded(node, part)
        # What refers to this schema must find the guard around it.
        reference = node.pop("ref")
        return {**self._guarded(node, part), "ref": reference}

    def _guarded(self, node: _Node, part: _Node) -> Any:
        kind = node["type"]
        if kind == "definitions":
            self.definitions += node["definitions"]
        elif "keys_schema" in node or kind == "dict" or kind in _SETS or kind in _LISTS:
            self.used = True
            return self._container({**node, "fail_fast": True}, part)
        elif kind in ("model", "typed-dict", "dataclass") and _forbids_more_keys(part):
            self.used = True
            return _before(_few_keys(_fields(part)), node)
        elif kind == "function-plain" and _makes_fractions(part):
            self.used = True
            return {**node, "function": {"type": "no-info", "function": _fraction}}
        elif kind == "str" and (places := _places(part)) > MAX_PLACES:
            self.used = self.is_metered = True
            return _before(PatternCharge(places), node)
        elif kind == "union" and self._unions.replaces(part):
            self.used = True
            return self._unions.replacement(part, node)
        return node

    def _container(self, node: _Node, original: _Node) -> Any:
        kind = node["type"]
        fixed = kind == "tuple" and "variadic_item_index" not in node
        members = "items_schema" if kind in _SETS or kind in _LISTS else "keys_schema"
        if fixed or (members in original and kinds_of(original[members]) <= _SECRET):
            return node
        if kind in _LISTS:
            return core_schema.no_info_after_validator_function(
                _check_numbers, cast("CoreSchema", node)
            )
        check = _Members(node.get(members), self.definitions)
        if kind in _SETS:
            return core_schema.no_info_wrap_validator_function(
                _OfSet(check, self._local), cast("CoreSchema", node)
            )
        return _before(check, node)


class _OfSet:
    """A check of a set's members, of which nothing is checked again when the set is built.

    Without that, each level of a recursive hint would be validated twice by the
    level around it: 2⁶⁴ times for a value of 64 levels.
    """

    def __init__(self, check: _Members, local: threading.local) -> None:
        self._check = check
        self._local = local

    def __call__(self, value: Any, build: Callable[[Any], Any]) -> Any:
        if getattr(self._local, "is_checked", False):
            return build(value)
        self._check(value)
        self._local.is_checked = True
        try:
            return build(value)
        finally:
            self._local.is_checked = False


class _Members:
    """A check of the members of a set, or of the keys of a dict, as they are once converted."""

    def __init__(self, members: CoreSchema | None, definitions: list[Any]) -> None:
        self._members = members
        self._definitions = definitions

    @functools.cached_property
    def _list(self) -> SchemaValidator:
        # Made on first use, when all definitions have been copied.
        listed: CoreSchema = core_schema.list_schema(self._members, fail_fast=True)
        if self._definitions:
            listed = core_schema.definitions_schema(listed, self._definitions)
        return _validator(listed)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, list | tuple | set | frozenset | dict):
            _check(self._list.validate_python(list(value)), every_kind=True)
        return value


def _check_numbers(values: Any) -> Any:
    _check(values)
    return values


def _check(values: Any, *, every_kind: bool = False) -> None:
    if every_kind and has_large_fraction(values):
        raise PydanticCustomError(
            "large_fraction",
            "must hold Fractions of at most {bits} bits above and below, as it hashes them",
            {"bits": MAX_KEY_FRACTION_BITS},
        )
    try:
        check_list(values, every_kind=every_kind)
    except TypeError as error:
        raise PydanticKnownError("set_item_not_hashable") from error
    except ValueDecodingError as error:
        raise PydanticCustomError(
            "collision", "must not hold numbers that were chosen to collide in a set"
        ) from error


def _makes_fractions(node: _Node) -> bool:
    return getattr(node["function"]["function"], "__name__", "") == "fraction_validator"


def _fraction(value: Any) -> Fraction:
    """Do as the validator of pydantic 2.12, which lets the TypeError through."""
    try:
        return Fraction(value)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise PydanticCustomError("fraction_parsing", "Input is not a valid fraction") from error


def _places(node: _Node) -> int:
    """Return the places of a text's pattern, where it is of pydantic's own engine."""
    config = node.get("config") or {}
    engine = node.get("regex_engine") or config.get("regex_engine")
    pattern = node.get("pattern")
    return places_of(pattern) if type(pattern) is str and engine != "python-re" else 0


def _forbids_more_keys(node: _Node) -> bool:
    config = node.get("config") or {}
    return "forbid" in (
        node.get("extra_behavior"),
        node.get("schema", {}).get("extra_behavior"),
        config.get("extra_fields_behavior"),
    )


def _fields(node: _Node) -> int:
    return next((len(one["fields"]) for one in _nodes(node) if "fields" in one), 0)


def _few_keys(fields: int) -> Callable[[Any], Any]:
    # Each field may have aliases, and errors for twenty more keys are enough.
    most = 4 * fields + 20

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > most:
            raise PydanticCustomError(
                "too_many_keys", "must have at most {most} keys", {"most": most}
            )
        return value

    return check


def _before(function: Callable[[Any], Any], node: _Node) -> Any:
    return core_schema.no_info_before_validator_function(function, cast("CoreSchema", node))
