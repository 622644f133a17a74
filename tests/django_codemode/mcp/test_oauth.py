"""Promises of tokens of OAuth 2, with Django OAuth Toolkit and the official SDK's client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.utils import timezone
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from oauth2_provider.models import AccessToken, Application

from django_codemode.mcp.application import mcp_application
from tests.django_codemode.mcp.clients import mcp_serves, text_of
from tests.support.django_servers import asgi_serves, session_headers

pytestmark = pytest.mark.django_db(transaction=True)

Configure = Callable[..., None]
CALLBACK = "http://127.0.0.1:1/callback"
METADATA = "/.well-known/oauth-protected-resource/mcp"


def issues_tokens(settings: Any, configure: Configure, **more: object) -> None:
    """Let the project issue tokens with the scope ``codemode``."""
    settings.ROOT_URLCONF = "tests.django_codemode.mcp.oauth_urls"
    scopes = {"codemode": "Execute code", "read": "Read"}
    settings.OAUTH2_PROVIDER = {"SCOPES": scopes, **more}
    configure(MCP_AUTHENTICATION=["oauth2"], MCP_SCOPES=["codemode"])


@contextmanager
def oauth_serves(settings: Any, configure: Configure, **options: Any) -> Iterator[str]:
    issues_tokens(settings, configure)
    with mcp_serves(None, application=get_asgi_application(), **options) as url:
        yield url


def token_of(user: User, resource: list[str], **changes: Any) -> str:
    """Issue a token without the flow."""
    fields = {
        "scope": "codemode",
        "expires": timezone.now() + timedelta(hours=1),
        "resource": resource,
        **changes,
    }
    return str(AccessToken.objects.create(user=user, token=uuid4().hex, **fields).token)


def post(url: str, token: str, **more: str) -> httpx.Response:
    headers = {
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {token}",
        **more,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    return httpx.post(url, headers=headers, json=body, timeout=60)


class Storage:
    """What a client keeps: its registration, and the tokens that it gets."""

    def __init__(self, client: OAuthClientInformationFull) -> None:
        self.client = client
        self.tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def test_a_client_finds_its_way_from_the_refusal_to_a_call(
    coder: User, configure: Configure, settings: Any
) -> None:
    """Refusal, metadata, the user's consent, code, token, call: the SDK does all of it."""
    application = Application.objects.create(
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris=CALLBACK,
        skip_authorization=True,
    )
    cookies = session_headers(coder)
    seen: list[str] = []

    async def browser(url: str) -> None:
        async with httpx.AsyncClient(timeout=60) as http:
            answer = await http.get(url, headers=cookies)
        seen.append(answer.headers["Location"])

    async def callback() -> AuthorizationCodeResult:
        query = {name: one for name, (one,) in parse_qs(urlsplit(seen[-1]).query).items()}
        return AuthorizationCodeResult(
            code=query["code"], state=query.get("state"), iss=query.get("iss")
        )

    async def calling(url: str) -> tuple[str, OAuthToken | None]:
        storage = Storage(
            OAuthClientInformationFull(
                client_id=application.client_id,
                redirect_uris=[CALLBACK],
                token_endpoint_auth_method="none",
            )
        )
        metadata = OAuthClientMetadata(redirect_uris=[CALLBACK])
        auth = OAuthClientProvider(url, metadata, storage, browser, callback)
        async with (
            create_mcp_http_client(auth=auth) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            code = {"code": "testapp.whoami()['user']"}
            return text_of(await client.call_tool("execute_code", code)), storage.tokens

    with oauth_serves(settings, configure) as url:
        text, tokens = asyncio.run(calling(url))
    assert text == "coder"
    assert tokens is not None
    assert AccessToken.objects.get(token=tokens.access_token).resource == [url.rstrip("/")]


def test_the_metadata_is_that_of_the_server(
    coder: User, configure: Configure, settings: Any
) -> None:
    with oauth_serves(settings, configure) as url:
        origin = url.removesuffix("/mcp/")
        refused = httpx.post(url)
        answer = httpx.get(f"{origin}{METADATA}")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == (
        f'Bearer resource_metadata="{origin}{METADATA}", scope="codemode"'
    )
    assert answer.json() == {
        "resource": f"{origin}/mcp",
        "authorization_servers": [origin],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["codemode"],
    }


@pytest.mark.parametrize(
    ("resource", "changes", "status", "error"),
    [
        (["{origin}/mcp"], {}, 200, ""),
        ([], {}, 401, "invalid_token"),
        (["https://other.example/mcp"], {}, 401, "invalid_token"),
        (["{origin}/"], {}, 401, "invalid_token"),
        (["{origin}/mcp"], {"scope": "read"}, 403, "insufficient_scope"),
        (["{origin}/mcp"], {"expires": timezone.now()}, 401, "invalid_token"),
    ],
)
def test_a_token_must_be_for_this_server(
    coder: User,
    configure: Configure,
    settings: Any,
    resource: list[str],
    changes: dict[str, Any],
    status: int,
    error: str,
) -> None:
    with oauth_serves(settings, configure) as url:
        origin = url.removesuffix("/mcp/")
        token = token_of(coder, [one.format(origin=origin) for one in resource], **changes)
        answer = post(url, token)
    assert answer.status_code == status
    assert (f'error="{error}"' in answer.headers.get("WWW-Authenticate", "")) == bool(error)


def test_tokens_are_for_the_url_that_the_project_names(
    coder: User, configure: Configure, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "shop.example"]
    named = "http://shop.example/mcp"
    with oauth_serves(settings, configure, resource=named) as url:
        origin = url.removesuffix("/mcp/")
        assert httpx.get(f"{origin}{METADATA}").json()["resource"] == named
        assert post(url, token_of(coder, [named]), Host="shop.example").status_code == 200
        assert post(url, token_of(coder, [f"{origin}/mcp"])).status_code == 401


@pytest.mark.parametrize(
    "root",
    ["//evil.example", "http://evil.example", ".evil.example", '/"\r\nX-Evil: 1'],
    ids=["no scheme", "a URL", "a domain", "a header"],
)
def test_a_root_path_that_the_client_chooses_is_not_another_host(
    coder: User, configure: Configure, settings: Any, root: str
) -> None:
    """Daphne takes the root path from a header of the request."""
    # The toolkit's own check compares with the request's URL, and a project may do without it.
    issues_tokens(settings, configure, RESOURCE_SERVER_TOKEN_RESOURCE_VALIDATOR=None)
    app = mcp_application(get_asgi_application())

    async def rooted(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": root}, receive, send)

    with asgi_serves(rooted) as address:
        hosts = ("evil.example", f"{address}.evil.example")
        token = token_of(coder, [f"http://{host}/mcp" for host in hosts])
        answer = post(f"http://{address}/mcp/", token)
    assert answer.status_code == 401
    assert f'resource_metadata="http://{address}/' in answer.headers["WWW-Authenticate"]
    assert "X-Evil" not in answer.headers


@pytest.mark.parametrize(
    ("query", "content_type"),
    [("?a=%zz", "application/json"), ("", "multipart/form-data")],
    ids=["query", "form"],
)
def test_a_request_that_the_toolkit_cannot_read_is_refused(
    coder: User, configure: Configure, settings: Any, query: str, content_type: str
) -> None:
    with oauth_serves(settings, configure) as url:
        connection = HTTPConnection(urlsplit(url).netloc, timeout=60)  # it sends the query as it is
        headers = {"Authorization": "Bearer x", "Content-Type": content_type}
        with closing(connection):
            connection.request("POST", f"/mcp/{query}", b"{}", headers)
            answer = connection.getresponse()
            assert (answer.status, b'"bad_request"' in answer.read()) == (400, True)
