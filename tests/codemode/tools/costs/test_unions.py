"""Unions that contain themselves: pydantic's results, at a cost in proportion to the value."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, Field, TypeAdapter, ValidationError, WrapValidator
from pydantic_core import SchemaValidator

from codemode.tools import InvalidArguments, Tool, make_tool
from codemode.tools.costs.metering import TooManyTriesError, Validator
from codemode.tools.from_schema.schema_tool import tool_from_schema
from codemode.tools.guard import guarded_validator
from codemode.values import decode, encode
from tests.support.recursive_types import nested_value, recursive_type, value_for

# Costs are CPU time. On a busy machine, the same CPU time takes many times longer by the clock.
pytestmark = pytest.mark.timeout(600)


SIZE = 64 * 1024


class And(BaseModel):
    left: Expr


class Not(BaseModel):
    left: Expr
    note: str = ""


class Leaf(BaseModel):
    field: str


Expr = And | Not | Leaf


class All(BaseModel):
    op: Literal["all"]
    items: list[Tagged]


class Some(BaseModel):
    op: Literal["some"]
    items: list[Tagged]


class Equal(BaseModel):
    op: Literal["equal"]
    field: str


Tagged = All | Some | Equal


class Group(BaseModel):
    name: str = ""
    parts: list[Group | Item] = []


class Item(BaseModel):
    name: str = ""
    sku: str = ""
    parts: list[Group | Item] = []


@dataclass
class Left:
    left: Sides


@dataclass
class Right:
    left: Sides
    note: str = ""


Sides = Left | Right | int


class Every(TypedDict):
    all: list[Rule]


class Either(TypedDict):
    any: list[Rule]


class Condition(TypedDict):
    field: str
    value: NotRequired[str]


Rule = Every | Either | Condition


class Aliased(BaseModel):
    left: Both = Field(validation_alias=AliasChoices("left", "l"))


class Other(BaseModel):
    left: list[Both]


Both = Aliased | Other | int


class Loose(TypedDict):
    b: NotRequired[Kinds]


class Firm(TypedDict):
    a: int
    n: tuple[Kinds, ...]


type Kinds = tuple[Kinds, ...] | Loose | Firm | list[Kinds]
type Tree = list[Tree] | tuple[Tree, ...] | int

for model in (And, Not, All, Some, Group, Item, Aliased, Other):
    model.model_rebuild()

HONEST: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
    "models": (Expr, lambda one: {"left": one}, {"field": "a"}),
    "models of more keys": (Expr, lambda one: {"left": one, "note": "n"}, {"field": "a"}),
    "models with tags": (
        Tagged,
        lambda one: {"op": "all", "items": [one]},
        {"op": "equal", "field": "a"},
    ),
    "models with defaults": (Group | Item, lambda one: {"parts": [one]}, {}),
    "dataclasses": (Sides, lambda one: {"left": one}, 1),
    "typed dicts": (Rule, lambda one: {"any": [one]}, {"field": "a"}),
    "lists": (Tree, lambda one: [one], 1),
}
"""Types, what nests a value in another, and the innermost value."""

HOSTILE: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
    **{
        f"{name}, wrong": (hint, nest, {"field": 1, "op": "equal"})
        for name, (hint, nest, _) in HONEST.items()
    },
    "a field that is wrong": (Expr, lambda one: {"left": one, "note": 1}, {"field": "a"}),
    "another tag": (Tagged, lambda one: {"op": "zz", "items": [one]}, {}),
    "a list as a tag": (Tagged, lambda one: {"op": [], "items": [one]}, {}),
    "keys of two": (Rule, lambda one: {"all": [one], "any": []}, {"field": 1}),
    "aliases": (Both, lambda one: {"left": [one]}, 1),
}


def taking(hint: Any) -> Tool:
    def take(x: Any) -> None: ...

    take.__annotations__["x"] = hint
    return make_tool("take", take)


def nested(nest: Callable[[Any], Any], value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = nest(value)
    return value


def honest_values(chance: random.Random, validator: Validator) -> Iterator[Any]:
    """Yield lists of some values that a type accepts, each list of 64 KiB."""
    found: list[Any] = []
    for _ in range(200):
        value = value_for(chance, chance.randint(1, 3))
        with suppress(ValidationError, TooManyTriesError):
            validator.validate_python(value)
            found.append(value)
    yield []
    for value in found[:2]:
        yield decode(encode([value] * (SIZE // len(encode(value)))))


def cost(validate: Callable[[Any], Any], value: Any) -> float:
    """Return the CPU seconds of a validation, the less of two."""
    costs = []
    for _ in range(2):
        began = time.thread_time()
        with suppress(InvalidArguments, ValidationError, TooManyTriesError):
            validate(value)
        costs.append(time.thread_time() - began)
    return min(costs)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_value_of_many_levels_is_accepted_at_once(name: str) -> None:
    hint, nest, leaf = HONEST[name]
    tool = taking(hint)
    shallow = {"x": nested(nest, leaf, 6)}
    assert tool.validate(shallow)["x"] == TypeAdapter(hint).validate_python(shallow["x"])
    deep = {"x": nested(nest, leaf, 25)}
    assert tool.validate(deep)
    assert cost(tool.validate, deep) < 0.01


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_value_of_many_levels_is_refused_at_once(name: str) -> None:
    hint, nest, leaf = HOSTILE[name]
    tool = taking(hint)
    value = {"x": nested(nest, leaf, 25)}
    assert cost(tool.validate, value) < 0.03


def test_the_error_says_that_a_value_fits_in_too_many_ways() -> None:
    value = nested(lambda one: {"left": one, "note": 1}, {"field": "a"}, 25)
    with pytest.raises(InvalidArguments, match=r"'x' fits 'And \| Not \| Leaf' in more ways than"):
        taking(Expr).validate({"x": value})


def test_the_error_names_the_fault_in_the_member_that_the_keys_say() -> None:
    with pytest.raises(InvalidArguments, match=r"'x\.left\.field' must be a string \(str\), got 1"):
        taking(Expr).validate({"x": {"left": {"field": 1}}})
    members = r"'x\.left' must be And \(left\) or Not \(left\) or Leaf \(field\), got \{'f': 1\}"
    with pytest.raises(InvalidArguments, match=members):
        taking(Expr).validate({"x": {"left": {"f": 1}}})


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_type_that_contains_itself_has_the_results_of_pydantic(seed: int) -> None:
    chance = random.Random(seed)
    adapter, _ = recursive_type(chance)
    guarded = guarded_validator(adapter)

    def outcome(validate: Callable[[Any], Any], value: Any) -> str:
        try:
            return repr(validate(value))
        except ValidationError:
            return "refused"

    for _ in range(40):
        value = value_for(chance, chance.randint(1, 4))
        expected = outcome(adapter.validate_python, value)
        assert outcome(guarded.validate_python, value) == expected


@given(seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_a_type_that_contains_itself_costs_in_proportion_to_the_value(seed: int) -> None:
    chance = random.Random(seed)
    one, several = map(guarded_validator, recursive_type(chance))
    dearest = max(cost(several.validate_python, value) for value in honest_values(chance, one))
    for _ in range(4):
        value = nested_value(chance)
        data = encode(value)
        assert len(data) < 1.1 * SIZE
        most = max(0.03, 10 * dearest * len(data) / SIZE)
        assert cost(one.validate_python, decode(data)) < most


def test_a_member_that_fails_leaves_no_trace_in_the_choice_of_another() -> None:
    # Firm is tried first, and makes an int of a text before it fails. A tuple would be as good
    # as a list then.
    assert taking(Kinds).validate({"x": [{"a": "1", "n": {}}]}) == {"x": [{}]}


def test_a_validator_that_catches_everything_does_not_hide_the_bound() -> None:
    def lenient(value: Any, validate: Any) -> Any:
        with suppress(Exception):
            return validate(value)

    hint = Annotated[Expr, WrapValidator(lenient)]
    value = nested(lambda one: {"left": one, "note": 1}, {"field": "a"}, 25)
    with pytest.raises(InvalidArguments, match="in more ways than can be tried"):
        taking(hint).validate({"x": value})


@pytest.mark.parametrize("hint", [Leaf, Leaf | int, dict[str, str] | None, Leaf | Equal], ids=str)
def test_a_type_of_few_tries_has_no_count(hint: Any) -> None:
    assert isinstance(guarded_validator(TypeAdapter(hint)), SchemaValidator)


def test_a_schema_of_many_alternatives_costs_in_proportion_to_the_value() -> None:
    branches = [
        {"type": "object", "properties": {f"k{n}": {"type": "integer"}}, "required": [f"k{n}"]}
        for n in range(200)
    ]
    texts = [{"type": "string", "pattern": f"^{n}[ab]+$"} for n in range(200)]
    levels = {
        f"l{n}": {
            "anyOf": [
                {"type": "object", "properties": {"a": {"$ref": f"#/$defs/l{n + 1}"}}},
                {"type": "object", "properties": {"a": {"$ref": f"#/$defs/l{n + 1}"}, f"b{n}": {}}},
            ]
        }
        for n in range(15)
    }
    schema = {
        "type": "object",
        "properties": {
            "records": {"type": "array", "items": {"anyOf": branches}},
            "text": {"anyOf": texts},
            "level": {"$ref": "#/$defs/l0"},
        },
        "$defs": {**levels, "l15": {"type": "integer"}},
    }
    tool = tool_from_schema("remote.tool", schema, taking)
    honest = {"records": [{"k19": 1}] * 11_000}
    assert tool.validate(honest) == honest
    assert cost(tool.validate, honest) < 0.15
    assert cost(tool.validate, {"text": "a" * 65_536}) < 0.03
    for innermost in (1, "x"):
        value = {"level": nested(lambda one: {"a": one}, innermost, 15)}
        assert cost(tool.validate, value) < 0.03
