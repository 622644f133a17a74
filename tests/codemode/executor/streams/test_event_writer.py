"""Events that are ready together are sent to the client in one message."""

from __future__ import annotations

from typing import Any

from codemode.executor.streams.event_writer import EventWriter
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import CHUNK_BYTES, unbatched


class Writes:
    """A client that keeps each write."""

    def __init__(self) -> None:
        self.messages: list[pb.ExecutorMessage] = []

    async def read(self) -> Any:
        raise AssertionError("events only go out")

    async def write(self, message: pb.ExecutorMessage) -> None:
        self.messages.append(message)

    async def abort(self, *arguments: Any) -> None:
        raise AssertionError(f"aborted with {arguments}")

    @property
    def events(self) -> list[pb.ExecutorMessage]:
        return [one for message in self.messages for one in unbatched(message)]


def events(count: int) -> list[pb.ExecutorMessage]:
    return [
        pb.ExecutorMessage(output=pb.Output(run_id=1, text=str(number))) for number in range(count)
    ]


async def test_flush_sends_the_written_events_as_one_message() -> None:
    client = Writes()
    writer = EventWriter(client, batches=True)
    for event in events(10):
        await writer.send(event)
    assert client.messages == []
    await writer.flush()
    await writer.flush()
    assert len(client.messages) == 1
    assert client.events == events(10)


async def test_lone_event_is_not_a_batch() -> None:
    client = Writes()
    writer = EventWriter(client, batches=True)
    await writer.send(events(1)[0])
    await writer.flush()
    assert client.messages == events(1)


async def test_client_that_does_not_accept_batches_gets_none() -> None:
    client = Writes()
    writer = EventWriter(client, batches=False)
    for event in events(10):
        await writer.send(event)
    assert client.messages == events(10)


async def test_the_buffer_is_bounded() -> None:
    client = Writes()
    writer = EventWriter(client, batches=True)
    for event in events(1_000):
        await writer.send(event)
    assert len(client.events) > 800
    await writer.flush()
    assert client.events == events(1_000)


async def test_chunks_of_a_large_value_are_sent_at_once() -> None:
    client = Writes()
    writer = EventWriter(client, batches=True)
    await writer.send(events(1)[0])
    rest = await writer.send_chunks(b"x" * (3 * CHUNK_BYTES + 5))
    assert len(rest) == 5
    assert [one.WhichOneof("message") for one in client.events] == ["output", *["chunk"] * 3]
    assert max(message.ByteSize() for message in client.messages) < 2 * CHUNK_BYTES
