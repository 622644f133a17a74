"""The parts of a replay reach the sandbox whole, before its code, or the run is refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from codemode import Codemode, Recording
from codemode.executor.pool.children import Child
from codemode.executor.serving.server import ExecutorServer
from codemode.executor.streams import client_messages, execute_stream
from codemode.protos import codemode_pb2 as pb
from codemode.values import decode
from codemode.wire.frames import Frame, pack_texts
from codemode.wire.protobuf import split
from tests.support.processes import ExecutorProcess, becomes
from tests.support.puppets import COMPLETED, RUN, TAKEN, Puppet, puppet_child
from tests.support.raw_streams import RawStream, opening
from tests.support.serving import serving

REPLAY = os.urandom(600_000)


@pytest.fixture
async def channel(executor: ExecutorProcess) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(executor.url) as channel:
        yield channel


@pytest.fixture
async def served() -> AsyncIterator[tuple[Codemode, ExecutorServer]]:
    async with serving(max_concurrency=1) as both:
        yield both


def recorded(replay: bytes = b"", parts: int = 0, **fields: Any) -> pb.Open:
    """Return an opening with a recorded run, number ``RUN``."""
    message = opening(run=False, **fields)
    message.run.CopyFrom(pb.Run(run_id=RUN, code="1 + 1", replay=replay, replay_parts=parts))
    return message


def part(data: bytes, run_id: int = RUN) -> pb.ClientMessage:
    return pb.ClientMessage(replay_part=pb.ReplayPart(run_id=run_id, data=data))


def give(monkeypatch: pytest.MonkeyPatch, server: ExecutorServer, *puppets: Puppet) -> None:
    """Let the pool give out these children, one after the other."""
    children = iter([puppet.child for puppet in puppets])

    async def acquire() -> Child:
        return next(children)

    monkeypatch.setattr(server.pools["default"], "acquire", acquire)


async def send_replay(stream: RawStream, replay: bytes) -> None:
    *middle, last = *split(replay)[0][1:], split(replay)[1]
    parts = [part(data) for data in (*middle, last)]
    await stream.send(open=recorded(split(replay)[0][0], len(parts)))
    await stream.send(batch=pb.ClientBatch(messages=parts[:2]))
    for one in parts[2:]:
        await stream.call.write(one)


async def test_a_replay_of_several_parts_comes_whole_and_directly_before_the_code(
    served: tuple[Codemode, ExecutorServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, server = served
    async with (
        grpc.aio.insecure_channel(server.addresses[0]) as channel,
        puppet_child() as lost,
        puppet_child() as puppet,
    ):
        give(monkeypatch, server, lost, puppet)
        stream = RawStream(channel)
        await send_replay(stream, REPLAY)
        expected = [(Frame.REPLAY, REPLAY), (Frame.RUN, pack_texts("1 + 1"))]
        heard = await lost.hear(Frame.RUN)
        assert heard[0][0] is Frame.OPEN
        assert heard[1:] == expected
        lost.child.kill()
        assert (await puppet.hear(Frame.RUN))[1:] == expected
        await puppet.say(TAKEN + COMPLETED)
        started, completed = await stream.rest()
        assert started.started.run_id == RUN
        assert decode(completed.completed.value) == 5
    assert server.service is not None
    assert server.service.admission.arriving_bytes == 0


async def test_a_sandbox_answers_from_a_replay_of_several_parts(
    served: tuple[Codemode, ExecutorServer],
) -> None:
    codemode, _ = served
    given = []

    def fill(number: int) -> str:
        """Return text that a replay just carries."""
        given.append(number)
        return f"{number}" * 60_000

    codemode.registry.register_tool("fill", fill)
    recording = Recording()
    code = "''.join(fill(number)[:2] for number in range(5))"
    assert (await codemode.run_async(code, recording=recording)).value == "0011223344"
    again = await codemode.run_async(code, recording=recording.cut(after=4))
    assert again.value == "0011223344"
    assert given == [0, 1, 2, 3, 4, 4]
    assert again.usage.tool_calls == 1


async def test_a_plain_run_has_no_replay(
    served: tuple[Codemode, ExecutorServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, server = served
    async with (
        grpc.aio.insecure_channel(server.addresses[0]) as channel,
        puppet_child() as puppet,
    ):
        give(monkeypatch, server, puppet)
        stream = RawStream(channel)
        await stream.send(open=opening())
        assert [kind for kind, _ in await puppet.hear(Frame.RUN)] == [Frame.OPEN, Frame.RUN]


LIMITED = pb.Limits(max_value_bytes=1_000)


@pytest.mark.parametrize(
    "first, more, complaint",
    [
        (recorded(b"x", session=True), [], "run of a session cannot be recorded"),
        (recorded(b"x" * 1_001, limits=LIMITED), [], "1001 bytes is above max_value_bytes (1000)"),
        (
            recorded(b"x" * 600, 3, limits=LIMITED),
            [part(b"x" * 600)] * 3,
            "1200 bytes is above max_value_bytes (1000)",
        ),
        (recorded(b"x", 4_097), [part(b"x")] * 10, "4097 further parts; it may have 4096"),
        (recorded(b"x", 2), [part(b"x"), part(b"x", RUN + 1)], "part 2 of the 2 further parts"),
        (recorded(b"x", 2), [pb.ClientMessage()], "part 1 of the 2 further parts"),
        (recorded(b"x", 2), [part(b"x")], "part 2 of the 2 further parts"),
    ],
)
async def test_a_replay_that_cannot_be_run_is_refused(
    channel: grpc.aio.Channel, first: pb.Open, more: list[pb.ClientMessage], complaint: str
) -> None:
    stream = RawStream(channel)
    await stream.send(open=first)
    for message in more:
        await stream.call.write(message)
    await stream.call.done_writing()
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert complaint in details


async def test_parts_of_a_run_that_is_not_recorded_are_refused(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    first = opening()
    first.run.replay_parts = 1
    await stream.send(open=first)
    assert "run 1 has replay_parts, but not a replay" in (await stream.refusal())[1]
    stream = RawStream(channel)
    await stream.send(open=opening("import time\ntime.sleep(60)"))
    assert (await stream.read()).WhichOneof("message") == "started"
    await stream.call.write(part(b"x", 1))
    assert "no recorded run waits for it" in (await stream.refusal())[1]


async def test_a_later_run_of_a_session_is_not_recorded(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening(session=True))
    await stream.read()
    await stream.read()
    await stream.send(run=pb.Run(run_id=2, code="1", replay=b"x"))
    assert "run of a session cannot be recorded" in (await stream.refusal())[1]


async def test_a_replay_that_does_not_arrive_holds_no_sandbox_and_ends(
    served: tuple[Codemode, ExecutorServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    codemode, server = served
    assert server.service is not None
    admission = server.service.admission
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        stream = RawStream(channel)
        await stream.send(open=recorded(b"x", 2))
        await stream.call.write(part(b"x" * 100))
        assert await becomes(lambda: admission.arriving_bytes == 100)
        assert await codemode.execute_async("1") == "1"
        stream.call.cancel()
        assert await becomes(lambda: admission.arriving_bytes == 0)
        monkeypatch.setattr(execute_stream, "_OPENING_SECONDS", 0.2)
        stream = RawStream(channel)
        await stream.send(open=recorded(b"x", 2))
        code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "the 2 further parts of the replay of run 7 did not all come within 0.2 s" in details


async def test_replays_that_arrive_at_once_are_bounded(
    served: tuple[Codemode, ExecutorServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, server = served
    assert server.service is not None
    monkeypatch.setattr(server.service.admission, "max_queued_bytes", 1_000)
    monkeypatch.setattr(client_messages, "_PATIENCE_SECONDS", 0.1)
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        stream = RawStream(channel)
        await stream.send(open=recorded(b"x", 3))
        for _ in range(2):
            await stream.call.write(part(b"x" * 501))
        code, details = await stream.refusal()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "max_queued_bytes is 1000" in details


async def test_a_client_that_still_sends_learns_the_reason(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(open=recorded(b"x", 100, limits=LIMITED))

    async def send() -> None:
        for _ in range(100):
            await stream.call.write(part(bytes(128 * 1024)))
        await stream.call.done_writing()

    sending = asyncio.create_task(send())
    assert "above max_value_bytes" in (await stream.refusal())[1]
    await sending
