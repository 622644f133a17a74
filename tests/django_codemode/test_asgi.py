from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.test import override_settings

from codemode.core.context import RuntimeContext, get_current_context
from codemode.errors import ConfigurationError
from django_codemode.asgi import CodemodeASGIMiddleware, Message, Receive, Scope, Send


async def serve(
    app: Any, headers: dict[str, str] | None = None, *, type: str = "http", **scope: Any
) -> list[Message]:
    """Send one request without a body through an ASGI application; return the application's
    messages.
    """
    sent: list[Message] = []
    gone = asyncio.Event()
    requests: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    base = {
        "type": type,
        "method": "GET",
        "path": "/",
        "headers": [(b"host", b"testserver"), *raw],
        "query_string": b"",
    }
    await app({**base, **scope}, receive, send)
    return sent


class Recorder:
    """An application that records its context and its scope."""

    context: RuntimeContext | None = None
    scope: Scope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.context = get_current_context()
        self.scope = scope


async def context_in(headers: dict[str, str] | None = None, **scope: Any) -> RuntimeContext:
    recorder = Recorder()
    await serve(CodemodeASGIMiddleware(recorder), headers, **scope)
    noted: RuntimeContext = recorder.scope["codemode_context"]
    assert recorder.context is noted
    return noted


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_requests_and_websockets_have_a_context(kind: str) -> None:
    context = await context_in({"X-Request-ID": "r-1"}, type=kind, user="the user")

    assert dict(context) == {"request_id": "r-1", "user": "the user"}
    assert get_current_context() is None


async def test_other_scopes_pass_untouched() -> None:
    recorder = Recorder()
    await serve(CodemodeASGIMiddleware(recorder), type="lifespan")
    assert recorder.context is None
    assert "codemode_context" not in recorder.scope


async def test_the_setting_chooses_where_the_tenant_comes_from() -> None:
    with override_settings(CODEMODE={"TENANT_HEADER": "X-Tenant"}):
        assert (await context_in({"X-Tenant": "acme"}))["tenant_id"] == "acme"
    with override_settings(CODEMODE={"TENANT_FROM_HOST": True}):
        assert (await context_in())["tenant_id"] == "testserver"


async def test_a_forwarded_host_counts_where_django_uses_it() -> None:
    forwarded = {"X-Forwarded-Host": "acme.test"}
    for taken, tenant in ((True, "acme.test"), (False, "testserver")):
        with override_settings(
            CODEMODE={"TENANT_FROM_HOST": True},
            ALLOWED_HOSTS=["testserver", "acme.test"],
            USE_X_FORWARDED_HOST=taken,
        ):
            assert (await context_in(forwarded))["tenant_id"] == tenant


async def test_a_host_that_is_not_allowed_gives_no_tenant() -> None:
    with override_settings(CODEMODE={"TENANT_FROM_HOST": True}, ALLOWED_HOSTS=["a.test"]):
        assert "tenant_id" not in await context_in()
    with override_settings(CODEMODE={"TENANT_FROM_HOST": True}, ALLOWED_HOSTS=[], DEBUG=True):
        assert "tenant_id" not in await context_in()


async def test_the_context_is_restored_after_an_exception() -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await serve(CodemodeASGIMiddleware(fail))
    assert get_current_context() is None


async def test_a_provider_of_either_kind_decides() -> None:
    async def from_path(scope: Scope) -> dict[str, str]:
        return {"path": scope["path"]}

    for provider in (from_path, lambda scope: {"path": scope["path"]}):
        recorder = Recorder()
        await serve(CodemodeASGIMiddleware(recorder, provider=provider))
        assert recorder.context == RuntimeContext({"path": "/"})


async def test_the_settings_provider_is_used_for_websockets_alone() -> None:
    def from_request(request: Any) -> dict[str, Any]:
        return {"host": request.get_host(), "user": getattr(request, "user", None)}

    with override_settings(CODEMODE={"CONTEXT_PROVIDER": from_request}):
        assert set(await context_in(type="http")) == {"request_id"}
        assert dict(await context_in(type="websocket", user="the user")) == {
            "host": "testserver",
            "user": "the user",
        }
        assert (await context_in(type="websocket"))["user"] is None


@pytest.mark.django_db(transaction=True)
async def test_the_settings_provider_may_query_and_leaves_no_connection() -> None:
    used: list[Any] = []

    def from_database(request: Any) -> dict[str, Any]:
        users = User.objects.count()
        used.append(connections["default"])
        return {"users": users, "connected": used[0].connection is not None}

    with override_settings(CODEMODE={"CONTEXT_PROVIDER": from_database}):
        context = await context_in(type="websocket")
    assert dict(context) == {"users": 0, "connected": True}
    assert used[0].connection is None


async def test_a_provider_that_denies_a_websocket_refuses_its_handshake() -> None:
    def deny(_: Any) -> dict[str, Any]:
        raise PermissionDenied

    recorder = Recorder()
    denied = [{"type": "websocket.close"}]
    app = CodemodeASGIMiddleware(recorder, provider=deny)
    assert await serve(app, type="websocket") == denied
    with override_settings(CODEMODE={"CONTEXT_PROVIDER": deny}):
        assert await serve(CodemodeASGIMiddleware(recorder), type="websocket") == denied
    with pytest.raises(PermissionDenied):
        await serve(app, type="http")
    assert recorder.context is None


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_provider_that_raises_fails_its_scope_alone(kind: str) -> None:
    async def fail(scope: Scope) -> dict[str, str]:
        if scope["path"] == "/bad":
            raise LookupError("no such tenant")
        return {"path": scope["path"]}

    recorder = Recorder()
    app = CodemodeASGIMiddleware(recorder, provider=fail)
    with pytest.raises(LookupError):
        await serve(app, type=kind, path="/bad")
    assert recorder.context is None
    assert get_current_context() is None
    await serve(app, type=kind, path="/good")
    assert recorder.context == RuntimeContext({"path": "/good"})


async def test_a_provider_that_returns_something_else_is_named() -> None:
    with pytest.raises(ConfigurationError, match="returned a str; expected a mapping"):
        await serve(CodemodeASGIMiddleware(Recorder(), provider=lambda scope: "acme"))


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous")
@pytest.mark.parametrize("path", ["/context/", "/acontext/", "/stream/", "/astream/"])
async def test_a_django_behind_the_middleware_sees_the_same_request_id(path: str) -> None:
    ids: list[str] = []
    django: Any = get_asgi_application()

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        context = get_current_context()
        assert context is not None
        ids.append(context["request_id"])
        await django(scope, receive, send)

    body = b"".join(
        message.get("body", b"")
        for message in await serve(CodemodeASGIMiddleware(noting), path=path)
    )

    assert set(body.decode().split()) == set(ids)


async def test_concurrent_scopes_do_not_see_each_other() -> None:
    seen: list[tuple[str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        context = get_current_context()
        assert context is not None
        seen.append((context["request_id"], scope["path"]))

    wrapped = CodemodeASGIMiddleware(app)
    await asyncio.gather(
        *(serve(wrapped, {"X-Request-ID": f"r{n}"}, path=f"r{n}") for n in range(20))
    )

    assert len(seen) == 20
    assert all(request_id == path for request_id, path in seen)
