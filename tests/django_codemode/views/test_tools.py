"""The view that lists the tools."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest
from django.test import Client, RequestFactory

from django_codemode.views import ExecuteView, ToolsView

pytestmark = pytest.mark.django_db

URL = "/codemode/tools/"


def listed(user: User) -> dict[str, Any]:
    client = Client()
    client.force_login(user)
    response = client.get(URL)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "private"
    tools = response.json()["tools"]
    assert [tool["name"] for tool in tools] == sorted(tool["name"] for tool in tools)
    return {tool["name"]: tool for tool in tools}


def test_each_tool_is_described_for_a_model(coder: User) -> None:
    assert listed(coder)["testapp.add"] == {
        "name": "testapp.add",
        "signature": "testapp.add(slug: str) -> int",
        "description": "Add a merchant.",
        "asynchronous": False,
        "effects": None,
        "tags": [],
        "parameters": {
            "type": "object",
            "properties": {"slug": {"type": "string"}},
            "required": ["slug"],
            "additionalProperties": False,
        },
        "returns": {"type": "integer"},
    }
    assert listed(coder)["list_orders"]["description"]


def test_the_catalogue_is_what_a_model_reads(coder: User) -> None:
    client = Client()
    client.force_login(coder)
    whole = client.get(URL).json()["catalogue"]
    part = client.get(URL, {"max_tokens": "100"}).json()["catalogue"]

    assert whole["tier"] == "full"
    assert " def add(slug: str) -> int: " in whole["text"]
    assert "secret" not in whole["text"]
    assert part["tier"] in ("names", "namespaces")
    assert part["tokens"] <= 100
    for budget, message in (
        ("many", "max_tokens is 'many'; expected a whole number of tokens above 0"),
        ("-1", "max_tokens is '-1'; expected"),
        ("0", "max_tokens=0; expected a whole number"),
        ("3", "max_tokens=3 is too few for a catalogue of"),
    ):
        response = client.get(URL, {"max_tokens": budget})
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (400, "invalid_max_tokens")
        assert message in error["message"]


def test_a_tool_is_listed_for_those_who_may_call_it(coder: User) -> None:
    assert "testapp.secret" not in listed(coder)
    coder.user_permissions.add(Permission.objects.get(codename="add_refund"))
    assert "testapp.secret" in listed(coder)


def test_nothing_is_listed_for_those_who_may_not_execute() -> None:
    client = Client()
    response: Any = client.get(URL)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "not_authenticated")
    client.force_login(User.objects.create_user("other"))
    response = client.get(URL)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "not_permitted")
    assert client.post(URL).status_code == 405


class OrdersMixin:
    """A part of the tools, for a view."""

    def get_tools(self, request: HttpRequest) -> Iterable[str]:
        return ["testapp.*", "list_orders"]


class OrdersToolsView(OrdersMixin, ToolsView):
    """A view that lists that part."""


class OrdersExecuteView(OrdersMixin, ExecuteView):
    """A view that executes with that part."""

    seconds = 20.0

    def get_execution_timeout(self, request: HttpRequest) -> float:
        return self.seconds


def execute(coder: User, code: str, names: list[str] | None = None, **more: Any) -> Any:
    request = RequestFactory().post(
        "/",
        {"code": code, "available_tools": names, **more},
        content_type="application/json",
    )
    request.user = coder
    return OrdersExecuteView.as_view()(request)


def test_a_view_offers_a_part_of_the_tools(coder: User) -> None:
    request = RequestFactory().get("/")
    request.user = coder
    response: Any = OrdersToolsView.as_view()(request)
    names = {tool["name"] for tool in json.loads(response.content)["tools"]}
    assert "list_orders" in names
    assert "testapp.add" in names
    assert "testapp.secret" not in names
    assert "get_rate" not in names

    outcome = json.loads(execute(coder, "testapp.lazy(); get_rate('EUR')").content)
    assert outcome["error"]["type"] == "NameError"
    outcome = json.loads(execute(coder, "testapp.lazy(); 1", ["testapp.lazy"]).content)
    assert outcome["value"] == 1
    outcome = json.loads(execute(coder, "testapp.lazy(); 1", ["list_orders"]).content)
    assert outcome["error"]["type"] == "NameError"
    response = execute(coder, "1", ["get_rate"])
    assert response.status_code == 400
    assert json.loads(response.content)["error"]["code"] == "unknown_tool"


def test_a_view_bounds_the_time(coder: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrdersExecuteView, "seconds", 0.5)
    assert json.loads(execute(coder, "while True: pass").content)["status"] == "timeout"
    response = execute(coder, "1", execution_timeout=0.6)
    assert "0.5 at most" in json.loads(response.content)["error"]["message"]
