"""The frames of a sandbox as messages for the client.

Every byte is hostile: each function raises FrameError for a body that is
malformed for its kind.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from codemode.executor.pool.frame_stream import ReceivedFrame
from codemode.executor.streams.endings import status_of_failure
from codemode.protos import codemode_pb2 as pb
from codemode.values.shortening import cut
from codemode.wire.constants import LABEL, MAX_HINT_CHARACTERS, MAX_STEPS_BYTES
from codemode.wire.frames import PROGRESS, Frame, FrameError, unpack_bytes, unpack_texts
from codemode.wire.protobuf import CHUNK_BYTES

__all__ = [
    "GuestCall",
    "artifact_of",
    "call_of",
    "diverged_of",
    "failed_of",
    "hint_of",
    "output_of",
    "progress_of",
    "recorded_call_of",
    "steps_of",
]

# A child's texts must fit into one gRPC message, and nothing else limits them.
_NAME_CHARACTERS = 1_000
_NAME_BYTES = 4_000
_TEXT_CHARACTERS = 64_000
_OUTPUT_CHARACTERS = CHUNK_BYTES // 4  # a character has at most four bytes

_is_label = re.compile(LABEL).fullmatch
_DIVERGENCES = {
    "call": "called {came} where the record has another call, by its tool or by its arguments",
    "new_call": "called {came}, which the record does not have{before}",
    "missing": "ended, or waits for ever{before}",
    "beyond": "goes on where the record has ended",
}
_REMEDY = "replay with the code, the inputs and the Python of the record, or record a new run"

_STREAMS = {Frame.STDOUT: pb.Output.STREAM_STDOUT, Frame.STDERR: pb.Output.STREAM_STDERR}


def output_of(kind: Frame, data: bytes, run_id: int) -> Iterator[pb.ExecutorMessage]:
    """Yield what was printed, as texts that each fit into one message."""
    text = data.decode("utf-8", "replace")
    for start in range(0, len(text), _OUTPUT_CHARACTERS):
        part = text[start : start + _OUTPUT_CHARACTERS]
        yield pb.ExecutorMessage(output=pb.Output(run_id=run_id, stream=_STREAMS[kind], text=part))


class GuestCall(NamedTuple):
    """A call: a tool's name and its encoded arguments; in a recorded run its label and steps."""

    name: str
    arguments: bytes
    label: str = ""
    steps: bytes = b""


def call_of(frame: ReceivedFrame) -> GuestCall:
    """Return the call of a run that is not recorded."""
    # The name is bounded before it is decoded: bytes that are not text take long to decode.
    (name,), arguments = unpack_texts(frame.body, 1, most_bytes=_NAME_BYTES)
    return GuestCall(name, bytes(arguments))


def recorded_call_of(frame: ReceivedFrame) -> GuestCall:
    """Return the call of a recorded run."""
    (name, label), rest = unpack_texts(frame.body, 2, most_bytes=_NAME_BYTES)
    steps, arguments = unpack_bytes(rest, most_bytes=MAX_STEPS_BYTES)
    if not _is_label(label):
        raise FrameError("a call whose label is malformed")
    return GuestCall(name, bytes(arguments), label, _checked_steps(bytes(steps)))


def steps_of(frame: ReceivedFrame) -> bytes:
    """Return a piece of a recorded run's steps."""
    if not frame.body:
        raise FrameError("a STEPS frame without steps")
    return _checked_steps(frame.body)


def _checked_steps(steps: bytes) -> bytes:
    if steps and not (steps.isascii() and steps.endswith(b"\n")):
        raise FrameError("steps that are not lines of ASCII")
    return steps


def artifact_of(frame: ReceivedFrame) -> tuple[str, bytes]:
    """Return the name of a file, as the code wrote it, and the file's bytes."""
    (name,), data = unpack_texts(frame.body, 1, most_bytes=_NAME_BYTES)
    return name, bytes(data)


def progress_of(frame: ReceivedFrame) -> pb.ExecutorMessage:
    """Return the progress that the code reports."""
    if len(frame.body) < PROGRESS.size:
        raise FrameError("a PROGRESS frame that is cut short")
    done, total = PROGRESS.unpack_from(frame.body)
    (note,), _ = unpack_texts(memoryview(frame.body)[PROGRESS.size :], 1)
    # Only code that writes frames itself sends a number that is not finite. The number is passed
    # on: a terminal shows it as it is, and JSON has null for it.
    message = pb.Progress(run_id=frame.run, done=done, note=cut(note, _NAME_CHARACTERS))
    if not math.isnan(total):
        message.total = total
    return pb.ExecutorMessage(progress=message)


def hint_of(frame: ReceivedFrame) -> str:
    """Return a hint for the model."""
    return frame.body.decode("utf-8", "replace")[:MAX_HINT_CHARACTERS]


def failed_of(frame: ReceivedFrame, usage: pb.Usage, hints: list[str]) -> pb.ExecutorMessage:
    """Return the failure that the guest reports."""
    (kind, message, line, traceback), _ = unpack_texts(frame.body, 4)
    return pb.ExecutorMessage(
        failed=pb.Failed(
            run_id=frame.run,
            status=status_of_failure(kind),
            type=cut(kind, _NAME_CHARACTERS),
            message=cut(message, _TEXT_CHARACTERS),
            line=_line_of(line),
            traceback=cut(traceback, _TEXT_CHARACTERS),
            usage=usage,
            hints=hints,
        )
    )


def diverged_of(frame: ReceivedFrame, usage: pb.Usage, hints: list[str]) -> pb.ExecutorMessage:
    """Return the end of a replay that left its record."""
    texts, arguments = unpack_texts(frame.body, 5, most_bytes=_NAME_BYTES)
    reason, label, name, expected, line = texts
    if reason not in _DIVERGENCES:
        raise FrameError("a DIVERGED frame of an unknown reason")
    if not all(_is_label(one) for one in (label, expected) if one):
        raise FrameError("a DIVERGED frame whose label is malformed")
    if len(arguments) > MAX_STEPS_BYTES:
        raise FrameError(f"a DIVERGED frame with {len(arguments)} bytes of arguments")
    name = cut(name, _NAME_CHARACTERS)
    came = f"{name} ({label})" if label else name
    before = f", before the recorded call {expected} has come again" if expected else ""
    what = _DIVERGENCES[reason].format(came=came, before=before)
    return pb.ExecutorMessage(
        failed=pb.Failed(
            run_id=frame.run,
            status="diverged",
            type="Divergence",
            message=f"the replayed code {what}; {_REMEDY}",
            line=_line_of(line),
            usage=usage,
            hints=hints,
            divergence=pb.Divergence(
                reason=reason,
                label=label,
                name=name,
                arguments=bytes(arguments),
                expected=expected,
            ),
        )
    )


def _line_of(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
