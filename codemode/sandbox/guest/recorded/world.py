"""The beginning of a recorded run: its record, and what the code sees from then on."""

from __future__ import annotations

import asyncio
import asyncio.unix_events
from collections.abc import Mapping
from typing import Any

from codemode.sandbox.guest.frame_socket import FrameSocket
from codemode.sandbox.guest.recorded import (
    clock,
    interpreters,
    own_sources,
    pools,
    randomness,
    tasks,
    threads,
)
from codemode.sandbox.guest.recorded.calls import RecordedCalls
from codemode.sandbox.guest.recorded.lines import enter_line
from codemode.sandbox.guest.recorded.loop import RecordedLoop
from codemode.sandbox.guest.recorded.record import Record

__all__ = ["begin_recorded"]


def begin_recorded(
    replay: Mapping[str, Any], frames: FrameSocket, run: int, code: bytes
) -> tuple[Record, RecordedCalls]:
    """Begin a recorded run in this process, which runs nothing else afterwards.

    Raises ValueError for a replay that is malformed.
    """
    record = Record(replay, frames, run)
    calls = RecordedCalls(record, frames)
    enter_line(record.main)
    RecordedLoop.record = record
    RecordedLoop.first_held = staticmethod(lambda: calls.first_held)
    clock.install(record)
    randomness.install(record)
    own_sources.install(record, code)
    tasks.install()
    threads.install(record)
    pools.install(record)
    interpreters.install()
    _install_loop()
    frames.journal = record.complete
    return record, calls


def _install_loop() -> None:
    for name in ("SelectorEventLoop", "EventLoop"):
        for module in (asyncio, asyncio.unix_events):
            if hasattr(module, name):
                setattr(module, name, RecordedLoop)
    policy: Any = asyncio.unix_events._UnixDefaultEventLoopPolicy
    policy._loop_factory = RecordedLoop
