"""A sandbox that sends frames without end does not keep the executor from others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from codemode.executor.pool.children import Child
from codemode.executor.pool.frame_allowance import Allowance
from codemode.wire.frames import PROGRESS, Frame, pack, pack_texts
from tests.support.puppets import (
    COMPLETED,
    MAX_VALUE,
    RUN,
    TAKEN,
    Puppet,
    call,
    serve,
)

FLOOD = 5_000
MIB = 1024 * 1024
TURN = 256

EMPTY_OUTPUT = pack(Frame.STDOUT, RUN, 0)
CANCEL_OF_NOTHING = pack(Frame.CANCEL_CALL, RUN, 999)
NOTE = pack(Frame.PROGRESS, RUN, 0, PROGRESS.pack(1, 2) + pack_texts("note"))


@pytest.fixture(autouse=True)
def nobody_pauses_afterwards() -> Iterator[None]:
    yield
    assert Allowance._pausing == 0


def watched(child: Child) -> list[int]:
    """Return a list that is filled with the numbers of frames handled without a pause."""
    turns: list[int] = []
    receive = child.frames.receive

    async def counted() -> list[object]:
        taken = await receive()
        turns.append(len(taken))
        return taken  # type: ignore[return-value]  # passed on unchanged

    child.frames.receive = counted  # type: ignore[method-assign, assignment]  # observes only
    return turns


@pytest.mark.parametrize(
    "frame, most", [(EMPTY_OUTPUT, TURN), (CANCEL_OF_NOTHING, TURN), (NOTE, 14)]
)
async def test_flood_is_taken_in_small_parts_and_to_its_end(
    puppet: Puppet, frame: bytes, most: int
) -> None:
    turns = watched(puppet.child)
    flood = FLOOD if most == TURN else 100
    hearer, survived = await serve(puppet, TAKEN + frame * flood + COMPLETED, hang_up=False)
    assert survived
    assert hearer.kinds[-1] == "completed"
    assert sum(turns) == flood + 2
    assert max(turns) <= most


async def test_the_maximum_of_calls_in_flight_does_not_pause(puppet: Puppet) -> None:
    turns = watched(puppet.child)
    data = TAKEN + b"".join(call(number) for number in range(1, 101))
    await serve(puppet, data + COMPLETED, hang_up=False)
    assert turns[0] == 102


async def test_no_frame_is_lost_of_a_flood_whose_socket_breaks() -> None:
    child = Child(1, MAX_VALUE)
    child.frames.data_received(EMPTY_OUTPUT * FLOOD + COMPLETED)
    assert len(await child.frames.receive()) == TURN
    child.frames.connection_lost(ConnectionResetError())
    rest = await child.frames.receive()
    assert len(rest) == FLOOD + 1 - TURN
    assert rest[-1].kind is Frame.COMPLETED
    assert await child.frames.receive() == []


async def test_closed_child_does_not_pause() -> None:
    child = Child(1, MAX_VALUE)
    child.frames.data_received(EMPTY_OUTPUT * FLOOD)
    assert Allowance._pausing == 1
    child.close()
    assert Allowance._pausing == 0


async def test_more_that_flood_each_pause_longer() -> None:
    children = [Child(number, MAX_VALUE) for number in range(1, 5)]
    now = asyncio.get_running_loop().time()
    for child in children:
        child.frames.data_received(EMPTY_OUTPUT * FLOOD)
    timers = [child.frames._pause for child in children]
    pauses = [timer.when() - now for timer in timers if timer is not None]
    for child in children:
        child.close()
    assert len(pauses) == 4
    assert pauses[0] < pauses[1] < pauses[2] < pauses[3]


def is_pausing_after(*chunks: bytes) -> bool:
    child = Child(1, 16 * MIB)
    for chunk in chunks:
        child.frames.data_received(chunk)
    pausing = child.frames._pause is not None
    child.close()
    return pausing


async def test_bytes_are_counted_on_arrival_and_not_only_with_their_frame() -> None:
    begun = pack(Frame.CALL, RUN, 1, pack_texts("ping"), b"x" * 15 * MIB)
    chunks = [begun[start : start + MIB // 4] for start in range(0, 12 * MIB, MIB // 4)]
    assert is_pausing_after(*chunks)
    assert not is_pausing_after(*chunks[:7])


async def test_a_value_of_a_megabyte_does_not_pause() -> None:
    assert not is_pausing_after(TAKEN, pack(Frame.COMPLETED, RUN, 0, b"x" * 1_000_000))


def test_a_sandbox_that_stops_short_of_a_pause_is_not_faster_than_one_that_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    allowance = Allowance()
    taken = {"frames": 0, "bytes": 0}
    for _ in range(1_000):
        now += 0.006
        allowance.begin()
        if allowance._frames > 1 and allowance._bytes > 1024:
            frames, size = int(allowance._frames) - 1, int(allowance._bytes) - 1024
            allowance.use_frames(frames)
            allowance.use_bytes(size)
            taken["frames"] += frames
            taken["bytes"] += size
        assert not allowance.is_used
    # A sandbox that pauses may send 256 frames and 512 KiB in each of these.
    assert taken["frames"] < 1_000 * 256 / 4
    assert taken["bytes"] < 1_000 * MIB / 2 / 4
