"""That the matrix is no formality: without its mechanism, a cell is not green."""

from __future__ import annotations

import pytest

from tests.servers.cells import CELLS, SMOKE
from tests.servers.project.mutations import MUTATIONS
from tests.servers.server import SERVERS, RunningServer
from tests.servers.traffic import Tally, executor_of

NOTICED = [
    ("the_context_is_not_restored", "gunicorn sync", "own context", "leaks"),
    ("the_context_is_not_restored", "gunicorn gthread", "nothing stays", "leaks"),
    ("the_context_is_not_restored", "gunicorn gevent", "nothing stays", "leaks"),
    ("bodies_are_not_bound", "uvicorn", "sync stream", "leaks"),
    ("bodies_are_not_bound", "uvicorn", "async stream", "leaks"),
    ("bodies_are_not_bound", "uvicorn", "client leaves", "leaks"),
    ("bodies_are_not_bound", "gunicorn gthread", "sync stream", "leaks"),
    ("sockets_get_no_context", "daphne", "websocket", "leaks"),
    (
        "sync_tools_run_in_no_copy_of_the_context",
        "gunicorn gthread",
        "JSON view, sync tool",
        "leaks",
    ),
    ("grpc_is_not_told_of_gevent", "gunicorn gevent", "JSON view, sync tool", "errors"),
    ("greenlets_may_be_asynchronous", "gunicorn gevent", "JSON view, async tool", "errors"),
    ("greenlets_may_be_asynchronous", "gunicorn gevent", "async view, sync tool", "errors"),
]


@pytest.mark.deep
@pytest.mark.parametrize("mutation, name, cell, wrong", NOTICED)
def test_a_cell_notices_that_its_mechanism_is_gone(
    mutation: str, name: str, cell: str, wrong: str
) -> None:
    (server,) = (one for one in SERVERS if one.name == name)
    tally = Tally()

    with RunningServer(server, mutation=mutation, patience=3) as running:
        CELLS[cell].check(running, tally, SMOKE)

    with pytest.raises(AssertionError, match=f"[0-9]+ {wrong}: "):
        tally.check()


@pytest.mark.deep
def test_a_fork_that_forgets_nothing_is_noticed() -> None:
    (server,) = (one for one in SERVERS if one.preloads)
    mutation = "nothing_is_forgotten_after_a_fork"

    with (
        RunningServer(server, mutation=mutation, patience=3) as running,
        pytest.raises(AssertionError),
    ):
        executor_of(running)


def test_every_mutation_is_tried() -> None:
    tried = {mutation for mutation, *_ in NOTICED} | {"nothing_is_forgotten_after_a_fork"}
    assert tried == MUTATIONS.keys()
