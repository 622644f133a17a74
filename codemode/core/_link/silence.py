"""The search for other executors while a stream gives no sign of life.

An executor answers each stream within a moment, even when its run has to wait
for a sandbox. A process that has stopped does not, although its connections
stay. Calls go elsewhere once another channel is connected, which only executors
that answer are part of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Any

from codemode.core._grpc.apart import begin_apart

__all__ = [
    "SILENCE_SECONDS",
    "AsyncLeaving",
    "AsyncSearch",
    "Silence",
    "SyncLeaving",
    "look_elsewhere",
]

type SyncLeaving = Callable[[], AbstractContextManager[Callable[[float], bool]]]
"""Lets another channel connect; the function waits, and returns whether new calls use it."""
type AsyncLeaving = Callable[[], AbstractContextManager[Callable[[], bool]]]
"""Lets another channel connect; the function returns whether new calls use it."""

SILENCE_SECONDS = 1.0
"""Seconds without a sign of life after which a client looks for another executor."""

_CONNECTING_SECONDS = 0.2
_LOOKS_SECONDS = 0.02
# An executor that answered the new connection has also answered the stream by then.
_LAST_SIGN_SECONDS = 0.05


class Silence:
    """The note that new calls go elsewhere, and that still nothing has come on a stream."""


def look_elsewhere(call: Any, leaving: SyncLeaving, inbox: SimpleQueue[Any]) -> None:
    """Put a Silence into the inbox, unless a sign of life comes before. Waits: call it apart."""
    signs: SimpleQueue[None] = SimpleQueue()

    def wait_for_sign() -> None:
        try:
            call.initial_metadata()  # returns at the end of the stream as well
        finally:
            signs.put(None)

    begin_apart(wait_for_sign)
    with leaving() as left:
        while True:
            gone = left(_CONNECTING_SECONDS)
            try:
                signs.get(timeout=_LAST_SIGN_SECONDS)
            except Empty:
                if gone:
                    inbox.put(Silence())
                    return
            else:
                return


class AsyncSearch:
    """A search that begins later, and calls ``give_up`` unless a sign of life comes before."""

    def __init__(self, call: Any, leaving: AsyncLeaving, give_up: Callable[[], None]) -> None:
        self._call = call
        self._leaving = leaving
        self._give_up = give_up
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(SILENCE_SECONDS, self._begin)

    def end(self) -> None:
        """End the search, or do not begin it."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        sign = asyncio.ensure_future(self._call.initial_metadata())
        try:
            with self._leaving() as left:
                while not sign.done():
                    gone = left()
                    await asyncio.wait(
                        (sign,), timeout=_LAST_SIGN_SECONDS if gone else _LOOKS_SECONDS
                    )
                    if gone and not sign.done():
                        self._give_up()
                        return
        finally:
            if not sign.cancel() and not sign.cancelled():
                sign.exception()  # of a stream that has ended, which its reader receives
