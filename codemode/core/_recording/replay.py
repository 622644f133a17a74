"""The replay that a recorded run sends along with its code."""

from __future__ import annotations

import hashlib
from typing import Any

from codemode.core._recording.journal import Head, Journal, OutcomeKnown
from codemode.errors import InvalidRequestError, ValueEncodingError
from codemode.values import encode
from codemode.wire.frames import pack_texts

__all__ = ["digest_of", "replay_bytes"]

# The host itself answers a call whose outcome is larger, and those for which the replay has no
# room left.
_MOST_BODY = 64 * 1024
_MOST_BODIES = 4 * 1024 * 1024
_BY_HOST, _VALUE, _FAILURE, _NEVER, _OPEN = 0, 3, 4, 5, 6


def digest_of(data: bytes) -> bytes:
    """Return the digest by which arguments, and code, are compared."""
    return hashlib.blake2b(data, digest_size=16).digest()


def replay_bytes(journal: Journal, head: Head, max_bytes: int) -> bytes:
    """Return the replay of a journal. Raises InvalidRequestError when it is too large."""
    left = _MOST_BODIES
    calls: list[list[Any]] = []
    for call, known in journal.outcomes():
        kind, body = _body(known)
        if len(body) > min(left, _MOST_BODY):
            kind, body = _BY_HOST, b""
        left -= len(body)
        calls.append([call.label, call.name, digest_of(call.arguments), kind, body])
    calls += (
        [call.label, call.name, digest_of(call.arguments), _OPEN, b""]
        for call in journal.open_calls()
    )
    replay = {
        "start": head.start,
        "seed": head.seed,
        "steps": journal.steps(),
        "calls": calls,
        "complete": bool(journal.ended),
        "output": len(journal.printed("stdout")) + len(journal.printed("stderr")),
    }
    try:
        return encode(replay, max_bytes=max_bytes, path="replay")
    except ValueEncodingError:
        raise InvalidRequestError(
            f"the replay of this recording ({len(calls):,} calls) is larger than "
            f"max_value_bytes ({max_bytes:,}); raise that limit, or cut the recording"
        ) from None


def _body(known: OutcomeKnown) -> tuple[int, bytes]:
    if known.word == "cancelled":
        return _NEVER, b""  # the code had given the call up, or ended without its answer
    if known.failure is None:
        return _VALUE, known.value or b""
    failure = known.failure
    return _FAILURE, pack_texts(failure.kind, failure.type, failure.message)
