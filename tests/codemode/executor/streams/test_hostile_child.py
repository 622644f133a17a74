"""Whatever bytes a child sends, they affect its own run and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codemode import Limits
from codemode.executor.pool import frame_allowance as pace
from codemode.executor.pool.children import Child
from codemode.executor.streams.execute_stream import _refuse_leftovers
from codemode.wire.frames import LENGTH, PROGRESS, Frame, pack, pack_texts
from tests.support.puppets import (
    COMPLETED,
    MAX_VALUE,
    RUN,
    TAKEN,
    Puppet,
    artifact,
    call,
    puppet_child,
    serve,
)


def holders_of(inode: int) -> int:
    """Return how many descriptors of this process refer to that file."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += descriptor.stat().st_ino == inode
    return found


def frame(kind: int, run: int, number: int, body: bytes = b"") -> bytes:
    return struct.pack("!IBII", 9 + len(body), kind, run, number) + body


@pytest.mark.parametrize(
    "data, complaint",
    [
        (frame(0, RUN, 0), "unknown kind 0"),
        (frame(255, RUN, 0), "unknown kind 255"),
        (frame(Frame.OPEN, RUN, 0), "unknown kind 1"),
        (frame(Frame.TOOL_VALUE, RUN, 0), "unknown kind 3"),
        (struct.pack("!IBII", 2**32 - 1, Frame.STDOUT, RUN, 0), "STDOUT frame of 4294967295"),
        (struct.pack("!IBII", 0, Frame.STDOUT, RUN, 0), "STDOUT frame of 0 bytes"),
        (struct.pack("!IBII", 8, Frame.STDOUT, RUN, 0), "STDOUT frame of 8 bytes"),
        (frame(Frame.STDOUT, RUN, 0, b"x" * (64 * 1024 + 1)), "STDOUT frame of 65546 bytes"),
        (frame(Frame.STDERR, RUN, 0, b"x" * (64 * 1024 + 1)), "STDERR frame of 65546 bytes"),
        (frame(Frame.PROGRESS, RUN, 0, b"x" * (8 * 1024 + 1)), "PROGRESS frame of 8202 bytes"),
        (frame(Frame.HINT, RUN, 0, b"x" * 4_001), "HINT frame of 4010 bytes"),
        (frame(Frame.FAILED, RUN, 0, b"x" * (256 * 1024 + 1)), "FAILED frame of 262154 bytes"),
        (frame(Frame.CANCEL_CALL, RUN, 1, b"x"), "CANCEL_CALL frame of 10 bytes"),
        (artifact("a", bytes(200_000)), "ARTIFACT frame of 200014 bytes"),
        (artifact("a", run=RUN + 1), f"ARTIFACT frame of run {RUN + 1}"),
        (artifact("x" * 4_001), "a text of 4001 bytes"),
        (pack(Frame.ARTIFACT, RUN, 0, b""), "a text is missing"),
        (frame(Frame.TAKEN, RUN, 0, b"x"), "TAKEN frame of 10 bytes"),
        (pack(Frame.READY, 0, 0) * 2, "second READY"),
        (TAKEN, "second TAKEN"),
        (pack(Frame.COMPLETED, RUN + 1, 0, b"\x05"), f"COMPLETED frame of run {RUN + 1}"),
        (pack(Frame.PROGRESS, 0, 0, b""), "PROGRESS frame of run 0"),
        (call(1, run=0), "CALL frame of run 0"),
        (pack(Frame.CALL, RUN, 1, LENGTH.pack(4_001) + b"\xff" * 4_001), "a text of 4001 bytes"),
        (call(1, run=RUN + 1), f"CALL frame of run {RUN + 1}"),
        (pack(Frame.CALL, RUN, 1, b"\x00"), "a text is missing"),
        (pack(Frame.CALL, RUN, 1, LENGTH.pack(100) + b"x"), "cut short"),
        (call(1) * 2, "second call 1"),
        (pack(Frame.PROGRESS, RUN, 0, b"\x00"), "cut short"),
        (pack(Frame.PROGRESS, RUN, 0, PROGRESS.pack(1, 2)), "a text is missing"),
        (pack(Frame.FAILED, RUN, 0, b""), "a text is missing"),
        (pack(Frame.FAILED, RUN, 0, LENGTH.pack(2**31)), "cut short"),
    ],
)
async def test_broken_protocol_is_named(puppet: Puppet, data: bytes, complaint: str) -> None:
    hearer, survived = await serve(puppet, TAKEN + data + COMPLETED, hang_up=False)
    assert survived is False
    assert hearer.kinds[0] == "started"
    failed = hearer.messages[-1].failed
    assert (failed.status, failed.type) == ("crashed", "ProtocolError")
    assert complaint in failed.message
    assert "completed" not in hearer.kinds


@pytest.mark.parametrize("data", [artifact("a"), call(1), COMPLETED, pack(Frame.FAILED, RUN, 0)])
async def test_nothing_counts_before_the_code_is_taken(puppet: Puppet, data: bytes) -> None:
    hearer, survived = await serve(puppet, data + TAKEN + COMPLETED, hang_up=False)
    assert survived is False
    assert hearer.kinds == ["failed"]
    assert "before TAKEN" in hearer.messages[0].failed.message


@pytest.mark.parametrize("data", [b"", b"\x00", TAKEN[:7]])
async def test_child_lost_before_it_took_the_code_may_be_replaced(
    puppet: Puppet, data: bytes
) -> None:
    hearer, survived = await serve(puppet, data)
    assert survived is None
    assert hearer.messages == []


@pytest.mark.parametrize("cut", range(1, len(COMPLETED), 3))
async def test_half_a_frame_is_not_a_frame(puppet: Puppet, cut: int) -> None:
    hearer, survived = await serve(puppet, TAKEN + COMPLETED[:cut])
    assert survived is False
    assert hearer.kinds == ["started", "failed"]
    assert hearer.messages[-1].failed.status == "crashed"


async def test_frames_may_come_byte_by_byte(puppet: Puppet) -> None:
    serving = asyncio.create_task(serve(puppet, b"", hang_up=False))
    for byte in TAKEN + call(1) + COMPLETED:
        await puppet.say(bytes([byte]))
        await asyncio.sleep(0)
    hearer, survived = await serving
    assert survived
    assert hearer.kinds == ["started", "tool_call", "completed"]


async def test_frame_that_never_ends_ends_with_the_time_of_its_run(puppet: Puppet) -> None:
    endless = LENGTH.pack(MAX_VALUE) + pack(Frame.COMPLETED, RUN, 0)[LENGTH.size :]

    async def drip() -> None:
        await puppet.say(TAKEN + endless)
        while True:
            await puppet.say(b"x")
            await asyncio.sleep(0.01)

    dripping = asyncio.create_task(drip())
    try:
        hearer, survived = await serve(puppet, b"", hang_up=False, timeout=2)
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
    assert survived is False
    assert hearer.kinds == ["started", "failed"]
    assert hearer.messages[-1].failed.status == "timeout"


async def test_descriptors_sent_along_are_dropped(puppet: Puppet) -> None:
    with tempfile.TemporaryFile() as file:
        inode = os.fstat(file.fileno()).st_ino
        before = holders_of(inode)
        for data in (TAKEN, call(1), COMPLETED):
            socket.send_fds(puppet.socket, [data], [file.fileno()] * 50)
        hearer, survived = await serve(puppet, b"", hang_up=False)
        assert survived
        assert hearer.kinds == ["started", "tool_call", "completed"]
        assert holders_of(inode) == before


async def test_calls_beyond_those_in_flight_are_not_read(puppet: Puppet) -> None:
    data = TAKEN + b"".join(call(number) for number in range(1, 50))
    limits = Limits(max_tool_calls_in_flight=5)
    hearer, survived = await serve(puppet, data, limits=limits, hang_up=False, timeout=2)
    assert hearer.kinds == ["started", *["tool_call"] * 5, "failed"]
    assert hearer.messages[-1].failed.status == "timeout"
    assert survived is False


async def test_calls_beyond_the_budget_end_the_run(puppet: Puppet) -> None:
    data = TAKEN + b"".join(call(number) for number in range(1, 50))
    hearer, _ = await serve(puppet, data, limits=Limits(max_tool_calls=3), hang_up=False)
    assert hearer.kinds == ["started", "tool_call", "tool_call", "tool_call", "failed"]
    assert hearer.messages[-1].failed.type == "ToolCallLimit"


async def test_artifacts_beyond_their_number_end_the_run(puppet: Puppet) -> None:
    data = TAKEN + artifact("../../a\0") * 10_000 + COMPLETED
    hearer, survived = await serve(puppet, data, limits=Limits(max_artifacts=3), hang_up=False)
    assert survived is False
    assert hearer.kinds == ["started", "artifact", "artifact", "artifact", "failed"]
    failed = hearer.messages[-1].failed
    assert (failed.status, failed.type) == ("limit", "ArtifactLimit")
    assert "max_artifacts=3" in failed.message


async def test_artifacts_beyond_their_bytes_end_the_run(puppet: Puppet) -> None:
    data = TAKEN + artifact("a", bytes(600)) * 3 + COMPLETED
    limits = Limits(max_artifact_bytes=1_500)
    hearer, survived = await serve(puppet, data, limits=limits, hang_up=False)
    assert survived is False
    assert hearer.kinds == ["started", "artifact", "artifact", "failed"]
    failed = hearer.messages[-1].failed
    assert (failed.status, failed.type) == ("limit", "ArtifactLimit")
    assert "max_artifact_bytes=1500" in failed.message


async def test_artifacts_given_before_the_end_survive_it(puppet: Puppet) -> None:
    data = TAKEN + pack(Frame.STDOUT, RUN, 0, b"x" * 11) + artifact("a") + COMPLETED
    hearer, _ = await serve(puppet, data, limits=Limits(max_output_bytes=10))
    assert hearer.kinds == ["started", "output", "artifact", "failed"]
    assert hearer.messages[-1].failed.type == "OutputLimit"


async def test_large_artifacts_come_in_messages_that_a_client_accepts(puppet: Puppet) -> None:
    puppet.child.frames.max_artifact_bytes = 8_000_000
    data = os.urandom(6_000_000)
    hearer, survived = await serve(puppet, TAKEN + artifact("a", data) + call(1) + COMPLETED)
    assert survived
    *parts, last, called, _ = hearer.messages[1:]
    assert last.artifact.name == "a"
    assert b"".join(part.chunk.data for part in parts) + last.artifact.data == data
    assert called.WhichOneof("message") == "tool_call"


async def test_calls_of_earlier_runs_have_a_budget(puppet: Puppet) -> None:
    data = TAKEN + call(1, run=RUN - 1) * 3 + COMPLETED
    hearer, survived = await serve(puppet, data, limits=Limits(max_tool_calls=3), hang_up=False)
    assert survived
    data = TAKEN + call(1, run=RUN - 1) + COMPLETED
    hearer, survived = await serve(puppet, data, limits=Limits(max_tool_calls=3), hang_up=False)
    assert survived is False
    failed = hearer.messages[-1].failed
    assert (failed.status, failed.type) == ("limit", "ToolCallLimit")
    assert "of runs that are over" in failed.message


async def test_calls_between_two_runs_have_a_budget() -> None:
    child = Child(1, MAX_VALUE)
    limits = Limits(max_tool_calls=3)
    refusing = asyncio.create_task(_refuse_leftovers(child, limits))
    child.frames.data_received(call(1) * 3)
    await asyncio.sleep(0.05)
    assert not refusing.done()
    child.frames.data_received(call(1))
    await asyncio.wait_for(refusing, 60)
    child.close()


async def test_raw_output_without_end_is_read_in_parts(
    puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_PAUSE_SECONDS", 1_000)
    os.set_blocking(puppet.raw_write, False)

    def fill() -> int:
        """Write until the pipe is full; return how many bytes it took."""
        written = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                written += os.write(puppet.raw_write, b"x" * 4096)
        return written

    held = fill()
    async with asyncio.timeout(60):
        while not fill():
            await asyncio.sleep(0.001)
    for _ in range(100):
        await asyncio.sleep(0)
        assert fill() == 0
    assert puppet.child._raw_output is not None
    os.read(puppet.child._raw_output._fd, held)
    os.write(puppet.raw_write, b"the end")
    assert puppet.child.raw_output().endswith("the end")


async def test_cancel_of_a_call_that_was_never_made_is_ignored(puppet: Puppet) -> None:
    data = TAKEN + pack(Frame.CANCEL_CALL, RUN, 99) + COMPLETED
    hearer, survived = await serve(puppet, data)
    assert survived is True
    assert hearer.kinds == ["started", "completed"]


async def test_what_follows_the_result_is_not_heard(puppet: Puppet) -> None:
    hearer, _ = await serve(puppet, TAKEN + COMPLETED + call(1) + COMPLETED)
    assert hearer.kinds == ["started", "completed"]


async def test_broken_text_is_replaced_where_necessary(puppet: Puppet) -> None:
    failed = LENGTH.pack(2) + b"\xff\xfe" + pack_texts("m", "-1", "t")
    data = TAKEN + pack(Frame.STDOUT, RUN, 0, b"a\xffb") + pack(Frame.FAILED, RUN, 0, failed)
    hearer, _ = await serve(puppet, data)
    assert hearer.messages[1].output.text == "a\N{REPLACEMENT CHARACTER}b"
    assert hearer.messages[2].failed.line == 0


async def test_hints_are_few_and_short(puppet: Puppet) -> None:
    hints = pack(Frame.HINT, RUN, 0, b"\xff" * 2_000) * 1_000
    hearer, _ = await serve(puppet, TAKEN + hints + COMPLETED)
    kept = hearer.messages[-1].completed.hints
    assert list(kept) == ["\N{REPLACEMENT CHARACTER}" * 1_000] * 20


@pytest.mark.parametrize(
    "end", [pack(Frame.FAILED, RUN, 0, pack_texts("E", "m", "1", "t")), b""], ids=["fails", "dies"]
)
async def test_hints_come_with_a_run_that_does_not_complete(puppet: Puppet, end: bytes) -> None:
    hearer, _ = await serve(puppet, TAKEN + pack(Frame.HINT, RUN, 0, b"await it") + end)
    assert list(hearer.messages[-1].failed.hints) == ["await it"]


async def test_output_is_sent_in_messages_that_a_client_accepts(puppet: Puppet) -> None:
    text = "€" * 1_500_000
    part = pack(Frame.STDOUT, RUN, 0, text[:20_000].encode())
    data = TAKEN + part * (len(text) // 20_000) + COMPLETED
    hearer, survived = await serve(puppet, data, limits=Limits(max_output_bytes=16_000_000))
    assert survived
    assert "".join(message.output.text for message in hearer.messages) == text


async def test_failure_cannot_pretend_to_be_another_status(puppet: Puppet) -> None:
    failed = pack_texts("Timeout", "m", "9" * 5000, "t")
    hearer, _ = await serve(puppet, TAKEN + pack(Frame.FAILED, RUN, 0, failed))
    assert hearer.messages[-1].failed.status == "failed"


@pytest.mark.parametrize(
    "kind, body",
    [
        (Frame.FAILED, lambda text: pack_texts(text, text, "1", text)),
        (Frame.PROGRESS, lambda text: PROGRESS.pack(1, 2) + pack_texts(text)),
        (Frame.CALL, lambda text: pack_texts(text) + b"\xa0"),
        (Frame.ARTIFACT, lambda text: pack_texts(text) + b"data"),
    ],
)
async def test_long_texts_fit_into_a_message(puppet: Puppet, kind: Frame, body: Any) -> None:
    puppet.child.frames.max_frame_bytes = 64 * 1024 * 1024
    puppet.child.frames.max_artifact_bytes = 64 * 1024 * 1024
    data = TAKEN + pack(kind, RUN, 1, body("x" * 5_000_000)) + COMPLETED
    hearer, _ = await serve(puppet, data, hang_up=False)
    assert hearer.kinds[-1] in ("completed", "failed")


FRAMES = st.builds(
    pack,
    st.sampled_from(list(Frame)),
    st.sampled_from([0, RUN - 1, RUN, RUN + 1, 2**32 - 1]),
    st.sampled_from([0, 1, 2, 2**32 - 1]),
    st.one_of(
        st.binary(max_size=40),
        st.builds(pack_texts, st.text(max_size=5)),
        st.just(PROGRESS.pack(1, 2) + pack_texts("note")),
        st.just(pack_texts("E", "m", "1", "t")),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(FRAMES, max_size=8),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=3),
    taken=st.booleans(),
)
def test_no_bytes_confuse_the_executor(
    frames: list[bytes], flips: list[tuple[int, int]], taken: bool
) -> None:
    data = bytearray((TAKEN if taken else b"") + b"".join(frames))
    for place, mask in flips:
        if place < len(data):
            data[place] ^= mask

    async def run() -> None:
        async with puppet_child() as puppet:
            limits = Limits(max_tool_calls_in_flight=1000)
            hearer, survived = await serve(puppet, bytes(data), limits=limits)
            ends = [kind for kind in hearer.kinds if kind in ("completed", "failed")]
            assert len(ends) == (0 if survived is None else 1)
            assert not ends or hearer.kinds[-1] == ends[0]
            if set(hearer.kinds) & {"artifact", "tool_call", "completed"}:
                assert hearer.kinds.index("started") <= 1

    asyncio.run(run())
