"""What the sandbox of a recorded run sends arrives as it should, or ends the run."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from codemode import Limits
from codemode.executor.streams import step_count
from codemode.protos import codemode_pb2 as pb
from codemode.wire.frames import LENGTH, Frame, pack, pack_texts
from tests.support.puppets import (
    COMPLETED,
    RUN,
    TAKEN,
    Hearer,
    Puppet,
    call,
    diverged,
    recorded_call,
    serve,
    steps,
)

STEPS_BYTES = 64 * 1024


async def record(
    puppet: Puppet, *frames: bytes, limits: Limits | None = None, hang_up: bool = False
) -> Hearer:
    """Serve a recorded run whose sandbox takes the code and sends these frames."""
    data = TAKEN + b"".join(frames)
    hearer, survived = await serve(
        puppet, data, limits=limits, hang_up=hang_up, session=False, replay=b"\xa0"
    )
    assert survived is False
    return hearer


async def test_calls_and_steps_arrive_in_their_order(puppet: Puppet) -> None:
    text = pack(Frame.STDOUT, RUN, 0, b"text")
    first = recorded_call(1, label="0.T1:2-a_B", steps="0:1@5\n0:2@6\n")
    hearer = await record(puppet, first, steps(b"0:3@7\n"), text, recorded_call(2), COMPLETED)
    assert hearer.kinds == ["started", "tool_call", "steps", "output", "tool_call", "completed"]
    started, called, stepped, _, plain, _ = hearer.messages
    version = sys.version_info
    assert started.started.python_version == f"{version.major}.{version.minor}"
    assert called.tool_call == pb.ToolCall(
        run_id=RUN,
        call_id=1,
        name="ping",
        arguments=b"\xa0",
        label="0.T1:2-a_B",
        steps=b"0:1@5\n0:2@6\n",
    )
    assert stepped.steps == pb.Steps(run_id=RUN, data=b"0:3@7\n")
    assert plain.tool_call.steps == b""


async def test_the_largest_call_fits_with_the_most_steps(puppet: Puppet) -> None:
    puppet.child.frames.max_frame_bytes = 400_000
    arguments = os.urandom(400_000)
    longest = "x" * (STEPS_BYTES - 1) + "\n"
    name, label = "n" * 4_000, "l" * 200
    called = recorded_call(1, name=name, label=label, steps=longest, arguments=arguments)
    hearer = await record(puppet, called, steps(longest.encode()), COMPLETED)
    *chunks, whole, stepped, _ = hearer.messages[1:]
    assert len(chunks) == 3
    assert b"".join(one.chunk.data for one in chunks) + whole.tool_call.arguments == arguments
    assert (whole.tool_call.label, whole.tool_call.name) == (label, name)
    assert whole.tool_call.steps.decode() == stepped.steps.data.decode() == longest


@pytest.mark.parametrize(
    "frame, message, arguments",
    [
        (
            diverged("call", expected="0.1:2"),
            "called orders.get (0.1:2) where the record has another call",
            b"\xa0",
        ),
        (
            diverged("new_call", expected="0:7", arguments=b"x" * STEPS_BYTES),
            "which the record does not have, before the recorded call 0:7 has come again; replay",
            b"x" * STEPS_BYTES,
        ),
        (
            diverged("missing", expected="0:7", arguments=b""),
            "ended, or waits for ever, before the recorded call 0:7 has come again; replay",
            b"",
        ),
        (diverged("missing", line="x", arguments=b""), "ended, or waits for ever; replay", b""),
        (diverged("beyond", arguments=b""), "goes on where the record has ended; replay", b""),
    ],
)
async def test_a_divergence_ends_the_run_in_words(
    puppet: Puppet, frame: bytes, message: str, arguments: bytes
) -> None:
    hint = pack(Frame.HINT, RUN, 0, b"await it")
    hearer = await record(puppet, hint, frame, COMPLETED)
    assert hearer.kinds == ["started", "failed"]
    failed = hearer.messages[-1].failed
    assert (failed.status, failed.type) == ("diverged", "Divergence")
    assert message in failed.message
    assert failed.divergence.arguments == arguments
    assert list(failed.hints) == ["await it"]
    if failed.divergence.reason in ("missing", "beyond"):
        assert (failed.divergence.label, failed.divergence.name) == ("", "")
    else:
        assert (failed.divergence.label, failed.divergence.name) == ("0.1:2", "orders.get")
        assert failed.line == 3


@pytest.mark.parametrize(
    "data, complaint",
    [
        (call(1), "a CALL frame during a recorded run"),
        (recorded_call(1) * 2, "second call 1"),
        (recorded_call(1, name="x" * 4_001), "a text of 4001 bytes"),
        (recorded_call(1, label=""), "label is malformed"),
        (recorded_call(1, label="x" * 201), "label is malformed"),
        (recorded_call(1, label="0:1\n"), "label is malformed"),
        (recorded_call(1, label="0:\u0661"), "label is malformed"),
        (recorded_call(1, steps="0:1@5"), "not lines of ASCII"),
        (recorded_call(1, steps="é\n"), "not lines of ASCII"),
        (recorded_call(1, steps="x" * STEPS_BYTES + "\n"), f"a text of {STEPS_BYTES + 1} bytes"),
        (recorded_call(1, arguments=bytes(240_000)), "RECORDED_CALL frame of 2400"),
        (pack(Frame.RECORDED_CALL, RUN, 1, pack_texts("ping", "0:1")), "a text is missing"),
        (
            pack(Frame.RECORDED_CALL, RUN, 1, pack_texts("ping", "0:1"), LENGTH.pack(9) + b"x"),
            "a text of 9 bytes is cut short",
        ),
        (steps(b""), "without steps"),
        (steps(b"0:1@5"), "not lines of ASCII"),
        (steps(b"\xff\n"), "not lines of ASCII"),
        (steps(b"x" * STEPS_BYTES + b"\n"), f"STEPS frame of {STEPS_BYTES + 10} bytes"),
        (diverged("output"), "unknown reason"),
        (diverged(expected="0 1"), "label is malformed"),
        (diverged(arguments=bytes(STEPS_BYTES + 1)), f"with {STEPS_BYTES + 1} bytes of arguments"),
        (diverged(arguments=bytes(2 * STEPS_BYTES)), "DIVERGED frame of 131"),
        (pack(Frame.DIVERGED, RUN, 0, pack_texts("call", "", "x")), "a text is missing"),
        (pack(Frame.DIVERGED, RUN, 0, LENGTH.pack(4_001) + b"x" * 4_001), "a text of 4001 bytes"),
    ],
)
async def test_a_broken_record_is_named(puppet: Puppet, data: bytes, complaint: str) -> None:
    hearer = await record(puppet, data, COMPLETED)
    failed = hearer.messages[-1].failed
    assert (failed.status, failed.type) == ("crashed", "ProtocolError")
    assert complaint in failed.message


@pytest.mark.parametrize("data", [recorded_call(1), steps(), diverged()])
async def test_a_plain_run_sends_no_record(puppet: Puppet, data: bytes) -> None:
    hearer, survived = await serve(puppet, TAKEN + data + COMPLETED, hang_up=False)
    assert survived is False
    assert hearer.kinds == ["started", "failed"]
    failed = hearer.messages[-1].failed
    assert (failed.status, failed.type) == ("crashed", "ProtocolError")
    assert failed.message.endswith("frame during a run")


@pytest.mark.parametrize("frame", [recorded_call(1), steps(), diverged()])
async def test_no_record_comes_before_the_code_is_taken(puppet: Puppet, frame: bytes) -> None:
    hearer, _ = await serve(puppet, frame + TAKEN, hang_up=False, replay=b"\xa0")
    assert hearer.kinds == ["failed"]
    assert "before TAKEN" in hearer.messages[0].failed.message


async def test_steps_of_all_frames_together_are_limited(puppet: Puppet) -> None:
    piece = "x" * 399 + "\n"
    frames = [recorded_call(1, steps=piece), steps(piece.encode()), steps(piece.encode())]
    hearer = await record(puppet, *frames, COMPLETED, limits=Limits(max_value_bytes=1_199))
    assert hearer.kinds == ["started", "tool_call", "steps", "failed"]
    failed = hearer.messages[-1].failed
    assert (failed.status, failed.type) == ("limit", "RecordLimit")
    assert "steps of more than max_value_bytes=1199" in failed.message


async def test_pieces_of_steps_are_limited_in_number(
    puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_count, "_MOST_PIECES", 2)
    limits = Limits(max_tool_calls=1)
    frames = [recorded_call(1, steps="x\n"), *[steps(b"x\n")] * 3]
    hearer = await record(puppet, *frames, COMPLETED, limits=limits)
    assert hearer.kinds == ["started", "tool_call", "steps", "steps", "failed"]
    failed = hearer.messages[-1].failed
    assert (failed.status, failed.type) == ("limit", "RecordLimit")
    assert "more than 3 pieces" in failed.message


async def test_what_was_printed_before_a_stop_comes_with_its_steps(puppet: Puppet) -> None:
    late = pack(Frame.STDOUT, RUN, 0, b"late")
    frames = [recorded_call(1), recorded_call(2, steps="a\n"), recorded_call(3, steps="b\n")]
    limits = Limits(max_tool_calls=1)
    hearer = await record(
        puppet, *frames, steps(b"c\n"), diverged(), late, limits=limits, hang_up=True
    )
    assert hearer.kinds == ["started", "tool_call", *["steps"] * 3, "output", "failed"]
    assert [one.steps.data for one in hearer.messages[2:5]] == [b"a\n", b"b\n", b"c\n"]
    assert hearer.messages[-1].failed.type == "ToolCallLimit"


async def test_recorded_calls_wait_for_room(puppet: Puppet) -> None:
    frames = [recorded_call(number) for number in range(1, 50)]
    data, limits = TAKEN + b"".join(frames), Limits(max_tool_calls_in_flight=5)
    options: dict[str, Any] = {"limits": limits, "hang_up": False, "timeout": 2}
    hearer, _ = await serve(puppet, data, replay=b"", **options)
    assert hearer.kinds == ["started", *["tool_call"] * 5, "failed"]
    assert hearer.messages[-1].failed.status == "timeout"


async def test_recorded_lookups_are_no_tool_calls(puppet: Puppet) -> None:
    names = ("tools.search", "tools.describe", "ping")
    frames = [recorded_call(number, name=name) for number, name in enumerate(names)]
    hearer = await record(puppet, *frames, COMPLETED, limits=Limits(max_tool_calls=1))
    assert hearer.kinds == ["started", *["tool_call"] * 3, "completed"]
    assert hearer.messages[-1].completed.usage.tool_calls == 1
