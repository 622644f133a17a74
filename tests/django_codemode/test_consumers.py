"""Executions over a websocket: the consumer and its protocol."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import PermissionDenied
from django.test import Client, TestCase, override_settings

from codemode.core.context import RuntimeContext, get_current_context
from django_codemode.asgi import CodemodeASGIMiddleware
from django_codemode.consumers import CodemodeConsumer
from django_codemode.shared import shared
from shop.models import Merchant
from tests.support.processes import is_running, wait_until
from tests.support.sandboxes import Sandboxes
from tests.support.websockets import Socket, in_process

pytestmark = pytest.mark.django_db(transaction=True)

Register = Callable[[str, Any], None]

APP = CodemodeConsumer.as_asgi()
ENDLESS = "import os, time\ntestapp_here(os.getpid())\nprint('in', flush=True)\n"


@pytest.fixture
def layer() -> Iterator[None]:
    with override_settings(
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    ):
        yield


@pytest.fixture
def register() -> Iterator[Register]:
    """Register tools for one test."""
    names: list[str] = []

    def add(name: str, tool: Any) -> None:
        shared.registry.register_tool(name, tool)
        names.append(name)

    yield add
    for name in names:
        shared.registry.unregister_tool(name)


def types(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


async def test_a_run_sends_the_events_of_the_stream(coder: User) -> None:
    async with in_process(APP, user=coder) as socket:
        code = "print('hi')\nprogress(1, 2)\ntestapp.add(slug=name)\n{'n': name}"
        messages = await socket.run(code, inputs={"name": "acme"})

        assert types(messages) == [
            *("started", "output", "progress", "tool_call_started", "tool_call_finished"),
            "completed",
        ]
        assert all(message["id"] == "r" for message in messages)
        assert [message["number"] for message in messages] == [1, 2, 3, 4, 5, 6]
        assert messages[1]["data"] == {"stream": "stdout", "text": "hi\n"}
        assert messages[-1]["data"]["value"] == {"n": "acme"}
        assert messages[-1]["data"]["execution_id"] == messages[0]["data"]["execution_id"]
        # The id is free again. A failure of the code is an outcome.
        again = await socket.run("1/0")
        assert again[-1]["type"] == "completed"
        assert again[-1]["data"]["error"]["type"] == "ZeroDivisionError"


async def test_sync_tools_of_two_runs_of_one_socket_do_not_wait_for_each_other(
    coder: User, register: Register
) -> None:
    both = threading.Barrier(2)
    register("testapp_meet", lambda: both.wait(60))

    async with in_process(APP, user=coder) as socket:
        for name in "ab":
            await socket.send(type="run", id=name, code="testapp_meet()")
        messages = [await socket.receive() for _ in range(8)]

    values = {one["id"]: one["data"]["value"] for one in messages if one["type"] == "completed"}
    assert set(values) == {"a", "b"}
    assert sorted(values.values()) == [0, 1]


async def test_cancel_ends_one_run_and_leaves_the_others(coder: User, sandboxes: Sandboxes) -> None:
    async with in_process(APP, user=coder) as socket:
        for name in "ab":
            await socket.send(type="run", id=name, code=f"{ENDLESS}time.sleep(600)")
        seen = {(m["id"], m["type"]) for m in [await socket.receive() for _ in range(8)]}
        assert {("a", "output"), ("b", "output")} <= seen
        await socket.send(type="cancel", id="a")
        [ended] = await socket.until("error")

        assert (ended["id"], ended["data"]["code"]) == ("a", "cancelled")
        running = [is_running(pid) for pid in sandboxes.pids]
        assert await asyncio.to_thread(
            wait_until, lambda: sum(map(is_running, sandboxes.pids)) == 1
        )
        assert len(running) == 2
        # The id is free again.
        assert (await socket.run("1", "a"))[-1]["data"]["value"] == 1
    assert await asyncio.to_thread(wait_until, lambda: not any(map(is_running, sandboxes.pids)))


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        ("{", "invalid_json", "is not JSON"),
        ("[]", "invalid_json", "expected an object"),
        ({"type": "run", "code": "1"}, "invalid_id", "expected a string of 1 to 64"),
        ({"type": "run", "id": "", "code": "1"}, "invalid_id", "expected a string"),
        ({"type": "run", "id": 5, "code": "1"}, "invalid_id", "the id is 5"),
        ({"type": "run", "id": "x" * 65, "code": "1"}, "invalid_id", "expected a string"),
        ({"id": "r", "code": "1"}, "unknown_type", "the type is None"),
        ({"type": "stop", "id": "r"}, "unknown_type", "'run', 'cancel' or 'watch'"),
        ({"type": {"x": 1}, "id": "r"}, "unknown_type", "'run', 'cancel' or 'watch'"),
        ({"type": "run", "id": "r"}, "missing_code", "put the Python to run there"),
        ({"type": "run", "id": "r", "code": 5}, "invalid_code", "expected a string of Python"),
        ({"type": "run", "id": "r", "code": "1", "input": 1}, "unknown_key", "mean 'inputs'?"),
        (
            {"type": "run", "id": "r", "code": "1", "available_tools": ["nope"]},
            "unknown_tool",
            "which is not a tool",
        ),
        (
            {"type": "run", "id": "r", "code": "1", "execution_timeout": 31},
            "invalid_execution_timeout",
            "30 at most",
        ),
        ({"type": "run", "id": "r", "code": "1", "watchable": 1}, "invalid_watchable", "boolean"),
        ({"type": "run", "id": "r", "code": "1", "watchable": True}, "not_watchable", "LAYERS"),
        ({"type": "cancel", "id": "r"}, "unknown_id", "nothing runs under the id 'r'"),
        ({"type": "watch", "id": "r"}, "invalid_execution_id", "from the 'started' event"),
        (
            {"type": "watch", "id": "r", "execution_id": "a b"},
            "invalid_execution_id",
            "from the 'started' event",
        ),
        (
            {"type": "watch", "id": "r", "execution_id": "a", "after": -1},
            "invalid_after",
            "the number of an event",
        ),
        (
            {"type": "watch", "id": "r", "execution_id": "a", "after": 2**64},
            "invalid_after",
            "the number of an event",
        ),
        (
            {"type": "watch", "id": "r", "execution_id": "a", "until": 1},
            "unknown_key",
            "no key 'until'",
        ),
        ({"type": "watch", "id": "r", "execution_id": "a"}, "not_watchable", "LAYERS"),
    ],
)
async def test_a_bad_message_is_refused_and_the_socket_goes_on(
    coder: User, message: Any, code: str, text: str
) -> None:
    async with in_process(APP, user=coder) as socket:
        assert isinstance(socket.wire, WebsocketCommunicator)
        raw = message if isinstance(message, str) else json.dumps(message)
        await socket.wire.send_to(text_data=raw)
        refused = await socket.receive()

        assert refused["type"] == "refused"
        assert refused["data"]["code"] == code
        assert text in refused["data"]["message"]
        expected = message.get("id") if code != "invalid_id" and isinstance(message, dict) else None
        assert refused["id"] == expected
        assert (await socket.run("6 * 7"))[-1]["data"]["value"] == 42


async def test_an_id_is_in_use_until_its_run_ends_and_concurrent_runs_are_bounded(
    coder: User,
) -> None:
    app = CodemodeConsumer.as_asgi()
    async with in_process(app, user=coder) as socket:
        for number in range(CodemodeConsumer.max_at_once):
            await socket.send(type="run", id=f"r{number}", code="import time; time.sleep(60)")
        await socket.send(type="run", id="r0", code="1")
        [*_, refused] = await socket.until("refused")
        assert (refused["id"], refused["data"]["code"]) == ("r0", "id_in_use")
        await socket.send(type="run", id="more", code="1")
        [*_, refused] = await socket.until("refused")
        assert (refused["id"], refused["data"]["code"]) == ("more", "too_many_at_once")
        await socket.send(type="cancel", id="r0")
        await socket.until("error")
        assert (await socket.run("1", "more"))[-1]["type"] == "completed"


async def test_nothing_is_kept_between_messages(coder: User) -> None:
    code = "[testapp.whoami(), await testapp.awhoami()]"
    headers = {"Host": "acme.test"}
    with override_settings(ALLOWED_HOSTS=["acme.test"], CODEMODE={"TENANT_FROM_HOST": True}):
        async with in_process(APP, user=coder, headers=headers) as socket:
            seen = [(await socket.run(code))[-1]["data"]["value"] for _ in range(2)]
            await socket.run("leak = 1")
            error = (await socket.run("leak"))[-1]["data"]["error"]
    for first, second in seen:
        assert first == second
        assert (first["user"], first["tenant_id"]) == ("coder", "acme.test")
    assert error["type"] == "NameError"
    assert get_current_context() is None


@pytest.mark.no_retry
async def test_the_asgi_middleware_s_context_holds_with_the_user_of_the_message(
    coder: User,
) -> None:
    app = CodemodeASGIMiddleware(APP, provider=lambda scope: {"branch": "north"})
    async with in_process(app, user=coder) as socket:
        [*_, completed] = await socket.run("testapp.whoami()")
    assert completed["data"]["value"] == {"branch": "north", "user": "coder"}


class TestContextProvider:
    @pytest.mark.no_retry
    @pytest.mark.parametrize("around", [False, True])
    async def test_the_provider_is_called_for_each_message_with_the_handshake_as_request(
        self, coder: User, around: bool
    ) -> None:
        asked: list[Any] = []

        def provider(request: Any) -> dict[str, Any]:
            asked.append(request)
            return {"tenant_id": f"{request.user} at {request.get_host()}", "turn": len(asked)}

        app = CodemodeASGIMiddleware(APP) if around else APP
        headers = {"Host": "testserver", "Cookie": "plan=gold"}
        with override_settings(CODEMODE={"CONTEXT_PROVIDER": provider}):
            async with in_process(
                app, user=coder, headers=headers, session={"k": 1}, scheme="wss"
            ) as socket:
                first, second = [
                    (await socket.run("testapp.whoami()"))[-1]["data"]["value"] for _ in range(2)
                ]
        assert first["tenant_id"] == second["tenant_id"] == "coder at testserver"
        assert int(second["turn"]) == int(first["turn"]) + 1
        request = asked[-1]
        assert (request.method, request.path, request.is_secure()) == ("GET", "/ws/", True)
        assert (request.COOKIES, request.session) == ({"plan": "gold"}, {"k": 1})

    @pytest.mark.no_retry
    async def test_the_provider_keeps_watchers_of_other_tenants_away(
        self, coder: User, layer: None
    ) -> None:
        def provider(request: Any) -> dict[str, Any]:
            return {"tenant_id": request.headers["X-Branch"]}

        with override_settings(CODEMODE={"CONTEXT_PROVIDER": provider}):
            async with (
                in_process(APP, user=coder, headers={"X-Branch": "north"}) as host,
                in_process(APP, user=coder, headers={"X-Branch": "south"}) as watcher,
            ):
                [started, *_] = await host.run("1", watchable=True)
                execution_id = started["data"]["execution_id"]
                await watcher.send(type="watch", id="w", execution_id=execution_id)
                [refused] = await watcher.until("refused", "completed")
        assert refused["data"]["code"] == "unknown_execution"

    async def test_an_asynchronous_provider_is_awaited_and_may_refuse(self, coder: User) -> None:
        async def provider(request: Any) -> RuntimeContext:
            user = await request.auser()
            if not user.is_superuser:
                raise PermissionDenied
            return RuntimeContext({"tenant_id": "all"})

        with override_settings(CODEMODE={"CONTEXT_PROVIDER": provider}):
            async with in_process(APP, user=coder) as socket:
                [refused] = await socket.run("1")
                assert (refused["type"], refused["data"]["code"]) == ("refused", "not_permitted")
                await User.objects.aupdate(is_superuser=True)
                [*_, completed] = await socket.run("testapp.whoami()")
        assert completed["data"]["value"] == {"tenant_id": "all"}

    async def test_the_middlewares_own_provider_precedes_that_of_the_setting(
        self, coder: User
    ) -> None:
        def provider(request: Any) -> dict[str, Any]:
            raise AssertionError("it was asked")

        app = CodemodeASGIMiddleware(APP, provider=lambda scope: {"branch": "north"})
        with override_settings(CODEMODE={"CONTEXT_PROVIDER": provider}):
            async with in_process(app, user=coder) as socket:
                [*_, completed] = await socket.run("testapp.whoami()")
        assert completed["data"]["value"] == {"branch": "north", "user": "coder"}


class MappingConsumer(CodemodeConsumer):
    """A consumer whose context is a plain dict, or an unusable value."""

    def get_context(self, user: Any) -> Any:
        return dict(self.scope)["given"]


async def test_a_consumer_may_give_its_context_as_a_mapping(
    coder: User, caplog: pytest.LogCaptureFixture
) -> None:
    app = MappingConsumer.as_asgi()
    async with in_process(app, user=coder, given={"tenant_id": "acme"}) as socket:
        [*_, completed] = await socket.run("testapp.whoami()")
        assert completed["data"]["value"] == {"tenant_id": "acme"}
    async with in_process(app, user=coder, given="acme") as socket:
        [refused] = await socket.run("1")
        assert refused["data"]["code"] == "not_configured"
    assert "get_context returned a str; expected a mapping" in caplog.text


class NarrowConsumer(CodemodeConsumer):
    """A project's own subclass of the consumer."""

    seconds = 20.0

    def get_tools(self, user: Any) -> list[str]:
        return ["testapp.*"]

    def get_execution_timeout(self, user: Any) -> float:
        return self.seconds

    def get_rate_limit(self, user: Any) -> str:
        return "4/day"


async def test_a_project_narrows_tools_time_and_rate(
    coder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_process(NarrowConsumer.as_asgi(), user=coder) as socket:
        assert (await socket.run("testapp.lazy(); 1"))[-1]["data"]["value"] == 1
        error = (await socket.run("get_rate('EUR')"))[-1]["data"]["error"]
        assert error["type"] == "NameError"
        monkeypatch.setattr(NarrowConsumer, "seconds", 0.5)
        assert (await socket.run("while True: pass"))[-1]["data"]["status"] == "timeout"
        [refused] = await socket.run("1", execution_timeout=0.6)
        assert refused["data"]["code"] == "invalid_execution_timeout"
        [refused] = await socket.run("1")
        assert refused["data"]["code"] == "rate_limited"
        assert refused["data"]["retry_after"] > 0


async def closed_with(app: Any, *, user: Any) -> tuple[list[dict[str, Any]], int]:
    """Return a socket's messages at its connection, and the code with which it is closed."""
    communicator = WebsocketCommunicator(app, "/ws/")
    communicator.scope.update(user=user)  # type: ignore[call-arg]  # a scope has more keys
    connected, _ = await communicator.connect(60)
    assert connected
    told = [json.loads(await communicator.receive_from(60))]
    closing = await communicator.receive_output(60)
    assert closing["type"] == "websocket.close"
    await communicator.disconnect(timeout=60)
    return told, closing["code"]


class TestWhoMay:
    async def test_a_socket_without_a_login_is_refused(self, coder: User) -> None:
        for user in (None, AnonymousUser()):
            [refused], code = await closed_with(APP, user=user)
            assert refused["data"]["code"] == "not_authenticated"
            assert code == 4401

    async def test_a_socket_without_the_permission_is_refused(self, coder: User) -> None:
        other = await sync_to_async(User.objects.create_user)("other")
        [refused], code = await closed_with(APP, user=other)
        assert refused["data"]["code"] == "not_permitted"
        assert code == 4403

    async def test_a_permission_that_is_taken_away_is_missed_by_the_next_message(
        self, coder: User
    ) -> None:
        async with in_process(APP, user=coder) as socket:
            assert (await socket.run("1"))[-1]["type"] == "completed"
            await coder.user_permissions.aclear()
            [refused] = await socket.run("1")
            assert refused["data"]["code"] == "not_permitted"
            await coder.user_permissions.aadd(await execute_permission())
            assert (await socket.run("1"))[-1]["type"] == "completed"

    async def test_a_user_who_is_deactivated_has_to_leave(self, coder: User) -> None:
        async with in_process(APP, user=coder) as socket:
            await User.objects.aupdate(is_active=False)
            [refused] = await socket.run("1")
            assert refused["data"]["code"] == "not_authenticated"
            assert isinstance(socket.wire, WebsocketCommunicator)
            assert (await socket.wire.receive_output(60))["code"] == 4401

    async def test_the_scopes_user_counts_whatever_the_session(self, coder: User) -> None:
        root = await sync_to_async(User.objects.create_superuser)("root")
        client = Client()
        await sync_to_async(client.force_login)(root)
        session = await sync_to_async(lambda: client.session)()
        async with in_process(APP, user=coder, session=session) as socket:
            [*_, completed] = await socket.run("testapp.whoami()['user']")
            assert completed["data"]["value"] == "coder"
        async with in_process(APP, user=root, session=session) as socket:
            await sync_to_async(client.logout)()
            [refused] = await socket.run("1")
            assert refused["data"]["code"] == "not_authenticated"

    async def test_a_tool_asks_for_its_own_permission(self, coder: User) -> None:
        async with in_process(APP, user=coder) as socket:
            [*_, completed] = await socket.run("testapp.secret()")
            assert completed["data"]["status"] == "failed"
            assert "not permitted" in completed["data"]["error"]["message"]
            await coder.user_permissions.aadd(await Permission.objects.aget(codename="add_refund"))
            [*_, completed] = await socket.run("testapp.secret()")
            assert completed["data"]["value"] == "the secret"


async def execute_permission() -> Permission:
    return await Permission.objects.aget(codename="execute_code")


class TestOrigin:
    @pytest.mark.parametrize(
        "origin",
        ["http://evil.test", "null", "http://[", "http://testserver.evil.test", "testserver"],
    )
    async def test_a_page_of_another_site_cannot_connect(self, coder: User, origin: str) -> None:
        communicator = WebsocketCommunicator(APP, "/ws/", [(b"origin", origin.encode())])
        communicator.scope.update(user=coder)  # type: ignore[call-arg]  # a scope has more keys
        connected, _ = await communicator.connect(60)
        assert not connected

    async def test_a_page_of_this_site_and_a_program_can_connect(self, coder: User) -> None:
        for headers in ({}, {"Origin": "https://testserver"}, {"Origin": "http://testserver:81"}):
            async with in_process(APP, user=coder, headers=headers) as socket:
                assert (await socket.run("1"))[-1]["type"] == "completed"

    @pytest.mark.parametrize(
        ("headers", "forwarded", "connects"),
        [
            ({"Host": "shop.test", "Origin": "https://shop.test"}, False, True),
            ({"Host": "shop.test:8000", "Origin": "http://shop.test:8000"}, False, True),
            ({"Host": "[::1]:8000", "Origin": "http://[::1]:8000"}, False, True),
            ({"Host": "shop.test", "Origin": "https://evil.test"}, False, False),
            ({"Host": "shop.test", "Origin": "https://sub.shop.test"}, False, False),
            ({"Host": ".test", "Origin": "https://evil.test"}, False, False),
            ({"Origin": "https://evil.test"}, False, False),
            ({"Origin": "file://"}, False, False),
            (
                {"Host": "inner", "X-Forwarded-Host": "shop.test", "Origin": "https://shop.test"},
                True,
                True,
            ),
            (
                {"Host": "inner", "X-Forwarded-Host": "shop.test", "Origin": "https://shop.test"},
                False,
                False,
            ),
        ],
    )
    async def test_where_any_host_is_allowed_a_page_must_belong_to_the_requested_host(
        self, coder: User, headers: dict[str, str], forwarded: bool, connects: bool
    ) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        with override_settings(ALLOWED_HOSTS=["*"], USE_X_FORWARDED_HOST=forwarded):
            communicator = WebsocketCommunicator(APP, "/ws/", raw)
            communicator.scope.update(user=coder)  # type: ignore[call-arg]  # a scope has more keys
            assert (await communicator.connect(60))[0] is connects
            await communicator.disconnect(timeout=60)

    async def test_a_project_may_allow_other_origins(self, coder: User) -> None:
        app = CodemodeConsumer.as_asgi(allowed_origins=["https://app.test"])
        async with in_process(app, user=coder, headers={"Origin": "https://app.test"}) as socket:
            assert (await socket.run("1"))[-1]["type"] == "completed"


async def test_a_wrong_setting_is_reported_in_the_log_and_not_to_the_client(
    coder: User, caplog: pytest.LogCaptureFixture
) -> None:
    async with in_process(APP, user=coder) as socket:
        with override_settings(CODEMODE={"EXECUTER_URL": "x"}):
            [refused] = await socket.run("1")
    assert refused["data"]["code"] == "not_configured"
    assert "EXECUTER" not in str(refused)
    assert "EXECUTER" in caplog.text


class MisconfiguredConsumer(CodemodeConsumer):
    """A consumer that offers a tool that does not exist."""

    def get_tools(self, user: Any) -> list[str]:
        return ["testapp.nothing"]


async def test_a_wrong_hook_is_reported_in_the_log_and_not_to_the_client(
    coder: User, caplog: pytest.LogCaptureFixture
) -> None:
    async with in_process(MisconfiguredConsumer.as_asgi(), user=coder) as socket:
        [refused] = await socket.run("1")
    assert refused["data"]["code"] == "not_configured"
    assert "testapp.nothing" not in str(refused)
    assert "testapp.nothing" in caplog.text


class ForgetfulConsumer(CodemodeConsumer):
    """A consumer that knows the tenant of one branch only."""

    def get_context(self, user: Any) -> RuntimeContext:
        branch = self.scope["path"].strip("/")
        return RuntimeContext({"tenant_id": {"north": "acme"}[branch], "user": user})


async def test_a_hook_that_raises_fails_its_run_and_the_socket_goes_on(
    coder: User, caplog: pytest.LogCaptureFixture
) -> None:
    async with in_process(ForgetfulConsumer.as_asgi(), user=coder, path="/south/") as socket:
        for _ in range(2):
            [failed] = await socket.run("1")
            assert (failed["type"], failed["data"]["code"]) == ("error", "internal_error")
            assert "south" not in str(failed)
    assert "KeyError: 'south'" in caplog.text


class RefusingConsumer(CodemodeConsumer):
    """A consumer that refuses by Django's exceptions."""

    def get_tools(self, user: Any) -> list[str]:
        raise PermissionDenied("the plan of acme has no tools")

    def check_permission(self, user: Any) -> None:
        if user.username != "coder":
            raise PermissionDenied


async def test_a_hook_may_refuse_by_djangos_exceptions(coder: User) -> None:
    async with in_process(RefusingConsumer.as_asgi(), user=coder) as socket:
        [refused] = await socket.run("1")
    assert (refused["type"], refused["data"]["code"]) == ("refused", "not_permitted")
    assert "acme" not in str(refused)
    other = await sync_to_async(User.objects.create_user)("other")
    [refused], code = await closed_with(RefusingConsumer.as_asgi(), user=other)
    assert (refused["data"]["code"], code) == ("not_permitted", 4403)


class UnconnectedConsumer(CodemodeConsumer):
    """A consumer that depends on a service that is down."""

    def get_tools(self, user: Any) -> list[str]:
        raise ConnectionRefusedError("the service of policies is down")


async def test_a_hook_that_cannot_reach_its_service_is_an_error_and_logged(
    coder: User, caplog: pytest.LogCaptureFixture
) -> None:
    async with in_process(UnconnectedConsumer.as_asgi(), user=coder) as socket:
        for _ in range(2):  # the id stays free
            [failed] = await socket.run("1")
            assert (failed["type"], failed["data"]["code"]) == ("error", "internal_error")
    assert "the service of policies is down" in caplog.text


class SlowToEndConsumer(CodemodeConsumer):
    """A consumer that ends its first watch once the second has begun, under the same id."""

    ended = 0

    async def _send(self, text: str) -> None:
        await super()._send(text)
        if '"w"' in text and '"completed"' in text:
            self.ended += 1
            first = self._watches["w"]
            async with asyncio.timeout(60):
                while self.ended == 1 and self._watches["w"] is first:
                    await asyncio.sleep(0.001)


@pytest.mark.usefixtures("layer")
async def test_an_id_may_be_used_again_before_its_former_watch_has_ended(coder: User) -> None:
    app = SlowToEndConsumer.as_asgi()
    async with in_process(app, user=coder) as host, in_process(app, user=coder) as watcher:
        [started, *_] = await host.run("42", watchable=True)
        execution_id = started["data"]["execution_id"]
        for _ in range(2):
            await watcher.send(type="watch", id="w", execution_id=execution_id)
            assert (await watcher.until("completed", "error"))[-1]["data"]["value"] == 42
        assert types(await watcher.run("1", "r")) == ["started", "completed"]  # and no error


@pytest.mark.usefixtures("layer")
async def test_of_two_watches_of_a_run_by_one_socket_one_may_be_left(
    coder: User, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "django_codemode._streams.broadcast.ASK_SECONDS", 600
    )  # otherwise it would ask again
    left = threading.Event()
    register("testapp_wait", lambda: left.wait(60))
    async with in_process(APP, user=coder) as host, in_process(APP, user=coder) as watcher:
        await host.send(type="run", id="r", code="testapp_wait()", watchable=True)
        [started, *_] = await host.until("tool_call_started")
        execution_id = started["data"]["execution_id"]
        for name in ("v", "w"):
            await watcher.send(type="watch", id=name, execution_id=execution_id)
            await watcher.until("tool_call_started")
        await watcher.send(type="cancel", id="v")
        assert (await watcher.receive())["data"]["code"] == "cancelled"
        await watcher.send(type="cancel", id="v")  # refused, because the watch was left before
        assert (await watcher.receive())["data"]["code"] == "unknown_id"
        left.set()
        assert (await watcher.until("completed", "error"))[-1]["data"]["value"] is True


class Steps:
    """A tool that lets code continue step by step."""

    def __init__(self) -> None:
        self._steps = threading.Semaphore(0)

    def run(self) -> bool:
        """Wait for the next step."""
        return self._steps.acquire(timeout=60)

    def go_on(self) -> None:
        """Allow one step."""
        self._steps.release()


@pytest.mark.usefixtures("layer")
class TestAPermissionThatEndsWhileWatching:
    """The loss of a watcher's permission, noticed by the watch without a message of the socket."""

    CODE = "for i in range(3):\n    testapp_step()\n    print(i, flush=True)"

    @pytest.fixture
    def steps(self, register: Register, monkeypatch: pytest.MonkeyPatch) -> Steps:
        monkeypatch.setattr("django_codemode._streams.broadcast.CHECK_AGAIN_SECONDS", 0)
        steps = Steps()
        register("testapp_step", steps)
        return steps

    @pytest.fixture
    def other(self, coder: User) -> User:
        other = User.objects.create_user("other")
        for codename in ("execute_code", "watch_code"):
            other.user_permissions.add(Permission.objects.get(codename=codename))
        return other

    async def watching(self, host: Socket, watcher: Socket, steps: Steps) -> None:
        """Let the watcher see the first output."""
        await host.send(type="run", id="r", code=self.CODE, watchable=True)
        [started, *_] = await host.until("tool_call_started")
        execution_id = started["data"]["execution_id"]
        await watcher.send(type="watch", id="w", execution_id=execution_id)
        steps.go_on()
        assert (await watcher.until("output"))[-1]["data"]["text"] == "0\n"

    async def test_a_user_who_is_deactivated_sees_no_more_and_has_to_leave(
        self, coder: User, other: User, steps: Steps
    ) -> None:
        async with in_process(APP, user=coder) as host, in_process(APP, user=other) as watcher:
            await self.watching(host, watcher, steps)
            await User.objects.filter(pk=other.pk).aupdate(is_active=False)
            steps.go_on()
            seen = await watcher.until("error", "output", "completed")
            assert seen[-1]["data"].get("code") == "not_authenticated"
            assert isinstance(watcher.wire, WebsocketCommunicator)
            assert (await watcher.wire.receive_output(60))["code"] == 4401
            steps.go_on()
            assert (await host.until("completed"))[-1]["data"]["status"] == "completed"

    async def test_who_may_watch_others_no_more_sees_no_more_of_them_and_keeps_the_socket(
        self, coder: User, other: User, steps: Steps
    ) -> None:
        async with in_process(APP, user=coder) as host, in_process(APP, user=other) as watcher:
            await self.watching(host, watcher, steps)
            await other.user_permissions.aremove(
                await Permission.objects.aget(codename="watch_code")
            )
            steps.go_on()
            seen = await watcher.until("error", "output", "completed")
            assert seen[-1]["data"].get("code") == "unknown_execution"
            assert (await watcher.run("6 * 7"))[-1]["data"]["value"] == 42
            steps.go_on()

    async def test_a_change_that_takes_nothing_away_loses_no_event(
        self, coder: User, other: User, steps: Steps
    ) -> None:
        await coder.user_permissions.aadd(await Permission.objects.aget(codename="watch_code"))
        async with in_process(APP, user=coder) as host, in_process(APP, user=coder) as watcher:
            await self.watching(host, watcher, steps)
            await coder.user_permissions.aremove(
                await Permission.objects.aget(codename="watch_code")
            )
            for _ in range(2):
                steps.go_on()
            seen = await watcher.until("error", "completed")
            numbers = [message["number"] for message in seen]
        assert seen[-1]["data"]["stdout"] == "0\n1\n2\n"
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert [one["data"]["text"] for one in seen if one["type"] == "output"] == ["1\n", "2\n"]

    async def test_an_event_makes_no_query(
        self, coder: User, other: User, steps: Steps, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("django_codemode._streams.broadcast.CHECK_AGAIN_SECONDS", 600)
        asked = 0

        class CountingConsumer(CodemodeConsumer):
            def get_user(self) -> Any:
                nonlocal asked
                asked += 1
                return super().get_user()

        app = CountingConsumer.as_asgi()
        async with in_process(APP, user=coder) as host, in_process(app, user=other) as watcher:
            await self.watching(host, watcher, steps)
            for _ in range(2):
                steps.go_on()
            await watcher.until("completed")
        assert asked == 2  # for the connection and the message


class FailingLayer(InMemoryChannelLayer):
    """A layer whose first receive fails, and whose next one fails differently when cancelled."""

    received = 0

    async def receive(self, channel: str) -> Any:
        type(self).received += 1
        try:
            if self.received > 1:
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
        raise ConnectionError("the layer is not there")


async def test_a_layer_that_fails_ends_no_run_and_keeps_no_socket(
    coder: User, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailingLayer, "received", 0)
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": f"{__name__}.FailingLayer"}}):
        async with in_process(APP, user=coder) as socket:
            while FailingLayer.received < 2:
                assert (await socket.run("6 * 7", watchable=True))[-1]["data"]["value"] == 42
        # Leaving the block waits for the consumer's end.
    told = [one for one in caplog.messages if "channel layer has failed" in one]
    assert len(told) == 1


async def test_a_message_that_is_not_text_or_too_large_closes_the_socket(coder: User) -> None:
    for frame, code in (({"bytes_data": b"{}"}, 1003), ({"text_data": "x" * 200}, 1009)):
        with override_settings(CODEMODE={"MAX_REQUEST_BYTES": 199}):
            async with in_process(APP, user=coder) as socket:
                assert isinstance(socket.wire, WebsocketCommunicator)
                await socket.wire.send_to(**frame)
                closing = await socket.wire.receive_output(60)
        assert (closing["type"], closing["code"]) == ("websocket.close", code)


class AsynchronousTests(TestCase):
    async def test_tools_see_the_uncommitted_rows_of_a_test_case(self) -> None:
        user = await User.objects.acreate(username="root", is_superuser=True)
        await sync_to_async(Merchant.objects.create)(slug="uncommitted", name="", currency="EUR")
        async with in_process(APP, user=user) as socket:
            [*_, completed] = await socket.run("[testapp.slugs(), testapp.where()['atomic']]")
        assert completed["data"]["value"] == [["uncommitted"], True]


async def test_an_option_that_the_consumer_does_not_have_is_named() -> None:
    communicator = WebsocketCommunicator(CodemodeConsumer.as_asgi(max_run=1), "/ws/")
    with pytest.raises(TypeError, match="has no 'max_run'"):
        await communicator.connect(5)  # the failure shows at its end
