"""A JSON Schema in place of a signature: what it forbids is refused before the call."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import math
import uuid
from typing import Any

import pytest

from codemode import Codemode, ToolRegistrationError
from codemode.tools import InvalidArguments, Tool, render_stubs, tool_from_schema
from tests.support.halves import Half

PEOPLE = {
    "User": {"type": "object", "properties": {"user": {"type": "string"}}, "required": ["user"]},
    "Team": {"type": "object", "properties": {"team": {"type": "string"}}, "required": ["team"]},
    "Address": {
        "type": "object",
        "properties": {
            "street": {"type": "string"},
            "zip code": {"type": "string", "pattern": r"^\d{5}$"},
        },
        "required": ["street"],
        "additionalProperties": False,
    },
    "Node": {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "next": {"$ref": "#/$defs/Node"},
            "all": {
                "type": "array",
                "items": {"allOf": [{"$ref": "#/$defs/Node"}], "description": "a node"},
            },
        },
        "required": ["value"],
    },
    "Closed": {
        "properties": {"of": {"$ref": "#/$defs/Closed"}},
        "additionalProperties": False,
    },
    "Json": {
        "anyOf": [
            {"type": ["string", "number", "boolean", "null"]},
            {"type": "array", "items": {"$ref": "#/$defs/Json"}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/Json"}},
        ]
    },
}
ISSUE = {
    "type": "object",
    "properties": {
        "owner": {"type": "string", "description": "Who\n  owns it"},
        "issue-title": {"type": "string", "maxLength": 20},
        "class": {"enum": ["bug", "task"]},
        "state": {"type": "string", "enum": ["open", "closed"], "default": "open"},
        "due": {"type": "string", "format": "date", "description": "Last day"},
        "limit": {"type": "integer", "default": None},
        "by": {"anyOf": [{"$ref": "#/$defs/User"}, {"$ref": "#/$defs/Team"}]},
    },
    "required": ["owner", "issue-title"],
    "$defs": PEOPLE,
}


def issue_tool(**options: Any) -> Tool:
    return tool_from_schema("github.create_issue", ISSUE, lambda **given: given, **options)


def one(schema: Any) -> Tool:
    """Return a tool with one argument of a schema."""
    whole = {"type": "object", "properties": {"x": schema}, "$defs": PEOPLE}
    return tool_from_schema("take", whole, lambda **given: given)


ACCEPTED = [
    ({"type": "string"}, "s", "s"),
    ({"type": "integer"}, "5", 5),
    ({"type": "number"}, 2**70, 2**70),
    ({"type": "number"}, 5, 5),
    ({"type": "number"}, "2.5", 2.5),
    ({"type": "number", "multipleOf": 0.1, "minimum": 0.3}, 0.3, 0.3),
    ({"type": "integer", "exclusiveMinimum": 0, "maximum": 2**63}, 2**63, 2**63),
    ({"type": "boolean"}, True, True),
    ({"type": ["string", "integer", "null"]}, None, None),
    ({"type": ["string", "integer"]}, "5", "5"),
    ({"type": "string", "nullable": True}, None, None),
    ({"enum": ["a", 1, None]}, 1, 1),
    ({"enum": [{"a": 1}, 1.5, [2]]}, {"a": 1}, {"a": 1}),
    ({"const": "a"}, "a", "a"),
    ({"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}, "b", "b"),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 1}, ["1"], [1]),
    ({"type": "array", "uniqueItems": True}, [1, True, "1", [1]], [1, True, "1", [1]]),
    ({"type": "array", "prefixItems": [{"type": "string"}]}, [1], [1]),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": "1"}, {"a": 1}),
    ({"$ref": "#/$defs/Address"}, {"street": "s"}, {"street": "s"}),
    ({"$ref": "#/$defs/User"}, {"user": "u", "more": [1]}, {"user": "u", "more": [1]}),
    ({"anyOf": [{"$ref": "#/$defs/User"}, {"type": "null"}]}, None, None),
    ({"allOf": [{"$ref": "#/$defs/User"}], "nullable": True}, None, None),
    (
        {"oneOf": [{"$ref": "#/$defs/User"}, {"$ref": "#/$defs/Team"}]},
        {"team": "t"},
        {"team": "t"},
    ),
    (
        {"$ref": "#/$defs/Node"},
        {"value": 1, "next": {"value": "2"}, "all": [{"value": "3"}]},
        {"value": 1, "next": {"value": 2}, "all": [{"value": 3}]},
    ),
    ({"$ref": "#/$defs/Json"}, [1, {"a": [None, "b"]}], [1, {"a": [None, "b"]}]),
    ({"properties": {"a": {"type": "integer"}}}, {"a": "1"}, {"a": 1}),
    ({"$ref": "#/$defs/Closed"}, {"of": {"of": {}}}, {"of": {"of": {}}}),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        {"b": "1"},
        {"b": "1"},
    ),
    ({"type": "string", "format": "date"}, datetime.date(2026, 1, 2), "2026-01-02"),
    ({"type": "string", "format": "date"}, "2026-01-02", "2026-01-02"),
    (
        {"type": "string", "format": "date-time"},
        datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC),
        "2026-01-02T03:00:00+00:00",
    ),
    ({"type": "string", "format": "date-time"}, "2026-01-02T03:00:00Z", "2026-01-02T03:00:00Z"),
    ({"type": "string", "format": "time"}, datetime.time(3), "03:00:00"),
    ({"type": "string", "format": "uuid"}, uuid.UUID(int=5), str(uuid.UUID(int=5))),
    ({"type": "string", "format": "decimal"}, decimal.Decimal("1.50"), "1.50"),
    ({"type": "string", "format": "email"}, "not checked", "not checked"),
    ({"type": "string", "pattern": "^(?=a)"}, "not checked", "not checked"),
    ({"type": "string", "pattern": "b+$"}, "abb", "abb"),
    ({"type": "string", "unknown": 5, "minLength": "5"}, "s", "s"),
    ({"type": "integer", "maximum": 10**400}, 5, 5),
    ({"enum": [0.5, 1.0, {"a": [2]}]}, 1, 1),
    ({"enum": [0.5, 1.0, {"a": [2]}]}, {"a": [2.0]}, {"a": [2.0]}),
    (True, [1], [1]),
    ({}, {"a": 1}, {"a": 1}),
]


@pytest.mark.parametrize(("schema", "value", "got"), ACCEPTED)
def test_what_the_schema_allows_comes_as_json_has_it(schema: Any, value: Any, got: Any) -> None:
    validated = one(schema).validate({"x": value})["x"]
    assert validated == got
    assert type(validated) is type(got)


REFUSED = [
    ({"type": "string"}, 5, "'x' must be a string (str), got 5 (int)"),
    ({"type": "string"}, None, "'x' must be a string (str), got None (NoneType)"),
    ({"type": "string", "minLength": 2}, "é", "'x' must have at least 2 characters, but has 1"),
    ({"type": "string", "maxLength": 2}, "{x}", "'x' must have at most 2 characters, but has 3"),
    ({"type": "string", "pattern": "^a+$"}, "ab", "'x' must match pattern '^a+$', got 'ab'"),
    ({"type": "string", "format": "date"}, "soon", "'x' must be a date such as '2026-01-31'"),
    (
        {"type": "string", "format": "date"},
        datetime.datetime(2026, 1, 2),
        "'x' must be a date such as '2026-01-31', got datetime.datetime(2026, 1, 2",
    ),
    ({"type": "string", "format": "date-time"}, "soon", "'x' must be a date and time such as"),
    ({"type": "string", "format": "time"}, "soon", "'x' must be a time such as '09:30:00'"),
    ({"type": "string", "format": "uuid"}, "5", "'x' must be a UUID such as"),
    ({"type": "string", "format": "decimal"}, "5,0", "'x' must be a number as text"),
    ({"type": "integer"}, 2.5, "'x' must be a whole number (int), got 2.5 (float)"),
    ({"type": "integer", "minimum": 3}, 2, "'x' must be at least 3, got 2"),
    ({"type": "integer", "multipleOf": 3}, 4, "'x' must be a multiple of 3, got 4"),
    ({"type": "number", "exclusiveMaximum": 3}, 3.0, "'x' must be less than 3, got 3.0"),
    ({"type": "number", "exclusiveMinimum": 3}, 3, "'x' must be greater than 3, got 3"),
    ({"type": "number", "maximum": 3}, 4, "'x' must be at most 3, got 4"),
    ({"type": "number"}, math.nan, "'x' must be a number (float), got nan"),
    ({"type": "number"}, "many", "'x' must be a number (float), got 'many'"),
    ({"type": "boolean"}, "maybe", "'x' must be true or false (bool), got 'maybe'"),
    ({"type": ["string", "integer"]}, [], "'x' must be str | int, got []"),
    ({"enum": ["a", "b"]}, "c", "'x' must be 'a' or 'b', got 'c'"),
    ({"enum": list(range(100))}, 100, "'x' must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (100 "),
    ({"enum": [1.5, {"a": 1}]}, True, "'x' must be one of 1.5, {'a': 1}, got True"),
    ({"enum": []}, "c", "'x' must be left out"),
    ({"const": 1}, "1", "'x' must be 1, got '1'"),
    ({"type": "array", "items": {"type": "integer"}}, ["a"], "'x[0]' must be a whole number"),
    ({"type": "array", "minItems": 2}, [1], "'x' must have at least 2 items, but has 1"),
    ({"type": "array", "maxItems": 1}, [1, 2], "'x' must have at most 1 items, but has 2"),
    ({"type": "array", "uniqueItems": True}, ["a", "b", "a"], "but has 'a' twice"),
    ({"type": "array", "uniqueItems": True}, [[1], [1]], "but has [1] twice"),
    ({"type": "object", "maxProperties": 1}, {"a": 1, "b": 2}, "'x' must have at most 1 keys"),
    ({"type": "object", "additionalProperties": False}, {"a": 1}, "'x.a' is not expected"),
    ({"$ref": "#/$defs/Address"}, {"zip": 1}, "'x.street' is missing; argument 'x.zip' is not"),
    ({"$ref": "#/$defs/Address"}, {"street": "s", "zip code": "1"}, "'x.zip code' must match"),
    ({"$ref": "#/$defs/Node"}, {"value": 1, "all": [{"value": 1}, {}]}, "'x.all[1].value' is miss"),
    ({"anyOf": [{"$ref": "#/$defs/User"}, {"type": "null"}]}, 5, "'x' must be a dict, got 5"),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "additionalProperties": {"type": "integer"},
        },
        {"a": "s", "b": "t"},
        "'x.b' must be a whole number (int), got 't'",
    ),
    ({"required": ["a"]}, {}, "'x.a' is missing"),
    (
        {"allOf": [{"$ref": "#/$defs/User"}, {"required": ["role"], "properties": {"role": {}}}]},
        {"user": "u"},
        "'x.role' is missing",
    ),
    ({"allOf": [{"minimum": 3, "type": "integer"}, {"minimum": 5}]}, 4, "'x' must be at least 5"),
    ({"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, "a", "'x' must be 'b', got 'a'"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "a", "'x' must be left out"),
    (
        {"allOf": [{"type": "number"}, {"type": ["integer", "string"]}]},
        2.5,
        "'x' must be a whole number",
    ),
    (
        {"anyOf": [{"required": ["a"]}, {"properties": {"b": {"type": "string"}}}]},
        {"b": 5},
        "'x' must be X | X2; it is nearest to X2, but 'x.b' must be a string (str), got 5",
    ),
    (False, 1, "'x' must be left out, got 1"),
]


@pytest.mark.parametrize(("schema", "value", "text"), REFUSED)
def test_what_the_schema_forbids_is_refused_with_the_arguments_name(
    schema: Any, value: Any, text: str
) -> None:
    with pytest.raises(InvalidArguments) as caught:
        one(schema).validate({"x": value})
    assert text in str(caught.value)
    assert str(caught.value).endswith(f"The signature is {one(schema).signature}")


def test_the_record_shows_the_schema_as_python_and_gives_it_back() -> None:
    returned = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
    record = issue_tool(output_schema=returned, description=" Create\nan issue. ")
    assert record.input_schema == ISSUE
    assert record.output_schema == returned
    assert record.input_schema is not record.input_schema
    assert record.description == "Create an issue."
    assert record.signature == (
        "github.create_issue(owner: str, issue_title: str, class_: Literal['bug', 'task'] = ..., "
        "state: Literal['open', 'closed'] = 'open', due: str = ..., limit: int = ..., "
        "by: User | Team = ...) -> GithubCreateIssue"
    )
    stubs = render_stubs([record])
    compile(stubs, "stubs", "exec")
    assert "class User(TypedDict):\n    user: str\n" in stubs
    assert "owner: Who owns it\n" in stubs
    assert "due: Last day (format: date)\n" in stubs
    assert tool_from_schema("f", ISSUE, print).output_schema == {}


def test_a_record_that_contains_itself_is_shown_so() -> None:
    stubs = render_stubs([one({"$ref": "#/$defs/Node"})])
    assert "class Node(TypedDict):\n    value: int\n    next: NotRequired[Node]\n" in stubs


def test_the_record_is_registered_under_its_name_or_another(codemode: Codemode) -> None:
    record = issue_tool()
    assert codemode.registry.register_tool(None, record) is record
    renamed = codemode.registry.register_tool("issues.create", record)
    assert renamed.signature.startswith("issues.create(owner: str")
    assert renamed.input_schema == ISSUE
    assert renamed.validate({"owner": "o", "issue_title": "t"}) == {
        "owner": "o",
        "issue-title": "t",
    }


def test_code_calls_by_identifiers_and_the_function_gets_the_properties(
    codemode: Codemode, half: Half
) -> None:
    called: list[Any] = []

    async def create(**given: Any) -> Any:
        called.append(given)
        return {"id": len(called)}

    record = tool_from_schema("github.create", ISSUE, create)
    assert record.asynchronous
    codemode.registry.register_tool(None, record)
    code = (
        "import datetime\n"
        "await github.create('acme', 'Broken', class_='bug', due=datetime.date(2026, 1, 2))"
    )
    assert half.run(codemode, code).value == {"id": 1}
    assert called == [
        {"owner": "acme", "issue-title": "Broken", "class": "bug", "due": "2026-01-02"}
    ]
    result = half.run(codemode, "await github.create('acme', issue_titel='x')")
    assert result.error is not None
    assert "no argument 'issue_titel' (did you mean 'issue_title'?)" in result.error.message
    result = half.run(codemode, "await github.create('acme', 'x' * 30)")
    assert result.error is not None
    assert "'issue_title' must have at most 20 characters, but has 30" in result.error.message
    assert len(called) == 1


def test_a_direct_call_may_use_the_names_of_the_properties(codemode: Codemode) -> None:
    codemode.registry.register_tool(None, issue_tool())
    given = {"owner": "acme", "issue-title": "Broken", "class": "bug"}
    assert codemode.call_tool("github.create_issue", given) == given
    by_parameter = {"owner": "acme", "issue_title": "Broken", "class_": "bug"}
    assert codemode.call_tool("github.create_issue", by_parameter) == given
    with pytest.raises(InvalidArguments, match="argument 'class_' is given twice, under two names"):
        codemode.call_tool("github.create_issue", {**given, "class_": "task"})
    with pytest.raises(InvalidArguments, match="argument 'class' must be 'bug' or 'task'"):
        codemode.call_tool("github.create_issue", {**given, "class": "x"})
    with pytest.raises(InvalidArguments, match="argument 'issue_title' is missing"):
        codemode.call_tool("github.create_issue", {"owner": "acme"})


def test_an_awaitable_from_a_plain_function_is_awaited_if_asynchronous(codemode: Codemode) -> None:
    async def later(**given: Any) -> Any:
        await asyncio.sleep(0)
        return given

    record = tool_from_schema("take", {}, lambda **given: later(**given), asynchronous=True)
    codemode.registry.register_tool(None, record)
    assert codemode.call_tool("take") == {}


def test_the_options_are_those_of_a_decorated_tool() -> None:
    record = issue_tool(
        permission="issues", thread_sensitive=False, effects="external", tags=["ticket"]
    )
    assert (record.permission, record.thread_sensitive, record.asynchronous) == (
        "issues",
        False,
        False,
    )
    assert (record.effects, record.tags) == ("external", ("ticket",))
    with pytest.raises(ToolRegistrationError, match="permission=\\(\\) is empty"):
        issue_tool(permission=())
    with pytest.raises(ToolRegistrationError, match="'github.create_issue' has effects='read'; "):
        issue_tool(effects="read")
    with pytest.raises(ToolRegistrationError, match="'github.create_issue' has tags='money', one"):
        issue_tool(tags="money")
    with pytest.raises(ToolRegistrationError, match="5 cannot be called; give the function"):
        not_callable: Any = 5
        tool_from_schema("take", {}, not_callable)
    with pytest.raises(ToolRegistrationError, match="'get-issue' is not a dotted.*; 'get_issue' w"):
        tool_from_schema("get-issue", {}, print)


WHOLE = [
    ({}, {}, "take()"),
    ({"type": "object"}, {}, "take()"),
    ({"additionalProperties": True}, {"any": 1}, "take(**extra: Any)"),
    (
        {"properties": {"extra": {}}, "additionalProperties": {"type": "integer"}},
        {"extra": "e", "other": "1"},
        "take(extra: Any = ..., **extra_2: int)",
    ),
    ({"required": ["a"]}, {"a": 1}, "take(a: Any)"),
    ({"$ref": "#/$defs/User", "$defs": PEOPLE}, {"user": "u"}, "take(user: str)"),
    (
        {
            "properties": {"kind": {"type": "string"}},
            "oneOf": [
                {"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a", "b"]},
                {"properties": {"a": {"type": "string"}}, "required": ["a"]},
            ],
        },
        {"a": "s"},
        "take(a: int | str, kind: str = ..., b: Any = ...)",
    ),
]


@pytest.mark.parametrize(("schema", "given", "signature"), WHOLE)
def test_the_whole_schema_becomes_one_signature(
    schema: Any, given: dict[str, Any], signature: str
) -> None:
    record = tool_from_schema("take", schema, print)
    assert record.signature == signature
    assert record.validate(given).keys() == given.keys()
    assert record.input_schema == schema


def test_arguments_that_no_property_names_are_refused() -> None:
    with pytest.raises(InvalidArguments, match="there is no argument 'y'"):
        one({}).validate({"y": 1})
    with pytest.raises(InvalidArguments, match="argument 'b' must be a whole number"):
        schema = {"additionalProperties": {"type": "integer"}}
        tool_from_schema("take", schema, print).validate({"b": "s"})
