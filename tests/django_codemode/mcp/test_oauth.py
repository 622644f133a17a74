"""Promises of tokens of OAuth 2, with Django OAuth Toolkit and the official SDK's client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

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

from tests.django_codemode.mcp.clients import mcp_serves, text_of
from tests.support.django_servers import session_headers

pytestmark = pytest.mark.django_db(transaction=True)

Configure = Callable[..., None]
CALLBACK = "http://127.0.0.1:1/callback"
METADATA = "/.well-known/oauth-protected-resource/mcp"


@contextmanager
def oauth_serves(settings: Any, configure: Configure) -> Iterator[str]:
    """Serve a project that issues tokens with the scope ``codemode``."""
    settings.ROOT_URLCONF = "tests.django_codemode.mcp.oauth_urls"
    settings.OAUTH2_PROVIDER = {"SCOPES": {"codemode": "Execute code", "read": "Read"}}
    configure(MCP_AUTHENTICATION=["oauth2"], MCP_SCOPES=["codemode"])
    with mcp_serves(None, application=get_asgi_application()) as url:
        yield url


def token_of(user: User, resource: list[str], **changes: Any) -> str:
    """Issue a token without the flow."""
    fields = {
        "scope": "codemode",
        "expires": timezone.now() + timedelta(hours=1),
        "resource": resource,
        **changes,
    }
    return str(AccessToken.objects.create(user=user, token="t" * 30, **fields).token)


def post(url: str, token: str) -> httpx.Response:
    headers = {
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {token}",
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
