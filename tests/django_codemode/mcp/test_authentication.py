"""Promises of how MCP requests are authenticated, by requests to a real server."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest

from codemode.errors import ConfigurationError
from django_codemode.mcp.application import mcp_application
from tests.django_codemode.mcp.clients import django_application, mcp_serves
from tests.support.django_servers import session_headers

pytestmark = pytest.mark.django_db(transaction=True)

Configure = Callable[..., None]


def post(url: str, **headers: str) -> httpx.Response:
    """Execute code that shows the user of a request with these headers."""
    accept = {"Accept": "application/json, text/event-stream"}
    call = {"name": "execute_code", "arguments": {"code": "testapp.whoami().get('user')"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    return httpx.post(url, headers=accept | headers, json=body, timeout=60)


def origin_of(url: str) -> str:
    return url.removesuffix("/mcp/")


class TestSession:
    def test_a_page_of_this_site_is_served_as_its_user(
        self, coder: User, configure: Configure
    ) -> None:
        configure(MCP_AUTHENTICATION="session")
        with mcp_serves(None) as url:
            answer = post(url, Origin=origin_of(url), **session_headers(coder))
        assert answer.status_code == 200
        assert "coder" in answer.text

    @pytest.mark.parametrize("origin", [None, "null", "https://evil.example"])
    def test_a_request_that_another_site_may_have_caused_is_refused(
        self, coder: User, configure: Configure, origin: str | None
    ) -> None:
        # Clients with a token may come from there, and cookies are refused nevertheless.
        configure(MCP_AUTHENTICATION="session", MCP_ALLOWED_ORIGINS=["https://evil.example"])
        headers = session_headers(coder) | ({} if origin is None else {"Origin": origin})
        with mcp_serves(None) as url:
            answer = post(url, **headers)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "origin_not_allowed"

    def test_a_trusted_origin_of_the_project_is_this_site(
        self, coder: User, configure: Configure, settings: Any
    ) -> None:
        settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.com"]
        with mcp_serves("session") as url:
            found = [
                post(url, Origin=origin, **session_headers(coder)).status_code
                for origin in ("https://shop.example.com", "http://shop.example.com")
            ]
        assert found == [200, 403]

    @pytest.mark.parametrize("wrong", ["logged out", "changed password", "inactive"])
    def test_a_session_that_has_ended_is_refused(
        self, coder: User, configure: Configure, wrong: str
    ) -> None:
        headers = session_headers(coder)
        if wrong == "logged out":
            headers["Cookie"] = "sessionid=0123456789abcdef0123456789abcdef"
        elif wrong == "changed password":
            coder.set_password("another")
        else:
            coder.is_active = False
        coder.save()
        with mcp_serves("session") as url:
            answer = post(url, Origin=origin_of(url), **headers)
        assert answer.status_code == 401


class TestHooks:
    def test_the_first_way_that_gives_a_user_decides(
        self, coder: User, configure: Configure
    ) -> None:
        async def nobody(request: HttpRequest) -> None:
            assert request.headers["X-Key"] == "k"

        with mcp_serves([nobody, lambda request: User.objects.get(username="coder")]) as url:
            answer = post(url, **{"X-Key": "k"})
        assert "coder" in answer.text

    def test_a_setting_names_a_hook_by_its_path(self, coder: User, configure: Configure) -> None:
        configure(MCP_AUTHENTICATION=["tests.django_codemode.mcp.clients.user_of_token"])
        with mcp_serves(None) as url:
            assert post(url, Authorization="Bearer coder").status_code == 200
            refused = post(url, Authorization="Bearer nobody")
        assert refused.status_code == 401
        challenge = 'Bearer error="invalid_token", error_description="the credential is not valid"'
        assert refused.headers["WWW-Authenticate"] == challenge

    @pytest.mark.parametrize("returned", [True, SimpleNamespace(is_authenticated=True)])
    def test_a_hook_that_returns_no_user_is_an_error_that_names_it(
        self, coder: User, configure: Configure, caplog: pytest.LogCaptureFixture, returned: object
    ) -> None:
        with mcp_serves(lambda request: returned) as url:
            answer = post(url)
        assert answer.status_code == 500
        assert "manage.py check" in answer.json()["error"]["message"]
        name = type(returned).__name__
        assert f"returned a {name} for a request; expected a user" in caplog.text


class TestTheDoor:
    def test_a_request_without_a_credential_is_refused_before_its_body_is_read(
        self, coder: User, configure: Configure
    ) -> None:
        with mcp_serves() as url:
            host, port = url.split("/")[2].split(":")
            with socket.create_connection((host, int(port)), timeout=60) as raw:
                head = f"POST /mcp/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\n"
                raw.sendall(head.encode())  # and nothing of the body
                answer = raw.recv(65536).decode()
        assert answer.startswith("HTTP/1.1 401 ")
        assert "www-authenticate: Bearer\r\n" in answer

    @pytest.mark.parametrize(
        ("headers", "status", "code"),
        [
            ({"Origin": "https://evil.example"}, 403, "origin_not_allowed"),
            ({"Host": "evil.example"}, 400, "host_not_allowed"),
        ],
    )
    def test_another_site_and_another_host_are_refused(
        self, coder: User, configure: Configure, headers: dict[str, str], status: int, code: str
    ) -> None:
        with mcp_serves() as url:
            answer = post(url, Authorization="Bearer coder", **headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)

    async def test_a_request_that_django_cannot_read_is_refused(self) -> None:
        # Not by a server: some of them refuse it themselves.
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/mcp/",
            "query_string": b"\xff",
            "headers": [(b"host", b"testserver")],
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await mcp_application(django_application, authentication="session")(scope, receive, send)
        assert sent[0]["status"] == 400
        assert b'"bad_request"' in sent[1]["body"]

    def test_an_allowed_origin_may_send_a_token(self, coder: User, configure: Configure) -> None:
        configure(MCP_ALLOWED_ORIGINS=["http://localhost:6274"])
        with mcp_serves() as url:
            answer = post(url, Authorization="Bearer coder", Origin="http://localhost:6274")
        assert answer.status_code == 200

    def test_everybody_is_served_only_if_the_project_says_so(
        self, coder: User, configure: Configure
    ) -> None:
        configure(MCP_PLAIN_TOOLS=["testapp.secret"])
        with pytest.raises(ConfigurationError, match="MCP_AUTHENTICATION"):
            mcp_application(django_application)
        with mcp_serves("anonymous") as url:
            answer = post(url)
        assert answer.status_code == 200
        assert "null" in answer.text

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"path": "/"}, "path='/'; expected one such as '/mcp/'"),
            ({"resource": "shop.example"}, "resource='shop.example'; expected the public URL"),
            ({"authentication": ["session", "anonymous"]}, "nothing can stand beside it"),
            ({"authentication": 7}, "7 does not authenticate"),
            ({"authentication": "shop.no.such"}, "'shop.no.such' cannot be imported"),
        ],
    )
    def test_a_mistake_stops_the_start(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            mcp_application(django_application, **{"authentication": "session", **arguments})

    def test_the_context_provider_of_the_project_makes_the_context(
        self, coder: User, configure: Configure
    ) -> None:
        async def provider(request: HttpRequest) -> dict[str, Any]:
            return {"user": f"{request.user} of {request.headers['X-Tenant']}"}

        configure(CONTEXT_PROVIDER=provider)
        with mcp_serves() as url:
            answer = post(url, Authorization="Bearer coder", **{"X-Tenant": "acme"})
        assert "coder of acme" in answer.text


def test_a_wrong_setting_is_in_the_log_and_not_in_the_answer(
    coder: User, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(MCP_TOOLS=["testapp.gone"])
    with mcp_serves() as url:
        answer = post(url, Authorization="Bearer coder")
    assert "Codemode is misconfigured" in answer.text
    assert "testapp.gone" not in answer.text
    assert "testapp.gone" in caplog.text
