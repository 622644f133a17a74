"""That the matrix is no formality: without its mechanism, a cell is not green."""

from __future__ import annotations

import pytest

from tests.servers.cells import CELLS, SMOKE
from tests.servers.project.mutations import MUTATIONS, OWN_EXECUTOR, Cell
from tests.servers.server import SERVERS, RunningServer
from tests.servers.traffic import Tally, executor_of
from tests.support.mutations import Mutation, each


def check(running: RunningServer, cell: str, tally: Tally) -> None:
    if cell == OWN_EXECUTOR:
        executor_of(running)
    else:
        CELLS[cell].check(running, tally, SMOKE)


@pytest.mark.deep
@each(MUTATIONS)
def test_a_cell_notices_that_its_mechanism_is_gone(mutation: Mutation[Cell]) -> None:
    cell = mutation.proof
    (server,) = (one for one in SERVERS if one.name == cell.server)
    environment = MUTATIONS.environment(mutation.name)
    tally = Tally()

    with (
        RunningServer(server, environment=environment, patience=3) as running,
        pytest.raises(AssertionError, match=f"^([0-9]+ )?{cell.wrong}: "),
    ):
        check(running, cell.name, tally)
        tally.check()


def test_every_mutation_names_a_cell() -> None:
    cells = {(server.name, name) for server in SERVERS for name in (*CELLS, OWN_EXECUTOR)}
    assert {(one.proof.server, one.proof.name) for one in MUTATIONS} <= cells
