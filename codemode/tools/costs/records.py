"""What a record of a core schema takes: its keys, those it requires, and its tags.

A value that lacks a required key, or has another tag, certainly does not fit.
So of the members of a union most can be left out by a look at the keys of a
value, without a change of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Field", "Record", "are_apart", "record_of", "stripped"]

type _Node = Mapping[str, Any]
type Resolve = Callable[[_Node], _Node]

_LAYERS: Final = frozenset({"default", "function-after"})


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field of a record. ``keys`` are all under which a value may hold it."""

    keys: frozenset[str]
    schema: Any
    required: bool
    tags: frozenset[str] | None
    """The texts that it takes, None where it takes others too."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """The fields of a model, a dataclass or a TypedDict.

    Only ``closed`` records refuse more keys. Two records that are ``plain`` and
    of one ``kind`` differ in nothing but their fields, and in what becomes of
    other keys (``extra``). One that ``reads_all`` validates those too. ``label``
    is the name.
    """

    label: str
    extra: str
    plain: bool
    reads_all: bool
    kind: tuple[Any, ...]
    fields: list[Field] = field(default_factory=list)


def stripped(node: _Node, resolve: Resolve) -> _Node:
    """Return a schema without what neither takes nor gives anything but it does."""
    for _ in range(20):
        if node["type"] == "definition-ref":
            node = resolve(node)
        elif node["type"] in _LAYERS:
            node = node["schema"]
        else:
            break
    return node


def record_of(node: _Node, resolve: Resolve) -> Record | None:
    """Return the Record of a schema, None where a look at a value's keys cannot decide."""
    outer = node
    node = stripped(node, resolve)
    plain = outer["type"] in ("definition-ref", node["type"])
    config: dict[str, Any] = dict(node.get("config") or {})
    config.pop("title", None)
    extra = config.pop("extra_fields_behavior", None)
    inner = node
    if node["type"] in ("model", "dataclass"):
        if node.get("root_model") or node.get("custom_init"):
            return None
        inner = stripped(node["schema"], resolve)
        plain = plain and inner is node["schema"] and not node.get("post_init")
    if inner["type"] not in ("model-fields", "dataclass-args", "typed-dict"):
        return None
    extra = inner.get("extra_behavior") or node.get("extra_behavior") or extra or "ignore"
    fields = inner["fields"]
    named = fields.items() if isinstance(fields, dict) else ((one["name"], one) for one in fields)
    cls = node.get("cls")
    reads_all = "extras_schema" in inner or "extras_keys_schema" in inner
    label = getattr(cls, "__name__", "") or node.get("cls_name") or node["type"]
    record = Record(
        label,
        extra=extra,
        plain=plain and not config.get("validate_default") and not reads_all,
        reads_all=reads_all,
        kind=(inner["type"], inner.get("strict"), node.get("strict"), repr(config)),
    )
    by_name = bool(config.get("validate_by_name") or config.get("populate_by_name"))
    by_name = by_name or config.get("validate_by_alias") is False
    total = inner.get("total", config.get("typed_dict_total", True))
    for name, one in named:
        keys = _keys(name, one.get("validation_alias"), by_name=by_name)
        if keys is None:
            return None
        required = _is_required(one, inner["type"], total=total, resolve=resolve)
        record.fields.append(Field(keys, one["schema"], required, _tags(one["schema"])))
    return record


def are_apart(one: Record, other: Record) -> bool:
    """Return whether tags or required keys tell two records apart, whatever the value."""
    for first in one.fields:
        for second in other.fields:
            if (
                first.tags is not None
                and second.tags is not None
                and first.keys == second.keys
                and len(first.keys) == 1
                and first.tags.isdisjoint(second.tags)
                and (first.required or second.required)
            ):
                return True
    return _refuses_other(one, other) or _refuses_other(other, one)


def _refuses_other(one: Record, other: Record) -> bool:
    if one.extra != "forbid":
        return False
    known = {key for field in one.fields for key in field.keys}
    return any(field.required and known.isdisjoint(field.keys) for field in other.fields)


def _keys(name: str, alias: Any, *, by_name: bool) -> frozenset[str] | None:
    """Return all keys of a value under which a field may be; None where it is not known."""
    if alias is None:
        return frozenset({name})
    keys = {name} if by_name else set()
    paths = alias if isinstance(alias, list) and isinstance(alias[0], list) else [alias]
    for path in paths:
        key = path if isinstance(path, str) else path[0]
        if not isinstance(key, str):
            return None
        keys.add(key)
    return frozenset(keys)


def _is_required(one: _Node, kind: str, *, total: bool, resolve: Resolve) -> bool:
    if kind == "typed-dict":
        return bool(one.get("required", total))
    return one.get("init", True) is not False and not _has_default(one["schema"], resolve)


def _tags(schema: Any) -> frozenset[str] | None:
    if schema["type"] == "default":
        schema = schema["schema"]
    if schema["type"] != "literal" or any(type(text) is not str for text in schema["expected"]):
        return None
    return frozenset(schema["expected"])


def _has_default(schema: Any, resolve: Resolve) -> bool:
    for _ in range(20):
        if schema["type"] == "default":
            return True
        if schema["type"] == "definition-ref":
            schema = resolve(schema)
        elif isinstance(schema.get("schema"), dict):
            schema = schema["schema"]
        else:
            return False
    return True
