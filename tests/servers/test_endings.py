"""A sandbox is dead within 200 ms of the end of the request or the process that it worked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.servers.endings import (
    end_with_the_client,
    end_with_the_server,
    left_by_clients,
)
from tests.servers.server import SERVERS, RunningServer, Server
from tests.support.deaths import PROMISED_SECONDS, best_of
from tests.support.processes import ExecutorProcess

pytestmark = [pytest.mark.quiet, pytest.mark.timeout(300)]

ATTEMPTS = 5
each_server = pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)


@pytest.fixture(scope="module")
def executor() -> Iterator[ExecutorProcess]:
    # Sandboxes report their process ids, which are unknown inside a PID namespace.
    with ExecutorProcess("--tier", "unsafe") as executor:
        yield executor


@each_server
def test_a_client_that_leaves_ends_its_sandbox(server: Server, executor: ExecutorProcess) -> None:
    with RunningServer(server, executor_url=executor.url) as running:
        for path in left_by_clients(server):
            seconds = best_of(ATTEMPTS, partial(end_with_the_client, running, path))
            assert seconds < PROMISED_SECONDS, path


@each_server
def test_sigterm_ends_the_sandboxes_of_a_server(server: Server, executor: ExecutorProcess) -> None:
    def latest() -> float:
        endings = end_with_the_server(server, executor.url)
        return max(ending.late for ending in endings.values())

    assert best_of(ATTEMPTS, latest) < PROMISED_SECONDS
