"""The frames of a sandbox as messages for the client.

Every byte is hostile: each function raises FrameError for a body that is
malformed for its kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from codemode.executor.pool.frame_stream import ReceivedFrame
from codemode.executor.streams.endings import status_of_failure
from codemode.protos import codemode_pb2 as pb
from codemode.values.shortening import cut
from codemode.wire.constants import MAX_HINT_CHARACTERS
from codemode.wire.frames import PROGRESS, Frame, FrameError, unpack_texts
from codemode.wire.protobuf import CHUNK_BYTES

__all__ = ["artifact_of", "call_of", "failed_of", "hint_of", "output_of", "progress_of"]

# A child's texts must fit into one gRPC message, and nothing else limits them.
_NAME_CHARACTERS = 1_000
_NAME_BYTES = 4_000
_TEXT_CHARACTERS = 64_000
_OUTPUT_CHARACTERS = CHUNK_BYTES // 4  # a character has at most four bytes

_STREAMS = {Frame.STDOUT: pb.Output.STREAM_STDOUT, Frame.STDERR: pb.Output.STREAM_STDERR}


def output_of(kind: Frame, data: bytes, run_id: int) -> Iterator[pb.ExecutorMessage]:
    """Yield what was printed, as texts that each fit into one message."""
    text = data.decode("utf-8", "replace")
    for start in range(0, len(text), _OUTPUT_CHARACTERS):
        part = text[start : start + _OUTPUT_CHARACTERS]
        yield pb.ExecutorMessage(output=pb.Output(run_id=run_id, stream=_STREAMS[kind], text=part))


def call_of(frame: ReceivedFrame) -> tuple[str, bytes]:
    """Return the name of a tool and its encoded arguments."""
    # The name is bounded before it is decoded: bytes that are not text take long to decode.
    (name,), arguments = unpack_texts(frame.body, 1, most_bytes=_NAME_BYTES)
    return name, bytes(arguments)


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
            line=int(line) if line.isascii() and line.isdigit() and len(line) < 9 else 0,
            traceback=cut(traceback, _TEXT_CHARACTERS),
            usage=usage,
            hints=hints,
        )
    )
