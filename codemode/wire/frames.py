"""The frames between the executor and a sandboxed child.

A frame is ``length (4 bytes) | kind (1) | run (4) | call (4) | body``, all
big-endian. The length counts the bytes after it. A body is either bytes that
the executor passes on unread or fixed fields, depending on the kind. Every byte
from a child is hostile. The executor therefore has no general decoder: a few
comparisons check a frame.

The child imports this module, so it imports only the standard library.
"""

from __future__ import annotations

import struct
from enum import IntEnum

__all__ = [
    "HEADER",
    "LENGTH",
    "Frame",
    "FrameError",
    "pack",
    "pack_texts",
    "unpack_bytes",
    "unpack_texts",
]

LENGTH = struct.Struct("!I")
HEADER = struct.Struct("!BII")
_PREFIX = struct.Struct("!IBII")


class Frame(IntEnum):
    """The kind of a frame."""

    # executor to child
    OPEN = 1  # body: CBOR map {"tools": [...], "limits": {...}}
    RUN = 2  # body: texts(code) + inputs (CBOR map)
    TOOL_VALUE = 3  # body: CBOR value
    TOOL_FAILURE = 4  # body: texts(kind, type, message)
    REPLAY = 5  # body: CBOR map; before the RUN of a recorded run

    # child to executor
    READY = 16  # body: empty; sent once, when the child is locked down
    TAKEN = 17  # body: empty; the child has taken this run's code
    STDOUT = 18  # body: UTF-8
    STDERR = 19  # body: UTF-8
    CALL = 20  # body: texts(name) + arguments (CBOR map)
    CANCEL_CALL = 21  # body: empty
    PROGRESS = 22  # body: PROGRESS struct + texts(note)
    COMPLETED = 23  # body: CBOR value
    FAILED = 24  # body: texts(type, message, line, traceback)
    HINT = 25  # body: UTF-8; a remark for the model, sent before the run's last frame
    ARTIFACT = 26  # body: texts(name) + the bytes of a file
    RECORDED_CALL = 27  # body: texts(name, label, steps) + arguments (CBOR map)
    STEPS = 28  # body: ASCII; what a recorded run has taken in, before its output and its end
    DIVERGED = 29  # body: texts(reason, label, name, expected, line) + arguments (CBOR map)


PROGRESS = struct.Struct("!dd")
"""``done`` and ``total``; a total of nan means that it is not known."""


class FrameError(ValueError):
    """Bytes that are not a valid frame."""


def pack(kind: Frame, run: int, call: int, *body: bytes) -> bytes:
    """Return the bytes of one frame."""
    size = HEADER.size + sum(map(len, body))
    return b"".join((_PREFIX.pack(size, kind, run, call), *body))


def pack_texts(*texts: str) -> bytes:
    """Return texts in a row, each preceded by its length in bytes."""
    parts: list[bytes] = []
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        parts += (LENGTH.pack(len(data)), data)
    return b"".join(parts)


def unpack_texts(
    body: bytes | memoryview, count: int, *, most_bytes: int | None = None
) -> tuple[list[str], memoryview]:
    """Return ``count`` texts, each of at most ``most_bytes``, and the rest of the body.

    Raises FrameError.
    """
    view = memoryview(body)
    texts = []
    for _ in range(count):
        text, view = unpack_bytes(view, most_bytes=most_bytes)
        texts.append(str(text, "utf-8", "replace"))
    return texts, view


def unpack_bytes(
    body: bytes | memoryview, *, most_bytes: int | None = None
) -> tuple[memoryview, memoryview]:
    """Return the bytes of a text, at most ``most_bytes``, and the rest of the body.

    Raises FrameError.
    """
    view = memoryview(body)
    if len(view) < LENGTH.size:
        raise FrameError("a text is missing")
    (size,) = LENGTH.unpack_from(view)
    end = LENGTH.size + size
    if most_bytes is not None and size > most_bytes:
        raise FrameError(f"a text of {size} bytes")
    if len(view) < end:
        raise FrameError(f"a text of {size} bytes is cut short")
    return view[LENGTH.size : end], view[end:]
