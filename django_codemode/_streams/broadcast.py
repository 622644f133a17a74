"""The broadcast of a run to watchers over a channel layer, including those who join late.

The consumer whose socket runs the code is the host. Only the host decides who
may watch. It keeps the events it has sent, within bounds. A watcher asks the
host to join, gets the events it has missed, and from then on receives what the
host sends to the group. A message that the channel layer drops shows as a gap
in the event numbers, or as silence; the watcher then asks again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django_codemode.refusals import RefusalError

__all__ = [
    "MAX_EVENT_BYTES",
    "Broadcast",
    "Broadcasts",
    "NumberedEvent",
    "Watch",
    "Watcher",
    "while_permitted",
]

logger = logging.getLogger("django_codemode")

MAX_EVENT_BYTES = 256 * 1024
MAX_REPLAY_BYTES = 1024 * 1024
KEEP_SECONDS = 60.0
MAX_ENDED = 4
ASK_SECONDS = 3.0
CHECK_AGAIN_SECONDS = 2.0
_QUEUED = 64
_QUESTIONS = 10

# An event in transit: its number, its JSON, and whether it is the last event.
NumberedEvent = tuple[int, str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """A user of a tenant, who runs code or wants to watch a run.

    With ``others``, the user may also watch the runs of others in that tenant.
    """

    user: str
    tenant: str | None
    others: bool = False

    def may_watch(self, owner: Watcher) -> bool:
        """Return whether this user may see the runs of ``owner``; never across tenants."""
        return self.tenant == owner.tenant and (self.others or self.user == owner.user)


class Broadcast:
    """The broadcast of one run, with its latest events kept for watchers who join late."""

    def __init__(self, layer: Any, execution_id: str, owner: Watcher) -> None:
        self.execution_id = execution_id
        self.ended_at: float | None = None
        self._layer = layer
        self._owner = owner
        self._kept: deque[NumberedEvent] = deque()
        self._bytes = 0
        self._watched = False

    async def send(self, event: NumberedEvent) -> None:
        """Keep an event and send it to the watchers. Never waits for a watcher."""
        _number, text, is_last = event
        self._kept.append(event)
        self._bytes += len(text)
        while self._bytes > MAX_REPLAY_BYTES and len(self._kept) > 1:
            self._bytes -= len(self._kept.popleft()[1])
        if is_last:
            self.ended_at = time.monotonic()
        if self._watched:
            message = {"type": "codemode.told", "execution_id": self.execution_id, "told": event}
            # After a failure, later events do not wait for the layer: watchers ask again.
            self._watched = await _tried(
                self._layer.group_send(_watchers(self.execution_id), message)
            )

    async def admit(self, message: Mapping[str, Any]) -> None:
        """Answer a watcher that wants to join or has missed events."""
        channel, after = message["channel"], message["after"]
        answer = {"type": "codemode.joined", "watch": message["watch"]}
        if not Watcher(**message["watcher"]).may_watch(self._owner):
            await _tried(self._layer.send(channel, {**answer, "allowed": False}))
            return
        if not await _tried(self._layer.group_add(_watchers(self.execution_id), channel)):
            return
        self._watched = True
        events = [one for one in self._kept if one[0] > after]
        missed = events[0][0] - after - 1 if events else 0
        answer |= {"allowed": True, "missed": missed, "told": events}
        await _tried(self._layer.send(channel, answer))


class Broadcasts:
    """The broadcasts of one socket, by execution: all in progress and the last that ended."""

    def __init__(self, layer: Any, channel: str) -> None:
        self._layer = layer
        self._channel = channel
        self._open: dict[str, Broadcast] = {}

    async def open(self, execution_id: str, owner: Watcher) -> Broadcast:
        """Open a broadcast, which watchers can find from now on."""
        await self._tidy()
        self._open[execution_id] = broadcast = Broadcast(self._layer, execution_id, owner)
        await _tried(self._layer.group_add(_host(execution_id), self._channel))
        return broadcast

    async def rejoin(self) -> None:
        """Join the group of each broadcast again: the layer may have forgotten its groups."""
        for execution_id in list(self._open):
            await self._layer.group_add(_host(execution_id), self._channel)

    async def admit(self, message: Mapping[str, Any]) -> None:
        """Answer a watcher of one of the broadcasts.

        A watcher of anything else gets no answer, as if there were no host.
        """
        await self._tidy()
        if (broadcast := self._open.get(message["execution_id"])) is not None:
            await broadcast.admit(message)

    async def close(self) -> None:
        """Close all broadcasts: watchers no longer find them."""
        for execution_id in list(self._open):
            await self._drop(execution_id)

    async def _tidy(self) -> None:
        ended = [one for one in self._open.values() if one.ended_at is not None]
        ended.sort(key=lambda one: one.ended_at or 0)
        now = time.monotonic()
        for place, one in enumerate(reversed(ended)):
            if place >= MAX_ENDED or now - (one.ended_at or now) > KEEP_SECONDS:
                await self._drop(one.execution_id)

    async def _drop(self, execution_id: str) -> None:
        del self._open[execution_id]
        await _tried(self._layer.group_discard(_host(execution_id), self._channel))


class Watch:
    """The watch of a run that another consumer hosts."""

    def __init__(self, layer: Any, channel: str, *, name: str, execution_id: str) -> None:
        self.execution_id = execution_id
        self._layer = layer
        self._channel = channel
        self._name = name
        self._live: asyncio.Queue[NumberedEvent] = asyncio.Queue(_QUEUED)
        self._answers: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(1)

    def offer(self, event: NumberedEvent) -> None:
        """Queue an event from the group. If the queue is full, drop it: it is requested later."""
        if not self._live.full():
            self._live.put_nowait(event)

    def answer(self, message: Mapping[str, Any]) -> None:
        """Queue the host's answer."""
        if not self._answers.full():
            self._answers.put_nowait(message)

    async def follow(
        self, watcher: Watcher, after: int
    ) -> AsyncGenerator[NumberedEvent | int, None]:
        """Yield each event after number ``after``, in order, up to the last event.

        An integer in place of an event is the number of events that the host no
        longer has. Raises RefusalError if there is nothing to watch, or no longer.
        """
        last = after
        unanswered = 0
        found = False
        while True:
            asked = await self._ask(watcher, last)
            answer = await self._answer_in_time()
            if answer is None:
                unanswered += 1
                if asked and not found:
                    raise _nothing()
                if unanswered >= _QUESTIONS:
                    raise _lost()
                continue
            if not answer["allowed"]:
                raise _nothing()
            found, unanswered = True, 0
            if answer["missed"]:
                yield answer["missed"]
            for number, text, is_last in answer["told"]:
                last = number
                yield number, text, is_last
                if is_last:
                    return
            async for event in self._until_a_gap(last):
                last, _text, is_last = event
                yield event
                if is_last:
                    return

    async def leave(self) -> None:
        """Remove this watcher from the group."""
        await _tried(self._layer.group_discard(_watchers(self.execution_id), self._channel))

    async def _until_a_gap(self, last: int) -> AsyncGenerator[NumberedEvent, None]:
        while True:
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    number, text, is_last = await self._live.get()
            except TimeoutError:
                return  # nothing happened, or a message was lost: only the host knows
            if number <= last:
                continue  # the host's answer contained it
            if number != last + 1:
                return
            last = number
            yield number, text, is_last

    async def _ask(self, watcher: Watcher, after: int) -> bool:
        while not self._answers.empty():
            self._answers.get_nowait()  # a late answer to an earlier question
        message = {
            "type": "codemode.join",
            "execution_id": self.execution_id,
            "channel": self._channel,
            "watch": self._name,
            "after": after,
            "watcher": {
                "user": watcher.user,
                "tenant": watcher.tenant,
                "others": watcher.others,
            },
        }
        return await _tried(self._layer.group_send(_host(self.execution_id), message))

    async def _answer_in_time(self) -> Mapping[str, Any] | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._answers.get()
        except TimeoutError:
            return None


async def while_permitted(
    watch: Watch, watcher: Watcher, after: int, permitted: Callable[[], Awaitable[Watcher]]
) -> AsyncGenerator[NumberedEvent | int, None]:
    """Yield what ``watch.follow()`` yields, as long as its user may see it.

    Before an event, ``permitted`` is called again if its last call is at least
    2 s ago. It returns the current watcher, or raises RefusalError.
    """
    checked = time.monotonic()
    while True:
        async with aclosing(watch.follow(watcher, after)) as events:
            async for event in events:
                if time.monotonic() - checked >= CHECK_AGAIN_SECONDS:
                    former, watcher = watcher, await permitted()
                    checked = time.monotonic()
                    if watcher != former:
                        break  # the host decides again, starting from this event
                yield event
                if not isinstance(event, int):
                    after = event[0]
            else:
                return


async def _tried(sending: Awaitable[None]) -> bool:
    """Await a call of the channel layer; return whether it succeeded. Runs go on without it."""
    try:
        await sending
    except Exception as error:  # noqa: BLE001  # each layer raises its own errors
        logger.warning("The channel layer has failed: %r", error)
        return False
    return True


def _host(execution_id: str) -> str:
    return f"codemode.host.{execution_id}"


def _watchers(execution_id: str) -> str:
    return f"codemode.watchers.{execution_id}"


def _nothing() -> RefusalError:
    # The same code for an unknown execution and for one of another user.
    return RefusalError(
        "unknown_execution", "the execution does not exist, or you may not watch it", status=404
    )


def _lost() -> RefusalError:
    return RefusalError("lost", "the process that ran the execution no longer answers", status=502)
