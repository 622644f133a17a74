"""Patterns of texts: how much text each may be matched against."""

from __future__ import annotations

import random
import time
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter
from pydantic_core import SchemaValidator

from codemode.tools import InvalidArguments, Tool, make_tool
from codemode.tools.costs.patterns import MAX_PLACES, places_of
from codemode.tools.from_schema.schema_tool import tool_from_schema
from codemode.tools.guard import guarded_validator


@pytest.mark.parametrize(
    "pattern, places",
    [
        ("abc", 3),
        ("a[ab]{900}[^ab]", 902),
        ("(?:a[ab]{1000}){10}[^ab]", 10_011),
        ("a{10}{10}", 100),
        (r"(?P<word>\w{2,5}|\p{L}+)-", 8),
        ("[]a[b-c]]{3}x", 4),
        (r"(?i)^\bab$", 2),
        ("^[0-9a-f]{8}-[0-9a-f]{4}$", 0),
        ("^[a-z]{1,64}$", 0),
        (r"^[ab]*[ab]{900}c$", 901),
        (r"^([a-z]{1,63}\.)+[a-z]{2,63}$", 191),
        ("^a|b{20}", 21),
    ],
)
def test_the_places_of_a_pattern_are_counted_with_its_repetitions(
    pattern: str, places: int
) -> None:
    assert places_of(pattern) == places


@pytest.mark.parametrize(
    "pattern", ["a[ab]{20}c", "a[ab]{900}[^ab]", "(?:a[ab]{1000}){10}[^ab]", r"\p{L}{80}[^\p{L}]"]
)
def test_text_costs_no_more_than_its_bound_with_any_pattern(pattern: str) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string", "pattern": pattern}}}
    tool = tool_from_schema("remote.tool", schema, lambda **_: None)
    text = "".join(random.Random(1).choices("ab", k=65_536))
    assert cost_of_refusal(tool, text) < 0.045


def test_many_texts_cost_no_more_than_their_bound() -> None:
    def take(x: list[Annotated[str, Field(pattern="a[ab]{600}[^ab]")]]) -> None: ...

    choose = random.Random(1)
    texts = [
        "".join((*choose.choices("ab", k=100), "a", *choose.choices("ab", k=600), "!"))
        for _ in range(90)
    ]
    began = time.thread_time()
    TypeAdapter(list[Annotated[str, Field(pattern="a[ab]{600}[^ab]")]]).validate_python(texts)
    unbounded = time.thread_time() - began
    assert cost_of_refusal(make_tool("take", take), texts) < min(0.045, unbounded / 1.5)


def cost_of_refusal(tool: Tool, value: Any) -> float:
    costs = []
    for _ in range(2):
        began = time.thread_time()
        with pytest.raises(InvalidArguments):
            tool.validate({"x": value})
        costs.append(time.thread_time() - began)
    return min(costs)


def test_a_pattern_that_could_be_dear_takes_many_texts_that_are_not() -> None:
    def take(x: list[Annotated[str, Field(pattern=r"^([a-z]{1,63}\.)+[a-z]{2,63}$")]]) -> None: ...

    names = [f"{'abc' * (number % 9 + 1)}.shop.example.com" for number in range(20_000)]
    assert make_tool("take", take).validate({"x": names}) == {"x": names}


def test_the_error_says_that_a_text_is_too_long_for_its_pattern() -> None:
    def take(x: Annotated[str, Field(pattern="a[ab]{900}c")]) -> None: ...

    tool = make_tool("take", take)
    text = "a" * 901 + "c"
    assert tool.validate({"x": text}) == {"x": text}
    with pytest.raises(InvalidArguments, match="'x' has too much text to be matched against its"):
        tool.validate({"x": "ab" * 30_000})


@pytest.mark.parametrize("pattern", [r"^\d{4}-\d{2}-\d{2}$", "^[a-z]{1,64}$", r"\S+@\S+"])
def test_a_usual_pattern_has_no_count(pattern: str) -> None:
    assert places_of(pattern) <= MAX_PLACES
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[str, Field(pattern=pattern)])
    assert isinstance(guarded_validator(adapter), SchemaValidator)
