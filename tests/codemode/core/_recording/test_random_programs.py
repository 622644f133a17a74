"""Random programs replay exactly, wherever they were interrupted and in whatever order their calls
end.
"""

from __future__ import annotations

import pytest

from codemode import Codemode
from tests.support.marks import deep_except
from tests.support.noted_tools import register_noted_tools
from tests.support.random_programs import Kind, random_program
from tests.support.replays import Tally, try_all

_CUTS = 3
_SHARES = 10
"""Parts of the deep proof, which processes share."""


@pytest.fixture
def both(codemode: Codemode, elsewhere: Codemode) -> list[Codemode]:
    """Return facades of two executors, with the tools of the programs."""
    register_noted_tools(codemode)
    return [codemode, elsewhere]


async def _replays(both: list[Codemode], kind: Kind | None, *, share: int, replays: int) -> Tally:
    """Replay so many times: each program from random cuts and, at last, as a whole."""
    number = replays // (_CUTS + 1)
    seeds = range(share * number, (share + 1) * number)
    tally = await try_all((random_program(seed, kind) for seed in seeds), both, cuts=_CUTS)
    assert not tally.faults, "\n".join(tally.faults)
    return tally


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", deep_except(range(_SHARES + 1), 0))
async def test_programs_replay_exactly(both: list[Codemode], share: int) -> None:
    """Wherever they are cut, whatever ends first, in another executor, in both halves."""
    replays = 2_000 if share else 160
    tally = await _replays(both, None, share=share, replays=replays)
    assert set(tally.statuses) == {"completed"}
    assert tally.replays >= replays


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", deep_except(range(4), 0))
async def test_threads_that_share_nothing_replay_exactly(both: list[Codemode], share: int) -> None:
    """Though they print, log, draw random numbers and give files."""
    replays = 2_000 if share else 60
    tally = await _replays(both, "threads_apart", share=share, replays=replays)
    assert set(tally.statuses) == {"completed"}
    assert tally.replays >= replays


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", deep_except(range(2), 0))
async def test_threads_over_shared_state_diverge_before_any_new_call_or_replay_exactly(
    both: list[Codemode], share: int
) -> None:
    replays = 2_000 if share else 60
    tally = await _replays(both, "threads_shared", share=share, replays=replays)
    assert set(tally.statuses) == {"completed", "diverged"}
