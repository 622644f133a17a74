"""The middleware behind real servers: what one request leaves to the next."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import pytest
import uvicorn
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import override_settings

from codemode.core.context import get_current_context
from django_codemode.asgi import CodemodeASGIMiddleware
from tests.testapp import views

# No request here touches the database, and the tests that do close their own.
pytestmark = pytest.mark.usefixtures("no_database")


@pytest.fixture
def no_database() -> Iterator[None]:
    from django.core.signals import request_finished, request_started
    from django.db import close_old_connections

    views.seen.clear()
    for one in (request_started, request_finished):
        one.disconnect(close_old_connections)
    with override_settings(ALLOWED_HOSTS=["127.0.0.1"]):
        yield
    for one in (request_started, request_finished):
        one.connect(close_old_connections)


@contextmanager
def uvicorn_serves(app: Any) -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_config=None)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def wsgi_serves(app: Any) -> Iterator[str]:
    with make_server("127.0.0.1", 0, app, WSGIServer, QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(20)
    assert not thread.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_thread_of_a_wsgi_server_carries_no_context_to_the_next_request() -> None:
    before: list[object] = []
    django = get_wsgi_application()

    def noting(environ: Any, start_response: Any) -> Any:
        before.append(get_current_context())
        return django(environ, start_response)

    with wsgi_serves(noting) as url:
        for number, path in enumerate(["/context/", "/acontext/", "/stream/", "/context/"]):
            answer = httpx.get(url + path, headers={"X-Request-ID": f"r{number}"})
            assert set(answer.text.split()) == {f"r{number}"}

    assert before == [None] * 4


@pytest.mark.parametrize("wrap", [lambda app: app, CodemodeASGIMiddleware])
async def test_concurrent_requests_of_an_asgi_server_see_their_own_context(wrap: Any) -> None:
    with uvicorn_serves(wrap(get_asgi_application())) as url:
        async with httpx.AsyncClient(base_url=url) as client:

            async def get(number: int) -> tuple[int, str]:
                path = ("/context/", "/acontext/", "/astream/")[number % 3]
                answer = await client.get(path, headers={"X-Request-ID": f"r{number}"})
                return number, answer.text

            answers = await asyncio.gather(*(get(number) for number in range(30)))

    assert all(set(text.split()) == {f"r{number}"} for number, text in answers)


async def test_a_client_that_leaves_ends_a_streaming_body_in_its_context() -> None:
    with uvicorn_serves(get_asgi_application()) as url:
        async with (
            httpx.AsyncClient(base_url=url) as client,
            client.stream("GET", "/endless/", headers={"X-Request-ID": "r"}) as answer,
        ):
            assert await anext(answer.aiter_lines()) == "r"
        await asyncio.to_thread(wait_until, lambda: "ended in r" in views.seen)
