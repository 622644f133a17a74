"""The rate at which a user may execute."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpRequest
from django.test import AsyncClient, Client, RequestFactory, override_settings

from codemode.errors import ConfigurationError
from django_codemode._requests.rates import count_execution
from django_codemode.conf import parse
from django_codemode.refusals import RefusalError
from django_codemode.views import ExecuteView
from tests.support.rates import allowed

CACHES = {
    name: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": f"rates-{name}"}
    for name in ("default", "counting")
}
DUMMY = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}


@pytest.fixture(autouse=True)
def empty_caches() -> Iterator[None]:
    with override_settings(CACHES=CACHES):
        for name in CACHES:
            caches[name].clear()
        yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that sets the clock by which executions are counted."""

    def set_time(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: seconds)

    return set_time


def test_each_user_has_a_number_of_executions_per_period(clock: Callable[[float], None]) -> None:
    clock(6_000_000.0)
    assert allowed("alice", "3/minute", 5) == 3
    assert allowed("bob", "3/minute", 5) == 3
    clock(6_000_059.9)
    assert allowed("alice", "3/minute", 5) == 0
    clock(6_000_060.0)
    assert allowed("alice", "3/minute", 5) == 3
    assert allowed("alice", None, 50) == 50


def test_the_refusal_names_when_to_try_again(clock: Callable[[float], None]) -> None:
    clock(6_000_018.5)
    count_execution("alice", "1/minute")
    with pytest.raises(RefusalError, match="at most 1 executions per minute") as caught:
        count_execution("alice", "1/minute")
    assert (caught.value.status, caught.value.code) == (429, "rate_limited")
    assert caught.value.retry_after == 42


def test_concurrent_attempts_are_all_counted() -> None:
    with ThreadPoolExecutor(8) as threads:
        passed = threads.map(lambda _: allowed("alice", "10/day", 5), range(8))
    assert sum(passed) == 10


def test_the_cache_of_the_setting_counts() -> None:
    with override_settings(CODEMODE={"RATE_LIMIT_CACHE": "counting"}):
        assert allowed("alice", "1/day", 2) == 1
        caches["default"].clear()
        assert allowed("alice", "1/day", 2) == 0
        caches["counting"].clear()
        assert allowed("alice", "1/day", 2) == 1


def test_a_cache_that_keeps_nothing_limits_nothing() -> None:
    with override_settings(CACHES=DUMMY):
        assert allowed("alice", "1/day", 3) == 3


def test_a_file_cache_lets_nobody_execute(tmp_path: Path) -> None:
    files = "django.core.cache.backends.filebased.FileBasedCache"
    with (
        override_settings(CACHES={"default": {"BACKEND": files, "LOCATION": tmp_path}}),
        pytest.raises(ConfigurationError, match="'default' cannot count executions: a file cache"),
    ):
        count_execution("alice", "1/day")


class DroppingCache(LocMemCache):
    """A cache that drops an entry between two commands, once or each time."""

    drops = 1

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        if type(self).drops:
            type(self).drops -= 1
            self.clear()
        return super().incr(key, delta, version)


def test_an_entry_that_the_cache_drops_is_counted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dropping = {"default": {"BACKEND": f"{__name__}.DroppingCache"}}
    with override_settings(CACHES=dropping):
        monkeypatch.setattr(DroppingCache, "drops", 1)
        assert allowed("alice", "2/day", 4) == 3  # the dropped one, and two


class FailingCache(LocMemCache):
    """A cache whose server is gone."""

    def add(self, *args: Any, **kwargs: Any) -> bool:
        raise ConnectionError("the cache is gone")


def test_a_cache_that_fails_lets_nobody_execute(coder: User) -> None:
    failing = {"default": {"BACKEND": f"{__name__}.FailingCache"}}
    client = Client(raise_request_exception=False)
    client.force_login(coder)
    with override_settings(CACHES=failing, CODEMODE={"RATE_LIMIT": "1/day"}):
        for path in ("/codemode/execute/", "/codemode/stream/", "/aexecute/"):
            answer = client.post(path, {"code": "1"}, content_type="application/json")
            assert answer.status_code == 500


@pytest.mark.parametrize("rate", ["60", "0/minute", "-1/minute", "5/week", "5/minutes", "a/day"])
def test_a_wrong_rate_is_named(rate: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a rate; expected a number per second"):
        parse({"RATE_LIMIT": rate})


def test_a_missing_cache_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match="'redis' is not in CACHES; expected one of counting, default"
    ):
        parse({"RATE_LIMIT_CACHE": "redis"})


def test_one_execution_too_many_is_429_in_every_view(coder: User) -> None:
    client, async_client = Client(), AsyncClient()
    client.force_login(coder)
    async_client.force_login(coder)
    other = Client()
    other.force_login(User.objects.create_superuser("root"))
    body: dict[str, Any] = {"data": {"code": "1"}, "content_type": "application/json"}

    with override_settings(CODEMODE={"RATE_LIMIT": "3/day"}):
        assert client.post("/codemode/execute/", **body).status_code == 200
        assert b"".join(client.post("/codemode/stream/", **body)).count(b"event: completed") == 1
        assert client.post("/codemode/execute/", "no JSON", "text/plain").status_code == 415
        refusals: list[Any] = [
            client.post("/codemode/execute/", **body),
            client.post("/codemode/stream/", **body),
            async_to_sync(async_client.post)("/aexecute/", **body),
        ]
        assert other.post("/codemode/execute/", **body).status_code == 200
        assert client.get("/codemode/tools/").status_code == 200

    for refusal in refusals:
        assert refusal.status_code == 429
        assert refusal.json()["error"]["code"] == "rate_limited"
        assert 0 < int(refusal.headers["Retry-After"]) <= 86_400


class OpenView(ExecuteView):
    """A view that lets everybody execute, once a day."""

    def check_permission(self, request: HttpRequest) -> None:
        """Let everybody in."""

    def get_rate_limit(self, request: HttpRequest) -> str:
        return "1/day"


@pytest.mark.django_db
def test_a_view_has_its_own_rate_and_counts_addresses_where_there_is_no_user() -> None:
    def status(address: str) -> int:
        request = RequestFactory(REMOTE_ADDR=address).post(
            "/", json.dumps({"code": "1"}), content_type="application/json"
        )
        request.user = AnonymousUser()
        return OpenView.as_view()(request).status_code

    assert [status(one) for one in ("10.0.0.1", "10.0.0.1", "10.0.0.2")] == [200, 429, 200]


class WronglyRatedView(OpenView):
    """A view whose rate is not a rate."""

    def get_rate_limit(self, request: HttpRequest) -> Any:
        return request.headers["X-Rate"]


@pytest.mark.parametrize("rate", ["60/min", "often"])
def test_a_wrong_rate_of_a_hook_is_reported_in_the_log_alone(
    rate: str, caplog: pytest.LogCaptureFixture
) -> None:
    request = RequestFactory().post(
        "/", json.dumps({"code": "1"}), content_type="application/json", headers={"X-Rate": rate}
    )
    request.user = AnonymousUser()
    response: Any = WronglyRatedView.as_view()(request)
    assert response.status_code == 500
    assert json.loads(response.content)["error"]["code"] == "not_configured"
    assert f"'{rate}' is not a rate; expected a number per second" in caplog.text
