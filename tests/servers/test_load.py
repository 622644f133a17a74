"""Thousands of interleaved requests to each server, over a shared executor with a key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.__main__ import KEY, examine
from tests.servers.cells import LOAD
from tests.servers.server import SERVERS, Server
from tests.support.processes import ExecutorProcess

pytestmark = [pytest.mark.deep, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def executor() -> Iterator[ExecutorProcess]:
    with ExecutorProcess(environment={"CODEMODE_EXECUTOR_API_KEY": KEY}) as executor:
        yield executor


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_thousands_of_requests_of_many_tenants_do_not_mix(
    server: Server, executor: ExecutorProcess
) -> None:
    row = examine(server, LOAD, executor.url)

    assert (row.leaks, row.errors, row.complaints) == (0, 0, [])
    # This adds up to 50,000 over all servers.
    assert row.requests >= 50_000 / len(SERVERS)
