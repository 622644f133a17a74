"""The consumer behind real servers, with real clients: disconnects, slow readers, watchers."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.test import override_settings
from websockets.exceptions import ConnectionClosed, InvalidStatus

from django_codemode._streams.broadcast import Watch, Watcher
from django_codemode.refusals import RefusalError
from django_codemode.shared import shared
from shop.models import Merchant
from tests.django_codemode.redis_server import Redis, redis_serves
from tests.django_codemode.websocket_app import make_application
from tests.support.django_servers import asgi_serves, session_headers
from tests.support.processes import ExecutorProcess, is_running, wait_until
from tests.support.sandboxes import Sandboxes
from tests.support.websockets import Socket, over_the_wire

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = {"Origin": "http://127.0.0.1"}
ENDLESS = "import os, time\ntestapp_here(os.getpid())\nprint('in', flush=True)\n"
IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


@pytest.fixture
def server() -> Iterator[str]:
    with override_settings(CHANNEL_LAYERS=IN_MEMORY), asgi_serves(make_application()) as address:
        yield address


@pytest.fixture
def headers(coder_headers: dict[str, str]) -> dict[str, str]:
    return {**coder_headers, **ORIGIN}


def types(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


async def test_a_browser_that_is_logged_in_executes(server: str, headers: dict[str, str]) -> None:
    async with over_the_wire(server, headers) as client:
        [*_, completed] = await client.run("testapp.whoami()['user']")
        assert completed["data"]["value"] == "coder"


async def test_another_sites_page_is_refused_by_the_handshake(
    server: str, headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with over_the_wire(server, {**headers, "Origin": "http://evil.test"}):
            pass
    assert caught.value.response.status_code == 403


async def test_the_close_code_shows_why_a_socket_is_refused(server: str, db: None) -> None:
    for status, headers in ((4401, ORIGIN),):
        async with over_the_wire(server, headers) as client:
            assert (await client.receive())["data"]["code"] == "not_authenticated"
            with pytest.raises(ConnectionClosed) as caught:
                await client.receive()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == status


async def test_logging_out_ends_what_an_open_socket_may(
    server: str, headers: dict[str, str]
) -> None:
    async with over_the_wire(server, headers) as client:
        assert (await client.run("1"))[-1]["type"] == "completed"
        await asyncio.to_thread(in_a_thread, Session.objects.all().delete)
        [refused] = await client.run("1")
        assert refused["data"]["code"] == "not_authenticated"
        with pytest.raises(ConnectionClosed):
            await client.receive()


def in_a_thread(query: Callable[[], object]) -> None:
    from django.db import connections

    try:
        query()
    finally:
        connections.close_all()


@pytest.mark.parametrize(
    "doing", ["time.sleep(600)", "while True: pass", "while True: print('x' * 10_000)"]
)
async def test_a_socket_that_closes_ends_its_sandboxes(
    server: str, headers: dict[str, str], sandboxes: Sandboxes, doing: str
) -> None:
    async with over_the_wire(server, headers) as client:
        for name in "ab":
            await client.send(type="run", id=name, code=ENDLESS + doing)
        await client.until("output")
        assert await asyncio.to_thread(wait_until, lambda: len(sandboxes.pids) == 2)
        assert is_running(sandboxes.pids[0])
    assert await asyncio.to_thread(wait_until, lambda: not any(map(is_running, sandboxes.pids)))


async def test_a_slow_reader_holds_back_its_own_run_and_no_other(
    server: str, headers: dict[str, str], sandboxes: Sandboxes
) -> None:
    counted: list[int] = []

    def count(n: int) -> None:
        counted.append(n)

    shared.registry.register_tool("testapp_count", count)
    code = "n = 0\nwhile True:\n    print('x' * 65_536)\n    n += 1\n    testapp_count(n)"
    try:
        # The client's library and the sockets buffer only a little of what is not read, and nobody
        # waits for the end of a full socket.
        async with over_the_wire(
            server, headers, max_queue=1, compression=None, close_timeout=1
        ) as slow:
            await slow.send(type="run", id="slow", code=code)
            seen = 0
            while not counted or seen != len(counted):
                seen = len(counted)
                await asyncio.sleep(2)
                async with over_the_wire(server, headers) as quick:
                    assert (await quick.run("6 * 7"))[-1]["data"]["value"] == 42
            # 64 MiB may be printed: only the reader makes the run stand still.
            assert 0 < seen < 600
            for _ in range(100):
                await slow.receive()
            assert await asyncio.to_thread(wait_until, lambda: len(counted) > seen)
    finally:
        shared.registry.unregister_tool("testapp_count")


# Watching.


@asynccontextmanager
async def started(
    address: str, headers: dict[str, str], code: str
) -> AsyncIterator[tuple[Socket, str]]:
    """Run code for watchers; yield the socket and the execution's id."""
    async with over_the_wire(address, headers) as host:
        await host.send(type="run", id="host", code=code, watchable=True)
        [*_, told] = await host.until("started", "refused")
        yield host, told["data"]["execution_id"]


async def watch(client: Socket, execution_id: str, **more: Any) -> list[dict[str, Any]]:
    await client.send(type="watch", id="w", execution_id=execution_id, **more)
    return await client.until("completed", "error", "refused")


@dataclass(frozen=True)
class Servers:
    """Two processes of one project, which share a Redis, a database and an executor."""

    first: str
    second: str


@contextmanager
def process_serves(environment: dict[str, str], *command: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        descriptor = str(listening.fileno())
        process = subprocess.Popen(
            [sys.executable, "-m", *(one.replace("FD", descriptor) for one in command)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(one for one in sys.path if one),
                "DJANGO_SETTINGS_MODULE": "tests.django_codemode.websocket_settings",
                **environment,
            },
            pass_fds=(listening.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        try:
            yield address
        finally:
            process.terminate()
            process.wait(60)


UVICORN = (
    *("uvicorn", "--fd", "FD", "--lifespan", "off", "--ws", "websockets-sansio"),
    *("--log-level", "warning", "tests.django_codemode.websocket_app:application"),
)
DAPHNE = (
    # On a busy machine the first handshake may take longer than daphne's five seconds.
    *("daphne", "--fd", "FD", "-v", "0", "--websocket_connect_timeout", "60"),
    "tests.django_codemode.websocket_app:application",
)

HYPERCORN = (
    *("hypercorn", "--bind", "fd://FD", "--workers", "0", "--log-level", "WARNING"),
    "tests.django_codemode.websocket_app:application",
)


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with redis_serves() as redis:
        yield redis


@pytest.fixture(scope="module")
def environment(
    redis: Redis, open_executor: ExecutorProcess, django_db_setup: None
) -> dict[str, str]:
    """Return the addresses of what a project's processes share."""
    return {
        "TEST_DATABASE": str(settings.DATABASES["default"]["NAME"]),
        "TEST_EXECUTOR": open_executor.url,
        "TEST_REDIS": redis.url,
    }


@pytest.fixture(scope="module")
def servers(environment: dict[str, str]) -> Iterator[Servers]:
    with process_serves(environment, *UVICORN) as one, process_serves(environment, *UVICORN) as two:
        yield Servers(one, two)


COUNTING = """
import time
for n in range(int(steps)):
    progress(n, int(steps))
    time.sleep(0.05)
result = 'done'
"""


UNTIL_GO = """
import time
while 'go' not in testapp.slugs():
    progress(1)
    time.sleep(0.05)
result = 'done'
"""


async def test_a_watcher_in_another_process_sees_what_was_and_what_comes(
    servers: Servers, headers: dict[str, str]
) -> None:
    code = f"steps = 20{COUNTING}"
    async with (
        started(servers.first, headers, code) as (host, execution_id),
        over_the_wire(servers.second, headers) as early,
        over_the_wire(servers.second, headers) as late,
    ):
        first = asyncio.create_task(watch(early, execution_id))
        told = await host.until("completed")
        watched = await first
        afterwards = await watch(late, execution_id)

    assert types(watched) == ["started", *["progress"] * 20, "completed"]
    assert [one["number"] for one in watched] == list(range(1, 23))
    assert all(one["id"] == "w" for one in watched)
    assert watched[-1]["data"] == told[-1]["data"]
    assert [one["data"] for one in afterwards] == [one["data"] for one in watched]


@pytest.mark.no_retry
async def test_another_user_watches_by_permission_and_never_across_tenants(
    servers: Servers, headers: dict[str, str]
) -> None:
    made: list[dict[str, str]] = []

    def make_others() -> None:
        for names in (["execute_code"], ["execute_code", "watch_code"]):
            user = User.objects.create_user("-".join(names))
            user.user_permissions.set(Permission.objects.filter(codename__in=names))
            made.append({**session_headers(user), **ORIGIN})

    await asyncio.to_thread(in_a_thread, make_others)
    stranger, supervisor = made
    acme, zoo = {"X-Tenant": "acme"}, {"X-Tenant": "zoo"}
    code = f"steps = 4{COUNTING}"
    async with started(servers.first, {**headers, **acme}, code) as (_, execution_id):
        for refused in (
            {**stranger, **acme},
            {**supervisor, **zoo},
            {**headers, **zoo},
            headers,
        ):
            async with over_the_wire(servers.second, refused) as client:
                [answer] = await watch(client, execution_id)
                assert answer["type"] == "refused"
                assert answer["data"]["code"] == "unknown_execution"
        async with over_the_wire(servers.second, {**supervisor, **acme}) as client:
            assert (await watch(client, execution_id))[-1]["type"] == "completed"


async def test_what_does_not_exist_or_is_not_watchable_is_as_unknown(
    servers: Servers, headers: dict[str, str]
) -> None:
    async with over_the_wire(servers.first, headers) as host:
        [*_, completed] = await host.run("1")
        for execution_id in ("0" * 32, completed["data"]["execution_id"]):
            [answer] = await watch(host, execution_id)
            assert answer["data"]["code"] == "unknown_execution"


async def test_watchers_receive_the_end_of_the_hosts_socket(
    servers: Servers, headers: dict[str, str]
) -> None:
    async with over_the_wire(servers.second, headers) as client:
        async with started(servers.first, headers, "import time; time.sleep(600)") as (_, name):
            await client.send(type="watch", id="w", execution_id=name)
            await client.until("started")
        [ended] = await client.until("error")
    assert ended["data"]["code"] == "cancelled"


@pytest.mark.deep
async def test_a_redis_that_restarts_ends_no_run_and_watchers_learn_what_they_missed(
    servers: Servers, redis: Redis, headers: dict[str, str]
) -> None:
    async with (
        started(servers.first, headers, UNTIL_GO) as (host, execution_id),
        over_the_wire(servers.second, headers) as client,
        over_the_wire(servers.first, headers) as other,
    ):
        await client.send(type="watch", id="w", execution_id=execution_id)
        before = await client.until("progress")
        watched = asyncio.create_task(client.until("completed", "error", "refused"))
        [*_, last] = await host.until("progress")
        await asyncio.to_thread(redis.stop)
        # This run and other runs of the same processes are not affected.
        assert (await other.run("6 * 7"))[-1]["data"]["value"] == 42
        told = last["number"]
        while last["number"] < told + 40:  # some of them sent while there was no Redis
            [*_, last] = await host.until("progress")
        await asyncio.to_thread(redis.start)
        await asyncio.to_thread(in_a_thread, lambda: Merchant.objects.create(slug="go"))
        [*_, completed] = await host.until("completed")
        assert completed["data"]["value"] == "done"
        seen = [*before, *await watched]

    assert seen[-1]["type"] == "completed"
    assert [one["number"] for one in seen] == list(range(1, completed["number"] + 1))


async def test_leaving_a_watch_does_not_end_the_run(
    servers: Servers, headers: dict[str, str]
) -> None:
    async with (
        started(servers.first, headers, UNTIL_GO) as (host, execution_id),
        over_the_wire(servers.second, headers) as client,
    ):
        await client.send(type="watch", id="w", execution_id=execution_id)
        await client.until("progress")
        await client.send(type="cancel", id="w")
        [*_, ended] = await client.until("error", "completed", "refused")
        assert (ended["type"], ended["data"]["code"]) == ("error", "cancelled")
        await asyncio.to_thread(in_a_thread, lambda: Merchant.objects.create(slug="go"))
        assert (await host.until("completed"))[-1]["data"]["value"] == "done"


class DeafLayer:
    """A channel layer that answers the first question, if at all, and no other."""

    def __init__(self) -> None:
        self.watch: Watch | None = None
        self.asked = 0

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.asked += 1
        if self.watch is not None and self.asked == 1:
            told = [(1, "the first event", False)]
            self.watch.answer({"allowed": True, "missed": 0, "told": told})


async def test_a_watcher_asks_again_and_gives_up_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_codemode._streams.broadcast.ASK_SECONDS", 0.01)
    watcher = Watcher(user="1", tenant=None)
    layer = DeafLayer()
    watch = Watch(layer, "channel", name="w", execution_id="e")
    with pytest.raises(RefusalError) as refused:
        [event async for event in watch.follow(watcher, 0)]
    assert (refused.value.code, layer.asked) == ("unknown_execution", 1)

    layer = DeafLayer()
    layer.watch = watch = Watch(layer, "channel", name="w", execution_id="e")
    events = watch.follow(watcher, 0)
    assert await anext(events) == (1, "the first event", False)
    with pytest.raises(RefusalError) as refused:
        await anext(events)
    assert refused.value.code == "lost"
    assert layer.asked > 5


@pytest.mark.deep
async def test_a_watcher_that_does_not_read_holds_back_nobody(
    server: str, headers: dict[str, str], use_open_executor: ExecutorProcess
) -> None:
    # A call after each print, so that the prints do not become one large event. The total is more
    # than sockets, queues and the host buffer.
    code = "for n in range(1_500):\n    print('x' * 20_000)\n    testapp.lazy()\nresult = 'done'"
    async with (
        over_the_wire(server, headers, max_queue=1, compression=None, close_timeout=1) as sleepy,
        over_the_wire(server, headers) as host,
    ):
        await host.send(type="run", id="host", code=UNTIL_GO + code, watchable=True)
        [told] = await host.until("started")
        await sleepy.send(type="watch", id="w", execution_id=told["data"]["execution_id"])
        before = await sleepy.until("progress")
        await asyncio.to_thread(in_a_thread, lambda: Merchant.objects.create(slug="go"))
        [*_, completed] = await host.until("completed")
        assert completed["data"]["value"] == "done"
        # The watcher receives a notice of what it has missed, and the end without its data, which
        # were too large to send again.
        watched = [*before, *await sleepy.until("completed")]
    assert "gap" in types(watched)
    assert watched[-1]["data"] == {"too_large": watched[-1]["data"]["too_large"]}
    numbers = [one["number"] for one in watched if one["type"] != "gap"]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize(
    "command", [UVICORN, DAPHNE, HYPERCORN], ids=["uvicorn", "daphne", "hypercorn"]
)
async def test_servers_serve_runs_and_their_cancellation(
    command: tuple[str, ...], environment: dict[str, str], headers: dict[str, str]
) -> None:
    with process_serves(environment, *command) as address:
        async with over_the_wire(address, headers) as client:
            await client.send(type="run", id="long", code="import time\nprint(1)\ntime.sleep(600)")
            await client.until("output")
            assert (await client.run("6 * 7"))[-1]["data"]["value"] == 42
            await client.send(type="cancel", id="long")
            [ended] = await client.until("error")
            assert (ended["id"], ended["data"]["code"]) == ("long", "cancelled")
