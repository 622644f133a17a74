"""Bodies and answers of slow clients: what they keep of the server, and for how long."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_codemode.mcp import bodies
from django_codemode.mcp.application import mcp_application
from tests.django_codemode.mcp.clients import django_application, user_of_token
from tests.support.django_servers import asgi_serves
from tests.support.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Configure = Callable[..., None]
SLOW_CLIENTS = 5

# Larger than what the kernel keeps for a client that does not read.
LARGE_ANSWER = """
for name in "abcdefgh":
    with open(name, "wb") as file:
        file.write(bytes(1_000_000))
    artifact(name)
"""


class Requests:
    """The number of requests that a server is working on."""

    def __init__(self) -> None:
        self.now = 0


@contextmanager
def served() -> Iterator[tuple[tuple[str, int], Requests]]:
    requests = Requests()
    application = mcp_application(django_application, authentication=user_of_token)

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        requests.now += 1
        try:
            await application(scope, receive, send)
        finally:
            requests.now -= 1

    with asgi_serves(counting) as address:
        host, _, port = address.partition(":")
        yield (host, int(port)), requests


def head(length: int) -> bytes:
    lines = (
        "POST /mcp/ HTTP/1.1",
        "Host: 127.0.0.1",
        "Authorization: Bearer coder",
        "Accept: application/json, text/event-stream",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def threads() -> list[str]:
    """Return the threads in which requests run sync code."""
    return [one.name for one in threading.enumerate() if one.name.startswith("ThreadPoolExec")]


def test_a_slow_body_keeps_no_thread(coder: User, configure: Configure) -> None:
    before = threads()
    with served() as (address, requests), ExitStack() as stack:
        for _ in range(SLOW_CLIENTS):
            client = stack.enter_context(socket.create_connection(address, timeout=60))
            client.sendall(head(1_000) + b'{"jsonrpc"')
        assert wait_until(lambda: requests.now == SLOW_CLIENTS)
        assert wait_until(lambda: threads() == before)
        assert requests.now == SLOW_CLIENTS


def test_a_body_that_never_ends_is_refused(
    coder: User, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAX_BODY_SECONDS", 0.1)
    with served() as (address, _), socket.create_connection(address, timeout=60) as client:
        client.sendall(head(1_000) + b'{"jsonrpc"')
        assert client.recv(1_000).startswith(b"HTTP/1.1 408 ")


def test_a_slow_body_that_arrives_is_answered(coder: User, configure: Configure) -> None:
    params = {"name": "execute_code", "arguments": {"code": "6 * 7"}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(call).encode()
    before = threads()
    with served() as (address, requests), socket.create_connection(address, timeout=60) as client:
        client.sendall(head(len(body)) + body[:10])
        assert wait_until(lambda: requests.now == 1)
        assert wait_until(lambda: threads() == before)
        client.sendall(body[10:])
        answer = b""
        while b'"value":42' not in answer.replace(b" ", b""):
            answer += client.recv(10_000)


def test_an_answer_that_nobody_reads_ends(
    coder: User,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bodies, "MAX_UNREAD_SECONDS", 1.0)
    params = {"name": "execute_code", "arguments": {"code": LARGE_ANSWER}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(call).encode()
    before = threads()
    with served() as (address, requests), socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(address)
        client.sendall(head(len(body)) + body)
        assert wait_until(lambda: requests.now == 1)
        assert wait_until(lambda: requests.now == 0)
        assert wait_until(lambda: threads() == before)
    assert "has read nothing for 1 s" in caplog.text
