"""Proof that the matrix detects leaks: without its mechanism, a cell fails."""

from __future__ import annotations

import sys

import pytest

from tests.servers.cells import CELLS, SMOKE
from tests.servers.project.mutations import MUTATIONS, OWN_EXECUTOR, Cell
from tests.servers.server import SERVERS, RunningServer
from tests.servers.traffic import Tally, executor_of
from tests.support.mutations import Mutation, each


def without(mutation: Mutation[Cell]) -> RunningServer:
    """Return the cell's server without the mechanism."""
    (server,) = (one for one in SERVERS if one.name == mutation.proof.server)
    if server.name == "daphne" and sys.version_info >= (3, 15):
        pytest.importorskip("daphne", reason="daphne cannot be had for this Python")
    environment = MUTATIONS.environment(mutation.name)
    # Errors may be requests that hang, so the wait is short. A leak shows in an answer, which a
    # busy machine delays, so the wait is longer.
    patience = 3 if mutation.proof.wrong == "errors" else 30
    return RunningServer(server, environment=environment, patience=patience)


@pytest.mark.deep
@each(one for one in MUTATIONS if one.proof.name in CELLS)
def test_a_cell_notices_that_its_mechanism_is_gone(mutation: Mutation[Cell]) -> None:
    tally = Tally()

    with without(mutation) as running:
        CELLS[mutation.proof.name].check(running, tally, SMOKE)

    with pytest.raises(AssertionError, match=f"[0-9]+ {mutation.proof.wrong}: "):
        tally.check()


@pytest.mark.deep
@each(one for one in MUTATIONS if one.proof.name == OWN_EXECUTOR)
def test_a_fork_that_forgets_nothing_is_noticed(mutation: Mutation[Cell]) -> None:
    with (
        without(mutation) as running,
        pytest.raises(AssertionError, match=f"^{mutation.proof.wrong}: "),
    ):
        executor_of(running)


def test_every_mutation_is_tried() -> None:
    cells = {(server.name, name) for server in SERVERS for name in (*CELLS, OWN_EXECUTOR)}
    assert {(one.proof.server, one.proof.name) for one in MUTATIONS} <= cells
