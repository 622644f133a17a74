"""The promises of every server: each request has its own context, and nothing stays afterwards."""

from __future__ import annotations

import pytest

from tests.servers.cells import CELLS, SMOKE
from tests.servers.server import SERVERS, RunningServer, Server
from tests.servers.traffic import Tally, executor_of
from tests.support.marks import deep_except

# One server of each kind; the deep tests run all of them.
EVERYDAY = [server for server in SERVERS if server.name in ("uvicorn", "gunicorn gthread")]
each_server = pytest.mark.parametrize(
    "server", deep_except(SERVERS, *EVERYDAY), ids=lambda server: server.name
)


# Each process of the server has an executor of its own here.
@pytest.mark.timeout(300)
@each_server
def test_each_request_keeps_its_context_and_sigterm_ends_all(
    server: Server, subtests: pytest.Subtests
) -> None:
    with RunningServer(server) as running:
        for name, cell in CELLS.items():
            if cell.applies(server):
                with subtests.test(name):
                    tally = Tally()
                    cell.check(running, tally, SMOKE)
                    tally.check()

        with subtests.test("used before the fork"):
            notes = running.notes("preload")
            assert [note["seen"] for note in notes] == [[42]] * server.preloads
            # In the master alone: otherwise this would prove nothing about a fork.
            assert all(note["pid"] == running.pid for note in notes)

        with subtests.test("SIGTERM"):
            assert executor_of(running), "no executor of its own: nothing to prove"
            running.terminate()
            assert running.complaints() == [], running.log
