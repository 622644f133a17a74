from __future__ import annotations

import functools
import types
from typing import Any

import pytest

from codemode.errors import ToolRegistrationError
from codemode.tools import InvalidArguments, make_tool, tool
from codemode.tools.decorator import options_of


def test_bare_decorator_returns_the_same_function() -> None:
    def double(x: int) -> int:
        return 2 * x

    assert tool(double) is double
    assert double(4) == 8
    assert options_of(double) is not None


def test_decorator_with_arguments_keeps_them_and_the_function() -> None:
    @tool(name="math.double", description="Twice.", permission="x", thread_sensitive=False)
    def double(x: int) -> int:
        return 2 * x

    made = make_tool(None, double)

    assert double(4) == 8
    assert made.name == "math.double"
    assert made.description == "Twice."
    assert made.permission == "x"
    assert made.thread_sensitive is False


async def test_async_function_stays_awaitable() -> None:
    @tool
    async def double(x: int) -> int:
        return 2 * x

    assert await double(4) == 8
    assert make_tool(None, double).asynchronous


def test_class_stays_a_class_and_is_named_in_snake_case_without_tool() -> None:
    @tool
    class HTTPStatusTool:
        def run(self, code: int) -> str:
            return str(code)

    made = make_tool(None, HTTPStatusTool)

    assert isinstance(HTTPStatusTool(), HTTPStatusTool)
    assert made.name == "http_status"
    assert made.function(code=3) == "3"


def test_methods_static_and_class_methods_can_be_marked() -> None:
    class Orders:
        @tool(permission="a")
        def get(self, order_id: int) -> int:
            return order_id

        @tool(permission="b")
        @staticmethod
        def count() -> int:
            return 2

        @tool(permission="c")
        @classmethod
        def first(cls) -> str:
            return cls.__name__

    orders = Orders()
    made = [make_tool(f"orders.{one.__name__}", one) for one in (orders.get, orders.count)]
    made.append(make_tool("orders.first", orders.first))

    assert [one.permission for one in made] == ["a", "b", "c"]
    assert made[0].signature == "orders.get(order_id: int) -> int"
    assert made[2].function() == "Orders"


def test_a_subclass_inherits_the_permission_but_not_the_name() -> None:
    @tool(name="parent", permission="x", thread_sensitive=False)
    class Parent:
        def run(self) -> None: ...

    class ChildTool(Parent): ...

    made = make_tool(None, ChildTool)

    assert (made.name, made.permission, made.thread_sensitive) == ("child", "x", False)
    assert make_tool(None, ChildTool()).permission == "x"
    assert make_tool(None, Parent()).name == "parent"


def test_a_partial_keeps_the_permission_and_hides_the_arguments_that_it_binds() -> None:
    @tool(name="find", permission="x")
    def search(text: str, *, tenant: str) -> str:
        return f"{tenant}:{text}"

    made = make_tool(None, functools.partial(search, tenant="acme"))

    assert (made.name, made.permission) == ("search", "x")
    assert made.signature == "search(text: str) -> str"
    assert made.function(text="a") == "acme:a"


class Search:
    def run(self, tenant: str, **filters: Any) -> str:
        return tenant

    async def find(self, tenant: str, **filters: Any) -> str:
        return tenant

    def __call__(self, tenant: str, **filters: Any) -> str:
        return tenant

    of_acme = functools.partialmethod(run, tenant="acme")


class SearchOfAcme(Search):
    __call__ = functools.partialmethod(Search.__call__, tenant="acme")
    run = None  # type: ignore[assignment]  # the object itself is called


@pytest.mark.parametrize(
    "bound",
    [
        functools.partial(Search().run, tenant="acme"),
        functools.partial(Search().run, "acme"),
        functools.partial(Search().find, tenant="acme"),
        functools.partial(functools.partial(Search().run, tenant="acme"), status="open"),
        functools.partial(functools.partial(Search.run, Search()), tenant="acme"),
        functools.partial(Search(), tenant="acme"),
        types.MethodType(functools.partial(Search.run, tenant="acme"), Search()),
        Search().of_acme,
        SearchOfAcme(),
    ],
    ids=["keyword", "position", "async", "nested", "unbound", "object", "method", "member", "call"],
)
def test_no_call_can_pass_an_argument_that_a_partial_binds(bound: Any) -> None:
    made = make_tool("search", bound)

    assert made.signature.startswith("search(**filters")
    assert made.validate({"city": "Oslo"}) == {"city": "Oslo"}
    with pytest.raises(InvalidArguments, match="there is no argument 'tenant'"):
        made.validate({"tenant": "other", "city": "Oslo"})


def test_a_permission_survives_a_bound_method_and_an_override() -> None:
    @tool(name="pay_back", permission="x", thread_sensitive=False)
    class Refund:
        def run(self) -> None: ...

        @classmethod
        def all(cls) -> None: ...

        @tool(permission="own")
        def some(self) -> None: ...

    class Marked:
        @tool(name="pay_back", permission="x", thread_sensitive=False)
        def run_with_context(self, context: object) -> None: ...

    class Override(Marked):
        def run_with_context(self, context: object) -> None: ...

    class Loosened(Marked):
        @tool
        def run_with_context(self, context: object) -> None: ...

    inherited = (Refund().run, Refund.all, functools.partial(Refund().run), Override(), Override)
    for made in (make_tool("t", one) for one in inherited):
        assert (made.permission, made.thread_sensitive) == ("x", False)
    assert make_tool(None, Override).name == "override"
    # A mark of its own replaces the inherited mark entirely.
    assert make_tool("t", Refund().some).permission == "own"
    assert make_tool("t", Loosened).permission is None


def test_the_run_method_may_carry_the_mark() -> None:
    class Refund:
        @tool(permission="refund")
        def run(self) -> None: ...

    assert make_tool(None, Refund).permission == "refund"


def test_marks_on_both_class_and_method_are_refused() -> None:
    @tool
    class Refund:
        @tool(permission="refund")
        def run(self) -> None: ...

    with pytest.raises(ToolRegistrationError, match="decorate one of them"):
        make_tool(None, Refund)


def test_a_name_given_by_position_is_refused_with_the_fix() -> None:
    with pytest.raises(ToolRegistrationError, match=r"write @tool\(name='x'\)"):
        tool("x")


@pytest.mark.parametrize("obj", [3, len, object()])
def test_an_object_that_cannot_be_marked_is_refused(obj: object) -> None:
    with pytest.raises(ToolRegistrationError, match="@tool cannot mark"):
        tool(obj)


@pytest.mark.parametrize("none", ["", [], (), frozenset()])
def test_an_empty_permission_is_refused(none: object) -> None:
    @tool(permission=none)
    def refund() -> None: ...

    with pytest.raises(ToolRegistrationError, match="is empty and would refuse nobody"):
        make_tool(None, refund)


def test_an_asynchronous_permission_is_refused() -> None:
    async def nobody(context: object, user: object) -> bool:
        return False

    with pytest.raises(ToolRegistrationError, match="nobody.* is asynchronous; make it a plain"):
        make_tool("refund", tool(permission=nobody)(lambda: None))


def test_effects_and_tags_are_part_of_the_record() -> None:
    @tool(effects="external", tags=["money", "pay back"])
    def refund() -> None: ...

    made = make_tool(None, refund)
    assert (made.effects, made.tags) == ("external", ("money", "pay back"))
    other = make_tool("other", lambda: None)
    assert (other.effects, other.tags) == (None, ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effects": "read"}, r"effects='read'; expected one of .* did you mean 'reads'\?"),
        ({"effects": True}, "effects=True; expected one of 'reads', 'database', 'external'"),
        ({"tags": "money"}, r"tags='money', one text; write tags=\('money',\)"),
        ({"tags": ("money", 3)}, r"tags=\('money', 3\); expected words such as"),
        ({"tags": (" ",)}, "expected words"),
        ({"tags": 5}, "tags=5; expected words"),
    ],
)
def test_wrong_effects_and_tags_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolRegistrationError, match=message):
        tool(**options)
