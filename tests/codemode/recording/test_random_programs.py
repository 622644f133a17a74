"""Random programs replay exactly, wherever they were interrupted and in whatever order their calls
end.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from codemode import Codemode
from tests.support.marks import deep_except
from tests.support.noted_tools import register_noted_tools
from tests.support.random_programs import Kind, RandomProgram, random_program
from tests.support.replays import Tally, try_all

_CUTS = 3
_SHARES = 10
"""Parts of the deep proof, which processes share."""


@pytest.fixture
def both(codemode: Codemode, elsewhere: Codemode) -> list[Codemode]:
    """Return facades of two executors, with the tools of the programs."""
    register_noted_tools(codemode)
    return [codemode, elsewhere]


def _programs(kind: Kind | None, share: int, replays: int) -> Iterable[RandomProgram]:
    """Return the programs of a share of the deep proof; each is replayed once more than cut."""
    number = replays // _SHARES // (_CUTS + 1)
    return (random_program(seed, kind) for seed in range(share * number, (share + 1) * number))


def _assert_exact(tally: Tally) -> None:
    assert not tally.faults, "\n".join(tally.faults)
    assert set(tally.statuses) == {"completed"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("share", deep_except(range(_SHARES + 1), _SHARES))
async def test_programs_replay_exactly(both: list[Codemode], share: int) -> None:
    """At all random interruptions, random orders of completion, in another executor."""
    replays = 20_000 if share < _SHARES else 160 * _SHARES
    tally = await try_all(_programs(None, share, replays), both, cuts=_CUTS)
    _assert_exact(tally)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("share", deep_except(range(3), 0))
async def test_threads_that_share_nothing_replay_exactly(both: list[Codemode], share: int) -> None:
    replays = 2_000 * _SHARES if share else 60 * _SHARES
    tally = await try_all(_programs("threads_apart", share, replays), both, cuts=_CUTS)
    _assert_exact(tally)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("share", deep_except(range(2), 0))
async def test_threads_over_shared_state_diverge_before_a_new_call_or_replay_exactly(
    both: list[Codemode], share: int
) -> None:
    replays = 2_000 * _SHARES if share else 60 * _SHARES
    tally = await try_all(_programs("threads_shared", share, replays), both, cuts=_CUTS)
    assert not tally.faults, "\n".join(tally.faults)
    assert set(tally.statuses) <= {"completed", "diverged"}
