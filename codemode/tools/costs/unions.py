"""Unions whose validation has no bound, or a large one, and what takes their place.

Pydantic tries each member of a union. Where a part of a value may be reached
through several of them, the tries multiply with each level: in a type that
contains itself, without end. Such a union is replaced by a tagged one, where
each member has a tag of its own, or else by a choice by keys (``choices``) and
a count of what is tried again (``metering``). All other unions stay as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic_core import core_schema

from codemode.tools.costs import choices
from codemode.tools.costs.choices import Choice, Try
from codemode.tools.costs.records import Record, are_apart, record_of, stripped

__all__ = ["Unions"]

type _Node = dict[str, Any]

MAX_TRIES: Final = 8
"""Members that may try one part of a value without a count."""

_MAX_COMPARED: Final = 20

_MAPPING: Final = frozenset({"mapping"})
_SEQUENCE: Final = frozenset({"sequence"})
_SCALAR: Final = frozenset({"scalar"})
_ANY: Final = _MAPPING | _SEQUENCE | _SCALAR
_TAKES: Final = {
    **dict.fromkeys(("typed-dict", "dict", "model-fields", "dataclass-args"), _MAPPING),
    **dict.fromkeys(("list", "tuple", "set", "frozenset", "deque", "generator"), _SEQUENCE),
    **dict.fromkeys(("none", "bool", "int", "float", "complex", "str", "bytes"), _SCALAR),
    **dict.fromkeys(("date", "time", "datetime", "timedelta", "uuid", "url"), _SCALAR),
    **dict.fromkeys(("literal", "multi-host-url"), _SCALAR),
    "decimal": _SCALAR | _SEQUENCE,
}
"""What each kind of schema takes of the values that travel; all others may take any."""


class Unions:
    """The unions of one schema: how often each may try a part of a value."""

    def __init__(self, schema: Any, parts: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        self._parts = parts
        self._definitions = {node["ref"]: node for node in self._nodes(schema) if "ref" in node}
        self._endless = self._endless_references()
        self._tries: dict[str, float] = {}
        self._costs: dict[int, float] = {}
        self._tagged: dict[int, str] = {}
        self.hoisted: list[Any] = []
        """Members that the replacements refer to."""
        self.is_metered = False
        self.alike: tuple[str, str] | None = None
        """Names of two records that contain themselves and may take the same dict."""
        self._count(schema)

    def replaces(self, part: _Node) -> bool:
        """Return whether a union is to be replaced."""
        return id(part) in self._tagged or self._costs.get(id(part), 0) > MAX_TRIES

    def replacement(self, part: _Node, node: _Node) -> Any:
        """Return what stands for a union: ``node`` is the copy of ``part`` to use the parts of."""
        members = [_member(one) for one in part["choices"]]
        copies = [_member(one) for one in node["choices"]]
        if key := self._tagged.get(id(part)):
            return self._by_tag(key, part, members, copies)
        self.is_metered = True
        takes = [self._takes(one) for one in members]
        copies = [
            self._shared(one) if kinds & (_MAPPING | _SEQUENCE) else one
            for one, kinds in zip(copies, takes, strict=True)
        ]
        found = [record_of(one, self._resolve) for one in members]
        self.alike = self.alike or self._alike(members, found)
        indexes = range(len(members))
        maps = [one for one in indexes if "mapping" in takes[one]]
        lists = [one for one in indexes if "sequence" in takes[one]]
        others = [one for one in indexes if "scalar" in takes[one]]
        narrows = not any(
            part.get(key) for key in ("custom_error_type", "custom_error_message", "strict")
        )
        choice = Choice(
            [(one, found[one]) for one in maps],
            sequences=lists,
            scalars=len(others),
            members=len(members),
            narrows=narrows,
            is_smart=part.get("mode", "smart") == "smart",
        )

        def union(members: list[Any]) -> Any:
            rest = {key: one for key, one in node.items() if key != "ref"}
            return {**rest, "choices": members}

        def tried(index: int) -> Any:
            record = found[index]
            made = core_schema.no_info_before_validator_function(
                Try(choice, index, record), copies[index]
            )
            return (made, record.label) if record is not None else made

        several = self._shared(union([tried(one) for one in maps])) if maps else None
        every = union(copies)
        by_tag: dict[str, Any] = {
            choices.ANY: every,
            choices.SCALAR: union([copies[one] for one in others]) if others else every,
        }
        if lists:
            by_tag[choices.SEQUENCE] = union([tried(one) for one in lists])
        if several is not None:
            by_tag[choices.MAPPING] = several
            by_tag[choices.NOTHING] = core_schema.no_info_plain_validator_function(choice.refuse)
        rest: Any = core_schema.no_info_before_validator_function(choice.rule_out, several or every)
        for one in maps:
            by_tag[choices.tag_of(one)] = copies[one]
            # A union, as it alone forgets what a member that fails has read.
            first: Any = core_schema.no_info_wrap_validator_function(choice.try_first, copies[one])
            by_tag[choices.first_tag(one)] = core_schema.union_schema(
                [(first, choices.FIRST), (rest, choices.MAPPING)]
            )
        return core_schema.tagged_union_schema(by_tag, choice.choose)

    def _alike(self, members: list[Any], found: list[Record | None]) -> tuple[str, str] | None:
        endless = [
            record
            for member, record in zip(members, found, strict=True)
            if record is not None and self._references(member) & self._endless
        ]
        for one, other in itertools.combinations(endless[:_MAX_COMPARED], 2):
            if not are_apart(one, other):
                return one.label, other.label
        return None

    def _by_tag(self, key: str, part: _Node, members: list[Any], copies: list[Any]) -> Any:
        by_tag: dict[Any, Any] = {}
        for member, copy in zip(members, copies, strict=True):
            shared = self._shared(copy)
            for tag in sorted(_tags_at(key, record_of(member, self._resolve))):
                by_tag[tag] = shared
        rest = {name: part[name] for name in ("strict", "metadata") if name in part}
        return {**core_schema.tagged_union_schema(by_tag, key), **rest}

    def _shared(self, copy: Any) -> Any:
        """Return a reference to a schema: copies of it in several places would multiply."""
        if copy["type"] == "definition-ref":
            return copy
        copy = dict(copy)
        reference = copy.setdefault("ref", f"codemode:member:{len(self.hoisted)}")
        self.hoisted.append(copy)
        return core_schema.definition_reference_schema(reference)

    def _nodes(self, schema: Any) -> Iterator[_Node]:
        waiting = [schema]
        while waiting:
            one = waiting.pop()
            if isinstance(one, dict):
                if type(one.get("type")) is str:
                    yield one
                waiting += self._parts(one).values()
            elif isinstance(one, list | tuple):
                waiting += one

    def _children(self, node: _Node) -> Iterator[_Node]:
        """Yield the schemas that are next within a schema."""
        waiting = list(self._parts(node).values())
        while waiting:
            one = waiting.pop()
            if isinstance(one, dict):
                if type(one.get("type")) is str:
                    yield one
                else:
                    waiting += one.values()
            elif isinstance(one, list | tuple):
                waiting += one

    def _references(self, schema: Any) -> set[str]:
        nodes = self._nodes(schema)
        return {node["schema_ref"] for node in nodes if node["type"] == "definition-ref"}

    def _endless_references(self) -> set[str]:
        """Return the references from which some type is reached that contains itself."""
        edges = {name: self._references(node) for name, node in self._definitions.items()}
        users: dict[str, list[str]] = {}
        for name, used in edges.items():
            for one in used:
                users.setdefault(one, []).append(name)
        ended = [name for name, used in edges.items() if not used]
        left = {name: len(used) for name, used in edges.items()}
        for name in ended:
            for user in users.get(name, ()):
                left[user] -= 1
                if not left[user]:
                    ended.append(user)
        return edges.keys() - set(ended)

    def _count(self, node: Any) -> float:
        """Return how many members of unions may try one part of a value of a schema."""
        kind = node["type"]
        if kind == "definition-ref":
            name = node["schema_ref"]
            if name not in self._tries:
                self._tries[name] = 1  # where the type contains itself
                self._tries[name] = self._count(self._definitions[name])
            return self._tries[name]
        if kind != "union":
            return max([1.0, *map(self._count, self._children(node))])
        if id(node) not in self._costs:
            self._costs[id(node)] = self._count_union(node)
        return self._costs[id(node)]

    def _count_union(self, node: _Node) -> float:
        members = [_member(one) for one in node["choices"]]
        counts = [self._count(one) for one in members]
        takes = [self._takes(one) for one in members]
        found = 1.0
        for kind in _ANY:
            own = [one for one, kinds in zip(counts, takes, strict=True) if kind in kinds]
            endless = [
                one
                for one, kinds in zip(members, takes, strict=True)
                if kind in kinds and self._references(one) & self._endless
            ]
            tries = sum(own) / (8 if kind == "scalar" else 1)
            found = max(found, tries, float("inf") if len(endless) > 1 else 1)
        if found > MAX_TRIES and (key := self._own_tags(node, members)):
            self._tagged[id(node)] = key
            return max(counts)
        return found

    def _own_tags(self, node: _Node, members: list[Any]) -> str:
        """Return the required key whose tags tell all members of a union apart."""
        if any(node.get(key) for key in ("custom_error_type", "custom_error_message", "strict")):
            return ""
        found = [record_of(one, self._resolve) for one in members]
        for one in found[0].fields if found[0] is not None else ():
            if len(one.keys) == 1 and one.tags is not None:
                (key,) = one.keys
                tags = [tag for record in found for tag in _tags_at(key, record) or ("", "")]
                if len(set(tags)) == len(tags):
                    return key
        return ""

    def _resolve(self, node: Mapping[str, Any]) -> Any:
        return self._definitions[node["schema_ref"]]

    def _takes(self, node: Any, depth: int = 20) -> frozenset[str]:
        node = stripped(node, self._resolve)
        kind = node["type"]
        if not depth:
            return _ANY
        if kind in ("model", "dataclass"):
            return self._takes(node["schema"], depth - 1)
        if kind == "nullable":
            return self._takes(node["schema"], depth - 1) | _SCALAR
        if kind in ("union", "tagged-union"):
            inner = node["choices"]
            members = inner.values() if isinstance(inner, dict) else map(_member, inner)
            return frozenset().union(*(self._takes(one, depth - 1) for one in members))
        return _TAKES.get(kind, _ANY)


def _member(choice: Any) -> Any:
    return choice[0] if isinstance(choice, tuple) else choice


def _tags_at(key: str, record: Record | None) -> frozenset[str]:
    """Return the tags that a record requires at a key, none where it takes others too."""
    for one in record.fields if record is not None else ():
        if one.keys == {key} and one.required and one.tags is not None:
            return one.tags
    return frozenset()
