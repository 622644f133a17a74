"""Schemas that are wrong, endless or too large: refused with the place, in little time."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from codemode import ToolRegistrationError
from codemode.tools import render_stubs, tool_from_schema


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def defined(**definitions: Any) -> dict[str, Any]:
    return {**of(x={"$ref": "#/$defs/A"}), "$defs": definitions}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = of(a=schema)
    return schema


def lists(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def doubled(levels: int, double: Any) -> dict[str, Any]:
    """Return definitions of which each refers to the next twice."""
    names = [f"L{number}" for number in range(levels)]
    chain = {one: double({"$ref": f"#/$defs/{other}"}) for one, other in itertools.pairwise(names)}
    return defined(A={"$ref": "#/$defs/L0"}, **chain, **{names[-1]: {"type": "object"}})


ENDLESS: dict[str, Any] = of()
ENDLESS["properties"]["again"] = ENDLESS

WRONG = [
    ([1], "its input_schema is [1] (list); expected a dict with JSON Schema"),
    ({"type": "array"}, "at /type must be 'object', because arguments have names"),
    ({"properties": [1]}, "at /properties is [1] (list); expected an object"),
    ({"required": "a"}, "at /required is 'a' (str); expected a list"),
    ({"required": [5]}, "at /required has 5 (int); expected names"),
    ({"properties": {1: {}}}, "at /properties has the key 1 (int); expected texts as keys"),
    (of(x=5), "at /properties/x is 5 (int); expected a schema: an object, true or false"),
    (of(x={"type": "float"}), "at /properties/x/type is 'float' (str), which is not a type of"),
    (of(x={"type": [["string"]]}), "at /properties/x/type is ['string'] (list), which is not a"),
    (of(x={"enum": {1}}), "at /properties/x/enum is {1} (set), which JSON does not have"),
    (of(x={"enum": "ab"}), "at /properties/x/enum is 'ab' (str); expected a list"),
    (of(x={"anyOf": [1]}), "at /properties/x/anyOf/0 is 1 (int); expected a schema"),
    (of(x={"allOf": [1, 2]}), "at /properties/x/allOf/0 is 1 (int); expected a schema"),
    (of(x={"items": 5}), "at /properties/x/items is 5 (int); expected a schema"),
    (of(x={"$ref": 5}), "at /properties/x refers to 5 (int), which is not within it; put the"),
    (of(x={"$ref": "https://example.org/a.json"}), "refers to 'https://example.org/a.json' (str)"),
    (of(x={"$ref": "#/$defs/No"}), "refers to '#/$defs/No' (str), which it does not have"),
    (of(x={"$ref": "#anchor"}), "refers to '#anchor' (str), which it does not have"),
    ({"$ref": "#"}, "its input_schema contains itself; remove the reference"),
    (defined(A={"$ref": "#/$defs/A"}), "at /$defs/A refers to nothing but itself; define it"),
    (
        defined(A={"$ref": "#/$defs/B"}, B={"$ref": "#/$defs/A"}),
        "at /$defs/A refers to nothing but itself; define it",
    ),
    (
        defined(A={"allOf": [{"$ref": "#/$defs/A"}, {"type": "string"}]}),
        "at /$defs/A/allOf/0 contains itself; remove the reference",
    ),
]


@pytest.mark.parametrize(("schema", "text"), WRONG)
def test_a_wrong_schema_is_refused_with_the_place(schema: Any, text: str) -> None:
    with pytest.raises(ToolRegistrationError) as caught:
        tool_from_schema("take", schema, print)
    assert str(caught.value).startswith("tool 'take': its input_schema")
    assert text in str(caught.value)


LARGE = {
    "nested types": (of(x=lists(60)), "nests more than 50 types"),
    "references in a row": (doubled(60, lambda one: of(a=one)), "nests more than 50 types"),
    "nested values": (nested(500), "is nested deeper than 100 levels"),
    "an object that contains itself": (ENDLESS, "is nested deeper than 100 levels"),
    "properties": (of(**{f"p{n}": {"type": "string"} for n in range(10_000)}), "is too large"),
    "text": (of(x={"description": "x" * 1_000_001}), "has more than 1,000,000 characters"),
    "merged twice at each level": (
        doubled(40, lambda one: {"allOf": [one, one]}),
        "is too large: it has more than 20,000 parts with those it refers to",
    ),
    "alternatives twice at each level": (
        doubled(40, lambda one: {"type": "object", "anyOf": [one, {"allOf": [one], "title": "x"}]}),
        "is too large",
    ),
    "a large definition for each property": (
        {
            **of(**{f"p{n}": {"$ref": "#/$defs/A"} for n in range(500)}),
            "$defs": {"A": of(**{f"q{n}": {"type": "string"} for n in range(500)})},
        },
        "is too large",
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_schema_without_bounds_is_refused_in_little_time(name: str) -> None:
    schema, text = LARGE[name]
    began = time.thread_time()
    with pytest.raises(ToolRegistrationError) as caught:
        tool_from_schema("take", schema, print)
    assert text in str(caught.value)
    assert len(str(caught.value)) < 400
    assert time.thread_time() - began < 20


NEARLY = {
    "nested": nested(48),
    "references in a row": doubled(20, lambda one: of(a=one)),
    "each refers to the next three times": doubled(20, lambda one: of(a=one, b=one, c=one)),
    "patterns": of(
        **{f"p{n}": {"type": "string", "pattern": r"(a+)+\w{50}$"} for n in range(300)},
        x={"type": "string", "pattern": "(a{1000}){1000}"},
        y={"type": "string", "pattern": "a" * 1_000},
    ),
    "an enum": of(x={"enum": [f"value {n}" for n in range(15_000)]}),
    "properties": of(**{f"p-{n}": {"type": "string"} for n in range(5_000)}),
    "a union with itself": defined(A={"anyOf": [{"$ref": "#/$defs/A"}, {"type": "string"}]}),
}


@pytest.mark.parametrize("name", NEARLY)
def test_a_large_schema_within_the_bounds_is_a_tool(name: str) -> None:
    began = time.thread_time()
    record = tool_from_schema("take", NEARLY[name], print)
    compile(render_stubs([record]), "stubs", "exec")
    assert time.thread_time() - began < 30
    assert record.input_schema == json.loads(json.dumps(NEARLY[name]))


def test_an_output_schema_has_the_same_bounds() -> None:
    with pytest.raises(ToolRegistrationError, match="its output_schema at /properties/x is 5"):
        tool_from_schema("take", {}, print, output_schema=of(x=5))


def test_the_schema_given_is_copied() -> None:
    schema = of(x={"type": "string"})
    record = tool_from_schema("take", schema, print)
    schema["properties"]["y"] = {}
    assert record.input_schema == of(x={"type": "string"})
