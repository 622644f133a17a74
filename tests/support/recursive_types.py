"""Types that contain themselves through a union, and values for them, made at random."""

from __future__ import annotations

import itertools
import random
import sys
import types
from typing import Any

from pydantic import TypeAdapter

__all__ = ["recursive_type", "value_for"]

_HEAD = """
from __future__ import annotations
from dataclasses import dataclass
from typing import Literal, NotRequired, Optional, TypedDict
from pydantic import BaseModel, ConfigDict
"""
_KEYS = ("a", "b", "c", "n")
_TAGS = ("x", "y", "z")
_TYPES = ("U", "U", "list[U]", "Optional[U]", "dict[str, U]", "tuple[U, ...]", "int", "str")
_MORE = ("int", "str", "None", "list[U]", "tuple[U, ...]", "dict[str, U]", "bool")
_EXTRA = ("ignore", "forbid", "allow")
_numbers = itertools.count()


def recursive_type(chance: random.Random) -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
    """Return the adapters of a union of records that contain it, and of a list of such."""
    records = [f"M{number}" for number in range(chance.randint(2, 4))]
    members = [*records, *chance.sample(_MORE, chance.randint(0, 3))]
    chance.shuffle(members)
    is_tagged = chance.random() < 0.4
    lines = [_HEAD]
    for number, name in enumerate(records):
        lines += _record(chance, name, _TAGS[number % 3] if is_tagged else "")
    union = " | ".join(members)
    is_alias = chance.random() < 0.5 or "U]" in union or "U, " in union
    lines.append(f"type U = {union}" if is_alias else f"U = {union}")
    lines.append("V = list[U]")
    name = f"recursive_types_{next(_numbers)}"
    module = types.ModuleType(name)
    sys.modules[name] = module  # where pydantic finds what the hints name
    try:
        exec("\n".join(lines), module.__dict__)
        for one in records:
            if hasattr(module.__dict__[one], "model_rebuild"):
                module.__dict__[one].model_rebuild()
        made = module.__dict__
        return _adapter(made["U"], made), _adapter(made["V"], made)
    finally:
        del sys.modules[name]


def _adapter(hint: Any, names: dict[str, Any]) -> TypeAdapter[Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    if not adapter.pydantic_complete:
        adapter.rebuild(raise_errors=True, _types_namespace=names)
    return adapter


def _record(chance: random.Random, name: str, tag: str) -> list[str]:
    kind = chance.choice(("model", "model", "dataclass", "typed-dict"))
    extra = chance.choice(_EXTRA)
    fields = [
        (key, chance.choice(_TYPES), chance.random() < 0.5)
        for key in chance.sample(_KEYS, chance.randint(1, 3))
    ]
    if tag and chance.random() < 0.8:
        fields.append(("op", f'Literal["{tag}"]', chance.random() < 0.7))
    fields.sort(key=lambda one: not one[2])  # in a dataclass, what has a default comes last
    config = f'ConfigDict(extra="{extra}")'
    match kind:
        case "typed-dict":
            body = [
                f"    {key}: {hint if is_required else f'NotRequired[{hint}]'}"
                for key, hint, is_required in fields
            ]
            return [f"class {name}(TypedDict):", f"    __pydantic_config__ = {config}", *body]
        case "dataclass":
            head = ["@dataclass", f"class {name}:", f"    __pydantic_config__ = {config}"]
        case _:
            head = [f"class {name}(BaseModel):", f"    model_config = {config}"]
    return head + [
        f"    {key}: {hint}" + ("" if is_required else f" = {_default(hint)}")
        for key, hint, is_required in fields
    ]


def _default(hint: str) -> str:
    return hint[8:-1] if hint.startswith("Literal") else "None"


def value_for(chance: random.Random, depth: int) -> Any:
    """Return a value that may fit a type of ``recursive_type``."""
    roll = chance.random()
    if depth <= 0 or roll < 0.15:
        return chance.choice((1, 0, "s", "1", None, True, [], {}))
    if roll < 0.3:
        return [value_for(chance, depth - 1) for _ in range(chance.randint(1, 2))]
    keys = chance.sample((*_KEYS, "q"), chance.randint(1, 3))
    record = {key: value_for(chance, depth - 1) for key in keys}
    if chance.random() < 0.5:
        record["op"] = chance.choice((*_TAGS, "w", 1))
    return record


def nested_value(chance: random.Random) -> Any:
    """Return a value of many levels, of at most 64 KiB, that tries many members of a union."""
    wrong = [*({"op": "x"} for _ in range(10_000)), {"op": 1}]
    wide: list[Any] = [[1] * 50_000, [{}] * 40_000, [{"a": 1}] * 12_000, wrong]
    value: Any = chance.choice((1, "s", {}, *wide, value_for(chance, 3)))
    steps = [_step(chance) for _ in range(chance.randint(1, 3))]
    for number in range(chance.choice((8, 16, 25))):
        key, is_list, more = steps[number % len(steps)]
        value = [value] if is_list else value
        value = {key: value, **more} if key else value
    return value


def _step(chance: random.Random) -> tuple[str, bool, dict[str, Any]]:
    key = chance.choice((*_KEYS, "q", ""))
    more: dict[str, Any] = {}
    if chance.random() < 0.6:
        more["op"] = chance.choice((*_TAGS, "w"))
    if chance.random() < 0.3:
        more["n" if key != "n" else "a"] = chance.choice((None, 1, "s"))
    return key, not key or chance.random() < 0.5, more
