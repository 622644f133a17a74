from __future__ import annotations

import enum
import functools
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from codemode.errors import ToolRegistrationError
from codemode.tools import InvalidArguments, Tool, make_tool
from codemode.tools.arguments import Arguments

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers


class Size(enum.Enum):
    SMALL = "s"


class Order(BaseModel):
    number: int


def get_order(order_id: int, *, full: bool = False, size: Size = Size.SMALL) -> Order | None:
    """Find one order
    by its number.

    More about it.

    Args:
        order_id (int): The number
            on the invoice.
        full: With its lines.
    """
    return Order(number=order_id) if full and size is Size.SMALL else None


def test_a_function_becomes_a_complete_record() -> None:
    made = make_tool("orders.get", get_order)

    assert made.description == "Find one order by its number."
    assert made.signature == (
        "orders.get(order_id: int, *, full: bool = False, size: Size = 's') -> Order | None"
    )
    assert made.positional_parameters == ("order_id",)
    assert (made.asynchronous, made.thread_sensitive, made.wants_context) == (False, True, False)
    assert made.permission is None
    assert made.function is get_order


def test_schemas_carry_docs_defaults_and_definitions() -> None:
    made = make_tool("orders.get", get_order)

    schema = made.input_schema
    assert schema["required"] == ["order_id"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["order_id"] == {
        "type": "integer",
        "description": "The number on the invoice.",
    }
    assert schema["properties"]["full"]["default"] is False
    assert schema["$defs"]["Size"]["enum"] == ["s"]
    assert "Order" in made.output_schema["$defs"]


def test_a_type_without_a_schema_leaves_it_empty() -> None:
    class Opaque: ...

    def make(thing: Any = None, other: Any = None) -> None: ...

    make.__annotations__.update(thing=Opaque, **{"return": Opaque})
    made = make_tool("make", make)

    assert made.output_schema == {}
    assert made.input_schema["properties"]["thing"] == {"default": None}


def test_untyped_parameters_accept_anything() -> None:
    made = make_tool("echo", cast("Any", lambda text, times=1, **rest: (text, times, rest)))

    assert made.signature == "echo(text, times=1, **rest)"
    assert made.validate({"text": {1, 2}, "x": None}) == {"text": {1, 2}, "x": None}


def test_hints_are_shown_as_people_write_them() -> None:
    def find(
        kind: Literal["a", "b"],
        size: Annotated[int, Field(gt=0)],
        tags: dict[str, list[tuple[int, ...]]],
        note: str | None = None,
        big: tuple[int, ...] = (1,),
    ) -> list[Any]:
        return [kind, size, tags, note, big]

    assert make_tool("find", find).signature == (
        "find(kind: Literal['a', 'b'], size: int, tags: dict[str, list[tuple[int, ...]]], "
        "note: str | None = None, big: tuple[int, ...] = ...) -> list[Any]"
    )


class Plain:
    """Say the weather."""

    def run(self, city: str) -> str:
        return city


class WithContext:
    async def run_with_context(self, context: Any, city: str, **more: int) -> Any:
        return (context, city, more)

    def run(self) -> None:
        raise AssertionError("run_with_context comes first")


class Callable_:  # noqa: N801 - differs from typing's
    def __call__(self, x: int) -> int:
        return x


class AsyncCallable:
    async def __call__(self, x: int) -> int:
        return x


async def coroutine(x: int) -> int:
    return x


@pytest.mark.parametrize("obj", [Plain, Plain()])
def test_objects_and_classes_with_run(obj: object) -> None:
    made = make_tool(None, obj)

    assert (made.name, made.description) == ("plain", "Say the weather.")
    assert made.call(cast("Any", None), {"city": "Oslo"}) == "Oslo"


async def test_run_with_context_gets_the_context_first_and_hides_it() -> None:
    made = make_tool("weather", WithContext())

    assert made.wants_context
    assert made.asynchronous
    assert made.signature == "weather(city: str, **more: int) -> Any"
    assert await made.call(cast("Any", "ctx"), {"city": "Oslo"}) == ("ctx", "Oslo", {})
    with pytest.raises(Exception, match="there is no argument 'context'"):
        made.validate({"city": "Oslo", "context": "forged"})


@pytest.mark.parametrize(
    ("obj", "asynchronous"),
    [
        (Callable_(), False),
        (AsyncCallable(), True),
        (coroutine, True),
        (functools.partial(coroutine), True),
        (functools.partial(AsyncCallable()), True),
        (functools.partial(Callable_()), False),
        (Plain().run, False),
    ],
)
def test_async_is_recognised_in_every_form(obj: object, asynchronous: bool) -> None:
    assert make_tool("x", obj).asynchronous is asynchronous


def test_asgiref_wrapped_functions_are_async() -> None:
    from asgiref.sync import sync_to_async

    made = make_tool("x", sync_to_async(get_order))

    assert made.asynchronous
    assert made.signature.startswith("x(order_id: int")


def test_a_record_is_accepted_as_it_is_and_can_be_renamed() -> None:
    made = make_tool("x", get_order)

    assert make_tool(None, made) is made
    renamed = make_tool("orders.y", replace(made, permission="x"))
    assert isinstance(renamed, Tool)
    assert (renamed.name, renamed.permission) == ("orders.y", "x")
    assert renamed.signature.startswith("orders.y(order_id: int")
    with pytest.raises(InvalidArguments, match=r"signature is orders\.y"):
        renamed.validate({})


def star_args(*items: int) -> None: ...


def positional_only(x: int, /) -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


def unresolvable(price: OnlyForCheckers) -> None: ...


def unresolvable_return() -> OnlyForCheckers:
    raise NotImplementedError


def uncheckable(x: Any) -> None: ...


uncheckable.__annotations__["x"] = dict[str, any]  # type: ignore[valid-type]  # a common mistake


class NeedsArguments:
    def __init__(self, key: str) -> None: ...

    def run(self) -> None: ...


class NoContext:
    def run_with_context(self) -> None: ...


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (star_args, r"takes \*items.*write items: list"),
        (positional_only, "'x' is positional-only.*remove the '/'"),
        (math.sqrt, "positional-only"),
        (generator, "generator.*return a list"),
        (async_generator, "generator.*return a list"),
        (unresolvable, "'OnlyForCheckers'.*TYPE_CHECKING"),
        (unresolvable_return, "'OnlyForCheckers'.*TYPE_CHECKING"),
        (uncheckable, "hint dict.* of parameter 'x'.*or Any"),
        (NeedsArguments, "register an instance"),
        (NoContext, "has no parameter for the context"),
        (object(), "neither a function nor an object with run"),
        (3, "neither a function nor an object with run"),
    ],
)
def test_an_object_that_cannot_be_a_tool_is_refused_with_the_fix(obj: object, text: str) -> None:
    with pytest.raises(ToolRegistrationError, match=text):
        make_tool("x", obj)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(ToolRegistrationError, match="lambda"):
        make_tool(None, lambda: None)


def test_the_decorator_is_importable_whatever_was_imported_before() -> None:
    code = "import codemode.tools.tool; from codemode.tools import tool; assert callable(tool)"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_wrapper_of_a_generator_is_not_a_generator() -> None:
    def collected(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> list[Any]:
            return list(function(*args, **kwargs))

        return wrapper

    @collected
    def count(to: int) -> Iterator[int]:
        yield from range(to)

    made = make_tool("count_to", count)

    assert made.function(to=2) == [0, 1]
    assert made.signature == "count_to(to: int) -> Iterator[int]"


def test_schemas_are_built_once_and_callers_get_copies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find(name: str) -> list[str]:
        return [name]

    made = make_tool("find", find)
    before = made.input_schema, made.output_schema
    made.input_schema["properties"].clear()
    made.output_schema.clear()
    monkeypatch.setattr(TypeAdapter, "json_schema", lambda *_, **__: pytest.fail("built again"))
    monkeypatch.setattr(Arguments, "json_schema", lambda _: pytest.fail("built again"))

    assert (made.input_schema, made.output_schema) == before
    assert list(before[0]["properties"]) == ["name"]
