"""Messages that arrive together travel together, with the same meaning as one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from codemode import Codemode
from codemode.core._link.request import next_message
from codemode.protos import codemode_pb2 as pb
from codemode.values import decode, encode
from codemode.wire.protobuf import CHUNK_BYTES, unbatched
from tests.support.halves import Half
from tests.support.scripted_executor import DONE, scripted

CALLS = 20


def test_batch_is_as_large_as_a_message_may_be() -> None:
    chunk = pb.ClientMessage(chunk=pb.Chunk(data=bytes(CHUNK_BYTES)))
    small = pb.ClientMessage(tool_result=pb.ToolResult(run_id=1, call_id=1, value=b"x"))
    assert next_message(deque([small]), batches=True) == small
    outgoing = deque([small] * 1000 + [chunk] * 3)
    messages = []
    while outgoing:
        messages.append(next_message(outgoing, batches=True))
    assert sum(len(tuple(unbatched(message))) for message in messages) == 1003
    assert len(messages) < 20
    assert max(message.ByteSize() for message in messages) < 3 * CHUNK_BYTES


@pytest.mark.parametrize("features", [("batches",), (), ("something newer",)])
def test_answers_that_are_ready_together_travel_together_where_the_executor_accepts_batches(
    half: Half, features: tuple[str, ...]
) -> None:
    received: list[pb.ClientMessage] = []

    def script(requests: Iterator[pb.ClientMessage]) -> Iterator[Any]:
        calls = [
            pb.ExecutorMessage(
                tool_call=pb.ToolCall(
                    run_id=1, call_id=number, name="nap", arguments=encode({"number": number})
                )
            )
            for number in range(1, CALLS + 1)
        ]
        started = pb.ExecutorMessage(started=pb.Started(run_id=1, features=features))
        # The start and the calls in one message, as an executor sends them.
        yield pb.ExecutorMessage(batch=pb.ExecutorBatch(messages=[started, *calls]))
        while sum(len(tuple(unbatched(message))) for message in received) < CALLS:
            received.append(next(requests))
        yield pb.ExecutorMessage(batch=pb.ExecutorBatch())
        yield pb.ExecutorMessage(batch=pb.ExecutorBatch(messages=[DONE]))

    async def nap(number: int) -> int:
        await all_at_once.wait()
        return number * 10

    all_at_once = asyncio.Barrier(CALLS)

    with scripted(script) as (codemode, _):
        codemode.registry.register_tool("nap", nap)
        result = half.run(codemode, "1")
    assert result.value == 5
    assert [call.outcome for call in result.tool_calls] == ["completed"] * CALLS
    results = [one.tool_result for message in received for one in unbatched(message)]
    answers = {result.call_id: decode(result.value, max_bytes=100) for result in results}
    assert answers == {number: number * 10 for number in range(1, CALLS + 1)}
    assert (len(received) < CALLS) is ("batches" in features)
    assert all(one.WhichOneof("message") != "batch" for one in received) is (
        "batches" not in features
    )


def test_many_small_and_large_answers_at_once_arrive_whole(half: Half, codemode: Codemode) -> None:
    async def blob(size: int) -> bytes:
        await asyncio.sleep(0.05)
        return bytes([size % 251]) * size

    codemode.registry.register_tool("blob", blob)
    sizes = [number * 150_001 % 2_500_000 for number in range(24)]
    code = f"""
import asyncio
blobs = await asyncio.gather(*(blob(size=size) for size in {sizes}))
[len(one) for one in blobs] == {sizes} and all(set(one) <= {{len(one) % 251}} for one in blobs)
"""
    assert half.run(codemode, code).value is True
