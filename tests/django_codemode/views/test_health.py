"""The view that shows whether the executor answers."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory, override_settings

from codemode import Codemode, ExecutorClient
from codemode.core.executor_info import ExecutorInfo
from codemode.errors import ExecutorConnectionError
from django_codemode import health
from django_codemode.health import executor_info
from django_codemode.views import HealthView
from tests.support.processes import ExecutorProcess, wait_until

pytestmark = pytest.mark.django_db

URL = "/codemode/health/"


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long enough for an executor to start, even on a busy machine."""
    monkeypatch.setattr(HealthView, "timeout", 60.0)


@pytest.mark.usefixtures("patience")
def test_anybody_sees_whether_the_executor_answers_and_no_more(coder: User) -> None:
    other = Client()
    other.force_login(User.objects.create_user("other"))
    for client in (Client(), other):
        response = client.get(URL)
        assert response.status_code == 200
        assert response.json() == {"status": "ok"}
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.usefixtures("patience", "use_open_executor")
def test_users_who_may_execute_see_the_executors_details(coder: User) -> None:
    client = Client()
    client.force_login(coder)
    executor = client.get(URL).json()["executor"]
    assert set(executor) == {
        *("version", "protocol_version", "python_version", "isolation"),
        *("max_concurrency", "max_queued"),
    }
    assert executor["version"] == "0.1.0"


def test_a_missing_executor_is_503() -> None:
    with override_settings(CODEMODE={"EXECUTOR_URL": "http://127.0.0.1:1"}):
        response = Client().get(URL)
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable"}


def test_an_executor_that_comes_back_is_noticed() -> None:
    executor = ExecutorProcess().start()
    try:
        client = ExecutorClient(executor.url)
        codemode = Codemode(client)
        assert executor_info(codemode, 60) is not None
        executor.kill()
        time.sleep(2.1)
        assert executor_info(codemode, 60) is None
        executor.start()
        assert wait_until(lambda: executor_info(codemode, 60) is not None)
    finally:
        client.close()
        executor.stop()


def test_an_executor_that_hangs_is_503_in_time(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with override_settings(CODEMODE={"EXECUTOR_URL": url}):
            response = HealthView.as_view(timeout=0.2)(RequestFactory().get(URL))
    assert response.status_code == 503
    assert "has not answered within 0.2 s" in caplog.text


def test_an_executor_that_hangs_holds_up_no_more_than_the_first_requests() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Codemode(ExecutorClient(url)) as codemode:
            assert executor_info(codemode, 0.2) is None
            begun = time.monotonic()
            assert [executor_info(codemode, 0.2) for _ in range(40)] == [None] * 40
            assert time.monotonic() - begun < 5  # each by itself: 8 s


class CountingClient(ExecutorClient):
    """A client that counts the questions and answers them late."""

    asked = 0
    go_on = threading.Event()

    def info(self) -> ExecutorInfo:
        type(self).asked += 1
        self.go_on.wait(60)
        raise ExecutorConnectionError("gone")


def test_many_concurrent_requests_ask_the_executor_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine some questions come seconds after the answer.
    monkeypatch.setattr(health, "_MAX_AGE_SECONDS", 600)
    codemode = Codemode(CountingClient("http://127.0.0.1:1"))
    with ThreadPoolExecutor(20) as threads:
        asking: Any = [threads.submit(executor_info, codemode, 60) for _ in range(20)]
        CountingClient.go_on.set()
        assert [one.result() for one in asking] == [None] * 20
    assert executor_info(codemode, 60) is None
    assert CountingClient.asked == 1
    codemode.close()
