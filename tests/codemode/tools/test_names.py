from __future__ import annotations

import pytest

from codemode.errors import ToolRegistrationError
from codemode.tools.names import check_name, check_namespaces, namespaces_of, snake_case


@pytest.mark.parametrize("name", ["orders", "orders.get", "orders.list", "a1_b", "größe", "match"])
def test_good_names_are_accepted(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "dotted identifier"),
        ("get order", "'get_order' would do"),
        ("get-order", "'get_order' would do"),
        ("orders..get", "dotted identifier"),
        (".get", "dotted identifier"),
        ("1st", "dotted identifier"),
        ("ﬁnd", "dotted identifier"),
        ("orders.class", "keyword 'class'.*'class_'"),
        ("None", "keyword"),
        ("_hidden", "underscore"),
        ("orders._get", "underscore"),
        ("orders.__class__", "underscore"),
        ("tools", "hide 'tools'"),
        ("tools.get", "hide 'tools'"),
        ("result", "hide 'result'"),
        ("artifact", "hide 'artifact'"),
        ("progress", "hide 'progress'"),
        ("print", "built-in 'print'.*'shop.print'"),
        ("list.orders", "built-in 'list'"),
        ("help", "built-in 'help'"),
        (7, "expected a str"),
    ],
)
def test_bad_names_are_refused_with_the_fix(name: object, text: str) -> None:
    with pytest.raises(ToolRegistrationError, match=text):
        check_name(name)


def test_a_name_is_a_tool_or_a_namespace_and_not_both() -> None:
    known = ["orders.list", "order", "orders2"]
    check_namespaces("orders.get", known, {"orders": "orders.list"})
    with pytest.raises(ToolRegistrationError, match=r"namespace of 'orders\.get'"):
        check_namespaces("orders", ["orders.get"], namespaces_of("orders.get"))
    with pytest.raises(ToolRegistrationError, match="needs 'orders' as a namespace"):
        check_namespaces("orders.get", ["orders"], {})


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("WeatherTool", "weather"),
        ("Tool", "tool"),
        ("HTTPStatus", "http_status"),
        ("S3UploadTool", "s3_upload"),
        ("_Private", "private"),
    ],
)
def test_class_names_become_snake_case(class_name: str, name: str) -> None:
    assert snake_case(class_name) == name
