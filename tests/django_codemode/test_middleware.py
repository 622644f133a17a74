from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import SimpleLazyObject

from codemode.core.context import RuntimeContext, get_current_context, use_context
from codemode.errors import ConfigurationError
from django_codemode import get_codemode
from django_codemode.middleware import CodemodeMiddleware
from tests.testapp import views


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    views.seen.clear()
    assert get_current_context() is None
    yield
    assert get_current_context() is None


def provider(request: HttpRequest) -> dict[str, Any]:
    return {"request_id": "from-provider", "path": request.path}


async def async_provider(request: HttpRequest) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"request_id": "from-async-provider"}


class AsyncCallable:
    async def __call__(self, request: HttpRequest) -> RuntimeContext:
        return RuntimeContext({"request_id": "from-callable"})


def wrong_provider(request: HttpRequest) -> list[str]:
    return ["request_id"]


HERE = __name__


@pytest.mark.parametrize("path", ["/context/", "/acontext/"])
def test_a_view_runs_in_the_requests_context(path: str) -> None:
    assert Client().get(path, headers={"X-Request-ID": "r-1"}).text == "r-1"


@pytest.mark.parametrize("path", ["/context/", "/acontext/"])
async def test_a_view_of_an_asynchronous_stack_runs_in_the_requests_context(path: str) -> None:
    response = await AsyncClient().get(path, headers={"X-Request-ID": "r-2"})
    assert response.content == b"r-2"
    assert get_current_context() is None


@pytest.mark.parametrize("header", ["", "two words", "x" * 129, "<script>"])
def test_an_unusable_request_id_is_replaced(header: str) -> None:
    assert uuid.UUID(Client().get("/context/", headers={"X-Request-ID": header}).text).version == 4


@pytest.mark.parametrize("path", ["/stream/", "/astream/"])
async def test_a_streaming_body_keeps_the_context_in_an_asynchronous_stack(path: str) -> None:
    response: Any = await AsyncClient().get(path, headers={"X-Request-ID": "r-3"})
    if path == "/stream/":
        chunks = list(response.streaming_content)
    else:
        chunks = [chunk async for chunk in response.streaming_content]

    assert chunks == [b"r-3\n"] * 2
    assert get_current_context() is None
    assert views.seen == ["r-3"] * 3


def test_a_streaming_body_keeps_the_context_and_the_server_does_not_see_it() -> None:
    response: Any = Client().get("/stream/", headers={"X-Request-ID": "r-4"})

    between = []
    for chunk in response.streaming_content:
        between.append(get_current_context())
        assert chunk == b"r-4\n"

    assert between == [None, None]
    assert views.seen == ["r-4"] * 3


@pytest.mark.django_db
def test_closing_a_streaming_response_early_ends_its_body_in_the_context() -> None:
    request = RequestFactory().get("/stream/", headers={"X-Request-ID": "r-5"})
    response: Any = CodemodeMiddleware(views.stream)(request)

    assert next(iter(response)) == b"r-5\n"
    response.close()

    assert views.seen == ["r-5", "r-5"]


@pytest.mark.django_db
async def test_leaving_an_asynchronous_body_early_ends_it_in_the_context() -> None:
    request = RequestFactory().get("/astream/", headers={"X-Request-ID": "r-6"})
    middleware: Any = CodemodeMiddleware(views.astream)
    response = await middleware(request)
    body = response.streaming_content

    assert await anext(body) == b"r-6\n"
    # As Django's handler does when the client has gone.
    await body.aclose()
    await sync_to_async(response.close)()
    del body, response
    for _ in range(50):  # the loop closes what is no longer referenced
        await asyncio.sleep(0)

    assert views.seen == ["r-6", "r-6"]


async def test_each_step_of_a_body_may_be_taken_by_another_task() -> None:
    request = RequestFactory().get("/astream/", headers={"X-Request-ID": "r-7"})
    middleware: Any = CodemodeMiddleware(views.astream)
    response = await middleware(request)
    body = response.streaming_content

    chunks = [await asyncio.create_task(anext(body)) for _ in range(2)]
    with pytest.raises(StopAsyncIteration):
        await asyncio.create_task(anext(body))

    assert chunks == [b"r-7\n"] * 2
    assert views.seen == ["r-7"] * 3


@pytest.mark.django_db
def test_a_file_keeps_the_fast_path_of_the_server(tmp_path: Any) -> None:
    file = tmp_path / "report.txt"
    file.write_bytes(b"text")

    response: Any = CodemodeMiddleware(lambda _: FileResponse(file.open("rb")))(HttpRequest())

    assert response.file_to_stream is not None
    assert b"".join(response) == b"text"
    response.close()


def test_the_former_context_comes_back_after_an_exception() -> None:
    outer = RuntimeContext({"outer": 1})
    with use_context(outer):
        with pytest.raises(LookupError):
            Client().get("/fail/")
        assert get_current_context() is outer


async def test_the_former_context_comes_back_after_an_exception_in_a_task() -> None:
    async def fail(request: HttpRequest) -> HttpResponse:
        assert get_current_context() is not None
        raise LookupError

    middleware: Any = CodemodeMiddleware(fail)
    outer = RuntimeContext({"outer": 1})
    with use_context(outer):
        with pytest.raises(LookupError):
            await middleware(HttpRequest())
        assert get_current_context() is outer


def test_no_request_sees_the_context_of_an_earlier_one_in_its_thread() -> None:
    def request(number: int) -> None:
        assert get_current_context() is None
        text = Client().get("/context/", headers={"X-Request-ID": f"r{number}"}).text
        assert text == f"r{number}"

    context = copy_context()  # a worker of gunicorn has one for all its requests
    for number in range(3):
        context.run(request, number)


async def test_concurrent_requests_do_not_see_each_other() -> None:
    async def request(number: int) -> None:
        path = "/acontext/" if number % 2 else "/context/"
        response = await AsyncClient().get(path, headers={"X-Request-ID": f"r{number}"})
        assert response.content == f"r{number}".encode()

    await asyncio.gather(*(request(number) for number in range(30)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"{HERE}.provider", "from-provider"),
        (provider, "from-provider"),
        (f"{HERE}.async_provider", "from-async-provider"),
        (AsyncCallable(), "from-callable"),
        (lambda _request: async_provider(_request), "from-async-provider"),
    ],
)
async def test_the_projects_provider_decides_in_both_modes(given: Any, expected: str) -> None:
    with override_settings(CODEMODE={"CONTEXT_PROVIDER": given}):
        for url in ("/context/", "/acontext/"):
            response = await AsyncClient().get(url)
            assert response.content.decode() == expected
            text = (await asyncio.to_thread(Client().get, url)).text
            assert text == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (f"{HERE}.wrong_provider", "wrong_provider returned a list; expected a mapping"),
        (f"{HERE}.no_such", f"'{HERE}.no_such' cannot be imported"),
        (f"{HERE}.HERE", "is a str; expected a callable"),
        (lambda _: {1: 2}, "returned a dict"),
    ],
)
async def test_a_provider_that_cannot_be_used_is_named(given: Any, message: str) -> None:
    with override_settings(CODEMODE={"CONTEXT_PROVIDER": given}):
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            await AsyncClient().get("/acontext/")
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            await asyncio.to_thread(Client().get, "/context/")


def failing_provider(request: HttpRequest) -> dict[str, Any]:
    raise LookupError("no such tenant")


async def failing_async_provider(request: HttpRequest) -> dict[str, Any]:
    raise LookupError("no such tenant")


@pytest.mark.parametrize("given", [failing_provider, failing_async_provider])
async def test_a_provider_that_raises_fails_its_request_before_the_view(given: Any) -> None:
    for url in ("/context/", "/acontext/", "/stream/"):
        with override_settings(CODEMODE={"CONTEXT_PROVIDER": given}):
            response = await AsyncClient(raise_request_exception=False).get(url)
            assert response.status_code == 500
            client = Client(raise_request_exception=False)
            assert (await asyncio.to_thread(client.get, url)).status_code == 500
        # The next request has a context of its own.
        response = await AsyncClient().get("/acontext/", headers={"X-Request-ID": "next"})
        assert response.content == b"next"
    assert views.seen == []


def context_of(request: HttpRequest) -> RuntimeContext:
    """Return the context that the middleware makes for a request."""
    contexts: list[RuntimeContext | None] = []

    def view(_request: HttpRequest) -> HttpResponse:
        contexts.append(get_current_context())
        return HttpResponse()

    CodemodeMiddleware(view)(request)
    assert contexts[0] is not None
    return contexts[0]


class TestTenant:
    def test_the_tenant_comes_from_the_header_by_setting(self) -> None:
        request = RequestFactory().get("/", headers={"X-Tenant": "acme"})
        assert "tenant_id" not in context_of(request)
        with override_settings(CODEMODE={"TENANT_HEADER": "X-Tenant"}):
            assert context_of(request)["tenant_id"] == "acme"
            assert "tenant_id" not in context_of(RequestFactory().get("/"))

    def test_the_tenant_comes_from_the_host_by_setting(self) -> None:
        request = RequestFactory().get("/", headers={"Host": "Acme.Example.com:8000"})
        with override_settings(CODEMODE={"TENANT_FROM_HOST": True}, ALLOWED_HOSTS=[".example.com"]):
            assert context_of(request)["tenant_id"] == "acme.example.com"

    def test_a_host_that_is_not_allowed_is_refused(self) -> None:
        with override_settings(CODEMODE={"TENANT_FROM_HOST": True}, ALLOWED_HOSTS=["a.test"]):
            assert Client().get("/context/", headers={"Host": "evil.test"}).status_code == 400


class TestUser:
    def test_without_authentication_there_is_no_user(self) -> None:
        assert "user" not in context_of(RequestFactory().get("/"))

    def test_the_user_is_the_requests_user_at_its_first_use(self) -> None:
        request = RequestFactory().get("/")
        request.user = SimpleLazyObject(  # type: ignore[assignment]  # as Django does it
            lambda: pytest.fail("loaded")
        )
        user = context_of(request)["user"]

        request.user = User(username="later")
        assert user.get_username() == "later"


class RequestUserTests(TestCase):
    def setUp(self) -> None:
        root = User.objects.create_superuser("root")
        User.objects.create(username="alice")
        self.client.force_login(root)
        self.async_client.force_login(root)

    def test_an_asynchronous_request_that_does_not_use_the_user_costs_nothing(self) -> None:
        async def view(request: HttpRequest) -> HttpResponse:
            return HttpResponse()

        with override_settings(ROOT_URLCONF=urls_of(view)), CaptureQueriesContext(connection) as of:
            response = async_to_sync(self.async_client.get)("/")

        assert not of.captured_queries
        assert "Cookie" not in response.headers.get("Vary", "")

    async def test_tools_of_both_stacks_act_as_the_user_that_another_middleware_has_set(
        self,
    ) -> None:
        async def arun(request: HttpRequest) -> HttpResponse:
            return HttpResponse(await get_codemode().execute_async(WHO))

        def run(request: HttpRequest) -> HttpResponse:
            return HttpResponse(get_codemode().execute(WHO))

        after = len(settings.MIDDLEWARE)
        for place in (after - 1, after):  # above ours and below
            middleware = [*settings.MIDDLEWARE]
            middleware.insert(place, f"{HERE}.impersonate")
            with override_settings(MIDDLEWARE=middleware, ROOT_URLCONF=urls_of(arun)):
                assert (await self.async_client.get("/")).content == b'["alice", "alice"]'
            with override_settings(MIDDLEWARE=middleware, ROOT_URLCONF=urls_of(run)):
                text = (await sync_to_async(self.client.get)("/")).content
                assert text == b'["alice", "alice"]'

    async def test_a_request_whose_user_is_not_djangos_is_served(self) -> None:
        middleware = [f"{HERE}.impersonate", "django_codemode.middleware.CodemodeMiddleware"]
        with override_settings(MIDDLEWARE=middleware):
            assert (await self.async_client.get("/acontext/")).status_code == 200

    def test_asynchronous_tools_have_the_user_loaded_in_runs_and_in_sessions(self) -> None:
        def run(request: HttpRequest) -> HttpResponse:
            return HttpResponse(get_codemode().execute(WHO, available_tools=TOOLS))

        def session(request: HttpRequest) -> HttpResponse:
            with get_codemode().session(available_tools=TOOLS) as session:
                return HttpResponse(session.run(WHO).text)

        async def asession(request: HttpRequest) -> HttpResponse:
            async with get_codemode().session(available_tools=TOOLS) as session:
                return HttpResponse((await session.run_async(WHO)).text)

        for view in (run, session):
            with override_settings(ROOT_URLCONF=urls_of(view)):
                assert self.client.get("/").content == b'["root", "root"]'
        with override_settings(ROOT_URLCONF=urls_of(asession)):
            response = async_to_sync(self.async_client.get)("/")
            assert response.content == b'["root", "root"]'


# No tool here asks for a permission, because that would load the user as well.
TOOLS = ["testapp.awhoami", "testapp.whoami"]
# The asynchronous tool comes first: it could not load a user that is not loaded yet.
WHO = "[(await testapp.awhoami())['user'], testapp.whoami()['user']]"


@sync_and_async_middleware
def impersonate(get_response: Any) -> Any:
    """Make every request act as alice, whoever is logged in."""
    if iscoroutinefunction(get_response):

        async def amiddleware(request: Any) -> Any:
            request.user = await User.objects.aget(username="alice")
            return await get_response(request)

        return amiddleware

    def middleware(request: Any) -> Any:
        request.user = User.objects.get(username="alice")
        return get_response(request)

    return middleware


def test_the_context_is_left_on_the_request() -> None:
    request = RequestFactory().get("/")
    context = context_of(request)
    assert vars(request)["codemode_context"] is context


def test_a_response_that_does_not_stream_is_left_alone() -> None:
    response = HttpResponse("x")
    assert CodemodeMiddleware(lambda _: response)(HttpRequest()) is response
    assert not isinstance(response, StreamingHttpResponse)


def urls_of(view: Any) -> Any:
    return type("Urls", (), {"urlpatterns": [path("", view)]})
