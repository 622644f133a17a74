"""Validators that take time and memory in proportion to a hostile value.

Pydantic builds what a hint asks for, and three things of it have no bound in
what the caller sent: a set or dict of numbers that were *made* here to collide
(``set[int]`` given a list, ``dict[int, str]`` given text keys), the same
collisions a moment later, when a tool makes a set or a query of its
``list[int]``, and an error for each of a million wrong items. So the schema
that pydantic has made of a hint is copied with three changes: containers fail
at their first wrong item, the members of sets and the keys of dicts are
converted and looked at before the set or dict is built, and the members of
lists after they were converted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
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
from codemode.values.floods import check_list

__all__ = ["guarded_validator", "kinds_of"]

type _Node = dict[str, Any]

_LISTS: Final = frozenset({"list", "tuple", "deque"})
_SETS: Final = frozenset({"set", "frozenset"})
_OPAQUE: Final = frozenset(
    {"cls", "config", "default", "expected", "members", "metadata", "ref", "serialization"}
)
"""Keys of a schema that hold no schema."""
_SECRET: Final = frozenset({"str", "bytes", "bool", "none", "literal", "enum", "nullable"})
"""Schemas of what is hashed under a secret, or is one of a few values."""


def guarded_validator(adapter: TypeAdapter[Any]) -> SchemaValidator:
    """Return a validator with the rules of an adapter and a bound on their cost.

    A pydantic model with an ``__init__`` of its own validates what is in it
    on its own, so that the bound ends there.
    """
    guard = _Guard()
    guarded = guard.copy(adapter.core_schema)
    return _validator(guarded) if guard.used else cast("SchemaValidator", adapter.validator)


def _validator(schema: CoreSchema) -> SchemaValidator:
    try:
        # A model's own validator must not take the place of its guarded schema.
        return SchemaValidator(schema, None, _use_prebuilt=False)
    except TypeError:  # pydantic 2.12, which never does that
        return SchemaValidator(schema)


def kinds_of(schema: Any) -> set[str]:
    """Return the types of a schema and of all that it is made of."""
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
    """Return what of a node may be or hold schemas; in a table of fields, all of it."""
    is_schema = type(node.get("type")) is str
    return {key: one for key, one in node.items() if not (is_schema and key in _OPAQUE)}


class _Guard:
    """A copy of one schema, with the guards in it."""

    def __init__(self) -> None:
        self.used = False
        self._definitions: list[Any] = []

    def copy(self, part: Any) -> Any:
        if isinstance(part, list | tuple):
            return type(part)(map(self.copy, part))
        if not isinstance(part, dict):
            return part
        node = {**part, **{key: self.copy(one) for key, one in _parts(part).items()}}
        kind = node.get("type")
        if kind == "definitions":
            self._definitions += node["definitions"]
        elif "keys_schema" in node or kind == "dict" or kind in _SETS or kind in _LISTS:
            self.used = True
            return self._container({**node, "fail_fast": True}, part)
        elif kind in ("model", "typed-dict", "dataclass") and _forbids_more_keys(part):
            self.used = True
            return _before(_few_keys(_fields(part)), node)
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
        return _before(_Members(node.get(members), self._definitions), node)


class _Members:
    """A look at what the members of a set or the keys of a dict are converted to."""

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
    try:
        check_list(values, every_kind=every_kind)
    except TypeError as error:
        raise PydanticKnownError("set_item_not_hashable") from error
    except ValueDecodingError as error:
        raise PydanticCustomError(
            "collision", "must not hold numbers that were chosen to collide in a set"
        ) from error


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
    # Each field may have aliases, and an error for each of twenty keys is plenty.
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
