"""The streaming view: server-sent events, as they happen, over both kinds of server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponseBase
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import path

from codemode import Codemode, ExecutorClient
from codemode.errors import ExecutorBusyError, ExecutorClientError
from django_codemode._streams.messages import Message
from django_codemode.asgi import CodemodeASGIMiddleware
from django_codemode.consumers import CodemodeConsumer
from django_codemode.playground.views import PlaygroundStreamView
from django_codemode.shared import shared
from django_codemode.sse import stream_response
from django_codemode.views import StreamView
from tests.support.django_servers import asgi_serves, wsgi_serves
from tests.support.processes import is_running, wait_until
from tests.support.sandboxes import Sandboxes
from tests.support.server_sent_events import Events, parse, parts_of
from tests.support.websockets import in_process

URL = "/codemode/stream/"
ENDLESS = "import os, time\ntestapp_here(os.getpid())\nprint('in', flush=True)\n"


def by_wsgi(user: User, body: dict[str, Any], **headers: str) -> tuple[Any, Events]:
    client = Client()
    client.force_login(user)
    response = client.post(URL, body, content_type="application/json", headers=headers)
    return response, parse(b"".join(response).decode())


async def by_asgi(user: User, body: dict[str, Any], **headers: str) -> tuple[Any, Events]:
    client = AsyncClient()
    await client.aforce_login(user)
    response = await client.post(URL, body, content_type="application/json", headers=headers)
    return response, parse(b"".join(await parts_of(response)).decode())


@pytest.fixture(params=[by_wsgi, async_to_sync(by_asgi)], ids=["wsgi", "asgi"])
def send(request: pytest.FixtureRequest) -> Any:
    """Return a function that sends a body to the view, by one kind of handler, and reads all
    events.
    """
    return request.param


CODE = """
print('hello')
progress(1, 4, 'a quarter')
slug = testapp.add(slug=name)
try:
    testapp.add(slug=name)
except ToolError:
    pass
result = {'name': name}
"""


def test_every_event_arrives_in_order_and_numbered(send: Any, coder: User) -> None:
    response, events = send(coder, {"code": CODE, "inputs": {"name": "acme"}})

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert "no-cache" in response.headers["Cache-Control"]
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert [name for _, name, _ in events] == [
        "started",
        "output",
        "progress",
        "tool_call_started",
        "tool_call_finished",
        "tool_call_started",
        "tool_call_finished",
        "completed",
    ]
    started, output, quarter, call, called, _, failed, completed = [data for _, _, data in events]
    assert set(started) == {"execution_id", "isolation"}
    assert output == {"stream": "stdout", "text": "hello\n"}
    assert quarter == {"done": 1, "total": 4, "note": "a quarter"}
    assert call == {
        "call_id": 1,
        "name": "testapp.add",
        "arguments": {"slug": "acme"},
        "at_ms": call["at_ms"],
    }
    assert called["at_ms"] == pytest.approx(call["at_ms"] + called["duration_ms"])
    assert called == {
        "call_id": 1,
        "name": "testapp.add",
        "outcome": "completed",
        "error": None,
        "duration_ms": called["duration_ms"],
        "at_ms": called["at_ms"],
    }
    assert failed["outcome"] == "failed"
    assert "UNIQUE" in failed["error"]
    assert completed["status"] == "completed"
    assert completed["value"] == {"name": "acme"}
    assert completed["execution_id"] == started["execution_id"]
    assert [one["outcome"] for one in completed["tool_calls"]] == ["completed", "failed"]


def test_text_of_any_kind_stays_within_its_event(send: Any, coder: User) -> None:
    text = "a\r\n\nevent: error\ndata: {}\n\n\u2028\udc80é"
    _, events = send(coder, {"code": f"print({text!a}, end='')\n{text!a}"})

    assert [name for _, name, _ in events] == ["started", "output", "completed"]
    # Printed text becomes UTF-8 on its way, while a returned text stays as it is.
    assert events[1][2]["text"] == text.replace("\udc80", "?")


@pytest.mark.no_retry
def test_tools_see_the_requests_context_and_nobody_elses(send: Any, coder: User) -> None:
    code = "[testapp.whoami(), await testapp.awhoami()]"
    for name in ("r-1", "r-2"):
        _, events = send(coder, {"code": code}, **{"X-Request-ID": name})
        expected = {"request_id": name, "user": "coder"}
        assert events[-1][2]["value"] == [expected, expected]


def test_the_middleware_is_not_needed(send: Any, coder: User) -> None:
    with override_settings(MIDDLEWARE=settings.MIDDLEWARE[:-1]):
        _, events = send(coder, {"code": "testapp.whoami()"})
    assert events[-1][2]["value"]["user"] == "coder"


def test_code_that_fails_completes_with_its_failure(send: Any, coder: User) -> None:
    _, events = send(coder, {"code": "print('x')\n1/0"})
    assert [name for _, name, _ in events] == ["started", "output", "completed"]
    assert events[-1][2]["status"] == "failed"
    assert events[-1][2]["error"]["line"] == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"code": 5}, 400, "invalid_code"),
        ({"code": "1", "available_tools": ["nope"]}, 400, "unknown_tool"),
        ({"code": "1", "execution_timeout": 31}, 400, "invalid_execution_timeout"),
    ],
)
def test_a_bad_request_is_refused_before_the_stream_as_in_the_execute_view(
    coder: User, body: Any, status: int, code: str
) -> None:
    client = Client()
    client.force_login(coder)
    response = client.post(URL, body, content_type="application/json")
    assert response.status_code == status
    assert response.json()["error"]["code"] == code


@pytest.mark.django_db(transaction=True)
async def test_large_arguments_are_written_by_the_messages_own_rule(
    coder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    large: list[str] = []
    write = Message.write

    async def noting(self: Message, function: Any, *args: Any) -> Any:
        if self.is_large:
            large.append(self.event)
        return await write(self, function, *args)

    monkeypatch.setattr(Message, "write", noting)
    code = "testapp_take(list(range(50_000)))"
    shared.registry.register_tool("testapp_take", lambda values: len(values))
    try:
        _, events = await by_asgi(coder, {"code": code})
        async with in_process(CodemodeConsumer.as_asgi(), user=coder) as socket:
            messages = await socket.run(code)
    finally:
        shared.registry.unregister_tool("testapp_take")

    assert events[-1][2]["value"] == messages[-1]["data"]["value"] == 50_000
    # The outcome contains the record of the call.
    assert large == ["tool_call_started", "completed"] * 2


@pytest.mark.django_db(transaction=True)
async def test_the_playgrounds_outcome_is_in_the_users_language(coder: User) -> None:
    middleware = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    urls = (path("codemode/stream/", PlaygroundStreamView.as_view()),)
    code = "b'<svg xmlns=\"http://www.w3.org/2000/svg\"/>'.ljust(2048)"
    with override_settings(MIDDLEWARE=middleware, ROOT_URLCONF=urls):
        for language, size in (("de", "2,0\xa0KB"), ("en", "2.0\xa0KB")):
            _, events = await by_asgi(coder, {"code": code}, **{"Accept-Language": language})
            assert size in events[-1][2]["html"]


def test_only_users_who_may_execute_get_a_stream(coder: User) -> None:
    client = Client()
    body = {"code": "1"}
    answer: Any = client.post(URL, body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_authenticated")
    client.force_login(User.objects.create_user("other"))
    answer = client.post(URL, body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_permitted")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(coder)
    assert strict.post(URL, body, content_type="application/json").status_code == 403
    assert client.get(URL).status_code == 405


class BusyClient(ExecutorClient):
    """A client whose executor refuses."""

    error: Exception = ExecutorBusyError("inner:1", retry_after=2.4)

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        raise self.error
        yield

    async def stream_async(self, *args: Any, **kwargs: Any) -> Any:
        raise self.error
        yield


@pytest.mark.parametrize(
    ("error", "code", "retry_after"),
    [
        (ExecutorBusyError("inner:1", retry_after=2.4), "busy", 3),
        (ExecutorClientError("inner:1"), "executor_failed", None),
        (ValueError("inner:1"), "internal_error", None),
    ],
)
async def test_a_failure_outside_the_code_is_the_last_event_and_names_no_inner_host(
    coder: User, error: Exception, code: str, retry_after: int | None
) -> None:
    client = BusyClient("http://127.0.0.1:1")
    client.error = error
    stream = Codemode(client).stream
    response: Any = stream_response(RequestFactory().get("/"), stream("1"))
    told = [b"".join(response)]
    response = stream_response(AsyncRequestFactory().get("/"), stream("1"))
    told.append(b"".join(await parts_of(response)))

    for text in told:
        [(number, event, data)] = parse(text.decode())
        assert (number, event, data["code"]) == (1, "error", code)
        assert data["retry_after"] == retry_after
        assert data["result"] is None
        assert b"inner" not in text


HEARTBEAT = b": still running\n\n"


class FastHeartView(StreamView):
    """A view with a fast heartbeat, so that a test need not wait for 15 seconds."""

    heartbeat = 0.05


def test_a_silent_run_has_a_heartbeat_under_asgi(coder: User) -> None:
    parts: list[bytes] = []

    async def testapp_wait() -> None:
        """Wait until two heartbeats have been seen."""
        while parts.count(HEARTBEAT) < 2:
            await asyncio.sleep(0.01)

    async def read() -> None:
        async for part in response:
            parts.append(part)  # noqa: PERF401 - the tool counts them meanwhile

    request: Any = AsyncRequestFactory().post(
        URL, '{"code": "await testapp_wait()"}', content_type="application/json"
    )
    request.user = coder
    shared.registry.register_tool("testapp_wait", testapp_wait)
    try:
        response: Any = FastHeartView.as_view()(request)
        async_to_sync(read)()
    finally:
        shared.registry.unregister_tool("testapp_wait")

    assert [name for _, name, _ in parse(b"".join(parts).decode())] == [
        *("started", "tool_call_started", "tool_call_finished", "completed")
    ]


def test_a_silent_run_has_a_heartbeat_under_wsgi(coder: User) -> None:
    beats = 0

    async def testapp_wait() -> None:
        """Wait until two heartbeats have been seen."""
        while beats < 2:
            await asyncio.sleep(0.01)

    request = RequestFactory().post(
        URL, '{"code": "await testapp_wait()"}', content_type="application/json"
    )
    request.user = coder
    shared.registry.register_tool("testapp_wait", testapp_wait)
    parts = b""
    try:
        response: Any = FastHeartView.as_view()(request)
        for part in response:
            beats += part == HEARTBEAT
            parts += part
    finally:
        shared.registry.unregister_tool("testapp_wait")

    assert [name for _, name, _ in parse(parts.decode())] == [
        *("started", "tool_call_started", "tool_call_finished", "completed")
    ]


def test_a_function_of_the_project_streams_its_own_code() -> None:
    def view(request: HttpRequest) -> HttpResponseBase:
        return stream_response(request, shared.codemode.stream("result = 6 * 7"))

    response: Any = view(RequestFactory().get("/"))
    assert parse(b"".join(response).decode())[-1][2]["value"] == 42


@pytest.fixture(params=["asgi", "asgi with the ASGI middleware", "wsgi"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "wsgi":
        with wsgi_serves(get_wsgi_application()) as address:
            yield f"http://{address}"
    else:
        app: Any = get_asgi_application()
        with asgi_serves(CodemodeASGIMiddleware(app) if "with" in request.param else app) as one:
            yield f"http://{one}"


@pytest.fixture
def asgi_server() -> Iterator[str]:
    with asgi_serves(get_asgi_application()) as address:
        yield f"http://{address}"


async def frames(answer: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """Yield the events of a live answer, each as soon as it arrives."""
    text = ""
    async for part in answer.aiter_text():
        text += part
        while "\n\n" in text:
            block, text = text.split("\n\n", 1)
            if not block.startswith(":"):
                [(_, name, data)] = parse(f"{block}\n\n")
                yield name, data


@pytest.mark.django_db(transaction=True)
async def test_events_arrive_while_the_code_still_runs(
    server: str, coder_headers: dict[str, str]
) -> None:
    goes_on = threading.Event()

    def testapp_wait() -> bool:
        """Wait until the client has seen the output."""
        return goes_on.wait(60)

    shared.registry.register_tool("testapp_wait", testapp_wait, overwrite=True)
    try:
        async with (
            httpx.AsyncClient(headers=coder_headers, timeout=60) as client,
            client.stream(
                "POST", server + URL, json={"code": "print('before')\nresult = testapp_wait()"}
            ) as answer,
        ):
            assert answer.status_code == 200
            seen = []
            async for name, data in frames(answer):
                seen.append((name, data))
                if name == "tool_call_started":
                    goes_on.set()
            assert [name for name, _ in seen] == [
                *("started", "output", "tool_call_started", "tool_call_finished", "completed")
            ]
            assert seen[-1][1]["value"] is True
    finally:
        goes_on.set()
        shared.registry.unregister_tool("testapp_wait")


def test_compression_holds_no_event_back(send: Any, coder: User) -> None:
    compressed = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
    with override_settings(MIDDLEWARE=compressed):
        response, events = send(coder, {"code": "1"}, **{"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "identity"
    assert events[-1][1] == "completed"


ENDINGS = {
    "sleeping": "time.sleep(600)",
    "computing": "while True: pass",
    "in an async tool": "await testapp_endless()",
    "printing to a client that does not read": "while True: print('x' * 10_000)",
}


@pytest.fixture
def endless_tool() -> Iterator[list[str]]:
    ends: list[str] = []

    async def testapp_endless() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ends.append("finally")

    shared.registry.register_tool("testapp_endless", testapp_endless)
    yield ends
    shared.registry.unregister_tool("testapp_endless")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("doing", ENDINGS)
async def test_a_client_that_leaves_ends_the_sandbox_under_asgi(
    asgi_server: str,
    coder_headers: dict[str, str],
    sandboxes: Sandboxes,
    endless_tool: list[str],
    doing: str,
) -> None:
    body = {"code": ENDLESS + ENDINGS[doing]}
    async with httpx.AsyncClient(headers=coder_headers, timeout=60) as client:
        async with client.stream("POST", asgi_server + URL, json=body) as answer:
            # Kept, because an iterator that is dropped closes the connection.
            events = frames(answer)
            async for name, _ in events:
                if name == "output":
                    break
            # By now the code has reached its ending, or will soon.
            await asyncio.sleep(0.2)
            assert is_running(sandboxes.pids[0])
        gone = await asyncio.to_thread(wait_until, lambda: not is_running(sandboxes.pids[0]))
    assert gone
    if doing == "in an async tool":
        assert await asyncio.to_thread(wait_until, lambda: endless_tool == ["finally"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "end",
    [
        "time.sleep(600)",
        "while True: pass",
        "await testapp_endless()",
        "while True: print(time.sleep(0.05))",
    ],
    ids=["sleeping", "computing", "in an async tool", "printing"],
)
async def test_a_client_that_leaves_ends_the_sandbox_under_wsgi(
    coder_headers: dict[str, str], sandboxes: Sandboxes, endless_tool: list[str], end: str
) -> None:
    """The server notices when it writes, and it writes a heartbeat where the code is silent."""
    with wsgi_serves(get_wsgi_application()) as address:
        async with httpx.AsyncClient(headers=coder_headers, timeout=60) as client:
            async with client.stream(
                "POST", f"http://{address}{URL}", json={"code": ENDLESS + end}
            ) as answer:
                events = frames(answer)
                async for name, _ in events:
                    if name == "output":
                        break
                assert is_running(sandboxes.pids[0])
            gone = await asyncio.to_thread(wait_until, lambda: not is_running(sandboxes.pids[0]))
        assert gone
        if "endless" in end:
            assert await asyncio.to_thread(wait_until, lambda: endless_tool == ["finally"])


@pytest.mark.django_db(transaction=True)
async def test_a_request_ends_whose_client_stays_and_reads_nothing(
    coder_headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last event alone is larger than all buffers; no limit of the run ends the wait."""
    monkeypatch.setattr("django_codemode.sse.MAX_UNREAD_SECONDS", 0.5)
    django = get_asgi_application()
    ended = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await django(scope, receive, send)
        finally:
            ended.set()

    body = json.dumps({"code": "'x' * 7_900_000"})
    headers = {**coder_headers, "Content-Type": "application/json", "Content-Length": len(body)}
    lines = [f"POST {URL} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    with asgi_serves(app) as address:
        host, port = address.split(":")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.to_thread(client.connect, (host, int(port)))
            client.sendall("\r\n".join([*lines, f"Host: {host}", "", body]).encode())
            assert await asyncio.to_thread(ended.wait, 60)


@pytest.mark.django_db(transaction=True)
async def test_a_client_that_leaves_the_async_execute_view_ends_the_sandbox(
    asgi_server: str, coder_headers: dict[str, str], sandboxes: Sandboxes
) -> None:
    async with httpx.AsyncClient(headers=coder_headers, timeout=60) as client:
        body = {"code": f"{ENDLESS}time.sleep(600)"}
        request = asyncio.create_task(client.post(f"{asgi_server}/aexecute/", json=body))
        assert await asyncio.to_thread(wait_until, lambda: len(sandboxes.pids) == 1)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert await asyncio.to_thread(wait_until, lambda: not is_running(sandboxes.pids[0]))
