"""The right tenant, thread and connection, and no deadlock, for every caller and every kind of
tool.

``python -m tests.concurrency`` prints this as a table.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.concurrency.places import Place, queries
from tests.concurrency.styles import STYLES, Style, Visit
from tests.concurrency.tools import COLUMNS, Column
from tests.support.watchdog import bounded

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("project"),
    # Every cell that executes in a running loop would raise this warning.
    pytest.mark.filterwarnings("ignore:execute.. was called inside a running:RuntimeWarning"),
]

TENANTS = [f"tenant-{number}" for number in range(4)]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_tools_run_where_the_caller_is(style: Style, column: Column) -> None:
    opened = len(queries.connections)
    blocks = column.nests == "worker" and style.half == "async" and not style.outer
    blocked = style.beats is False or blocks
    code = column.code.replace("BLOCKED", str(blocked))

    visits = bounded(lambda: style.visit_all(TENANTS, code))

    assert [one.tenant for one in visits] == TENANTS
    executions = set()
    for one in visits:
        assert one.error is None
        assert one.context_after == one.tenant
        executions |= Cell(style, column, one, blocked=blocked).check()
    assert len(executions) == len(TENANTS) * (2 if column.nests else 1)
    # The connections of worker threads and of the pool are closed by then: nothing will reuse them.
    kept = {one.place.connection for one in visits}
    left = [one for one in queries.connections[opened:] if one.connection is not None]
    assert {id(one) for one in left} <= kept


class Cell:
    """A check of what one tenant's tools reported against the rules of the style and the column."""

    def __init__(self, style: Style, column: Column, visit: Visit, *, blocked: bool) -> None:
        self.style = style
        self.column = column
        self.visit = visit
        self.blocked = blocked

    def check(self) -> set[str]:
        """Check every fact, and return the ids of the executions."""
        told = self.visit.value
        if not self.column.nests:
            self.check_facts(
                told, half=self.style.half, place=self.visit.place, loop=self.visit.loop
            )
            return {one["execution"] for one in told}
        ((outer, inner),) = [(one["outer"], one["inner"]) for one in told]
        self.check_facts(
            [outer], half=self.style.half, place=self.visit.place, loop=self.visit.loop
        )
        # Here the tool is the caller.
        self.check_facts(
            inner,
            half=self.column.nests,
            place=Place(*outer["place"]),
            loop=outer.get("loop"),
        )
        return {one["execution"] for one in (outer, *inner)}

    def check_facts(
        self, told: list[dict[str, Any]], *, half: str, place: Place, loop: int | None
    ) -> None:
        assert len({one["execution"] for one in told}) == 1
        assert {one["tenant"] for one in told} == {self.visit.tenant}
        if half == "worker":
            # The worker has its own thread: neither the caller's nor that of the caller's queries.
            own = {tuple(one["place"]) for one in told if one["kind"] in ("sync", "orm")}
            assert len(own) <= 1
            for worker in own:
                assert worker[0] != place.thread
                assert worker[1] != place.connection
        for one in told:
            match one["kind"]:
                case "sync" | "orm" if half != "worker":
                    assert tuple(one["place"]) == place
                case "pooled":
                    assert one["thread"] != place.thread
                    assert one["place"][1] != place.connection
                case "async":
                    # In the async half the caller's own loop, otherwise the execution's loop.
                    assert (one["loop"] == loop) == (half == "async" and loop is not None)
            if one["kind"] == "async" and half != "async":
                assert one["thread"] != place.thread
            if "alive" in one:
                assert one["alive"] is (not self.blocked if self.style.beats is not None else None)
        loops = {one["loop"] for one in told if "loop" in one}
        assert len(loops) <= 1
